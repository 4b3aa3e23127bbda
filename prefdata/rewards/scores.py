"""Scores of texts: batches of texts of about one length, as large as memory allows, in the order given.

Texts are padded on the right and masked, so what else is in a batch changes a score by rounding only (float32).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefdata.errors import UsageError
from prefdata.rewards.load import RewardModel
from prefdata.rewards.texts import Text

Numbers = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
CPU_TOKENS = 2_048
"""Tokens of a batch on a CPU: more do not fit its caches (benchmarks/score.py)."""
GPU_TOKENS = (1 << 11, 1 << 17)
"""Fewest and most tokens of a batch on a GPU; above it is busy anyway."""
_SHORT = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")


@dataclass
class Room:
    """How many tokens are computed at a time. It shrinks when memory turns out to be short, and stays so."""

    tokens: int
    shrunk: int = 0
    """How often."""


def room_of(model: Any, given: int | None = None) -> Room:
    """The room on the model's device: `given`, or what its free memory has for a layer's activations (about 14 hidden and 3 intermediate
    numbers a token, twice that much left free)."""
    device = next(model.parameters()).device
    if given is not None or device.type != "cuda":
        return Room(given or CPU_TOKENS)
    import torch

    config, number = model.config.get_text_config(), next(model.parameters()).element_size()
    per_token = number * (14 * config.hidden_size + 3 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size))
    least, most = GPU_TOKENS
    return Room(int(min(most, max(least, torch.cuda.mem_get_info(device)[0] // (3 * per_token)))))


def scores(
    rm: RewardModel, texts: Sequence[Text], room: Room, tell: Callable[[int], None] | None = None
) -> tuple[Numbers, list[str | None]]:
    """What the model gives each text, [N, outputs], and why it gives a text nothing (its numbers are NaN then): the text's own reason,
    `context-length` (half an answer would be another answer), `out-of-memory` when it does not fit alone, `not-a-number`."""
    out = np.full((len(texts), rm.folder.outputs), np.nan, np.float32)
    why = [t.why or fits(t, rm.folder.longest) for t in texts]
    usable = [i for i, w in enumerate(why) if w is None]
    known(rm.model, [texts[i] for i in usable])
    lengths, pad = np.array([len(texts[i].ids) for i in usable], np.int64), padding(rm)

    def run(batch: list[int]) -> None:
        rows = [usable[k] for k in batch]
        out[rows] = forward(rm.model, [texts[i] for i in rows], pad)
        if tell:
            tell(len(rows))

    for k in in_batches(lengths, room, run):
        why[usable[k]] = "out-of-memory"
    for i in np.flatnonzero(~np.isfinite(out).all(1)).tolist():
        why[i] = why[i] or "not-a-number"
        out[i] = np.nan
    return out, why


def fits(text: Text, longest: int | None) -> str | None:
    """Why a text cannot be read whole."""
    return "context-length" if longest is not None and len(text.ids) > longest else None


def known(model: Any, texts: Sequence[Text]) -> None:
    """Raise UsageError when a token is beyond the model's vocabulary, which a GPU would say in its own way."""
    largest = max((int(t.ids.max()) for t in texts if len(t.ids)), default=0)
    if largest >= model.get_input_embeddings().num_embeddings:
        raise UsageError(f"{model.name_or_path}: token {largest} is beyond its vocabulary; the tokenizer is another model's")


def in_batches(sizes: Ints, room: Room, run: Callable[[list[int]], None], *, padded: bool = True) -> list[int]:
    """Call `run` with the places of all items, the largest first, so that what does not fit is seen at once. A batch has at most
    `room.tokens`, the padding included where rows are `padded`, and one item at least.

    When memory is short the batch is halved, and the room with it. Gives the places of items that do not fit alone.
    """
    order: list[int] = np.argsort(-sizes, kind="stable").tolist()
    failed, at = [], 0
    while at < len(order):
        batch = order[at : at + _most(sizes, order, at, room.tokens, padded)]
        if _did(run, batch):
            at += len(batch)
        elif len(batch) == 1:
            failed.append(batch[0])
            at += 1
        else:
            half = batch[: len(batch) // 2]
            room.tokens = int(len(half) * sizes[half[0]] if padded else sizes[half].sum())
            room.shrunk += 1
    return failed


def _most(sizes: Ints, order: list[int], at: int, tokens: int, padded: bool) -> int:
    if padded:
        return max(1, tokens // max(1, int(sizes[order[at]])))
    n, used = 0, 0
    while at + n < len(order) and (n == 0 or used + sizes[order[at + n]] <= tokens):
        used += int(sizes[order[at + n]])
        n += 1
    return n


def _did(run: Callable[[list[int]], None], batch: list[int]) -> bool:
    """False when there was not enough memory. What the failed batch held is free again: its frames went with the error."""
    try:
        run(batch)
        return True
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def out_of_memory(e: BaseException) -> bool:
    """Whether an error says that memory is short; libraries say it in their own ways."""
    import torch

    return isinstance(e, torch.OutOfMemoryError | MemoryError) or any(words in str(e).lower() for words in _SHORT)


def forward(model: Any, texts: Sequence[Text], pad: int | None) -> Numbers:
    """One batch by the model's own forward, [n, outputs].

    Decoders read the last token that is not padding. Where padding is not named, one that no text of the batch has is taken."""
    if pad is None:
        pad = _unused([t.ids for t in texts], model.get_input_embeddings().num_embeddings)
        if pad is None and len(texts) > 1:  # every token of a small vocabulary is used
            return np.concatenate([forward(model, [t], None) for t in texts])
    import torch

    device, config = next(model.parameters()).device, model.config
    rows = {name: torch.from_numpy(values).to(device) for name, values in _rows(texts, pad or 0, config).items()}
    with torch.inference_mode(), _pads_with(config.get_text_config(), pad):
        out: Numbers = model(**rows).logits.float().cpu().numpy()
    return out


def padding(rm: RewardModel) -> int | None:
    """The model's padding token. Texts of models trained here end with an end-of-sequence token, which may be called padding, too, and
    must be read: for them there is none."""
    named: int | None = rm.model.config.get_text_config().pad_token_id
    return None if rm.texts.ending == "eos" and hasattr(rm.model, "score") else named


def _unused(texts: Sequence[Any], size: int) -> int | None:
    used = set(np.unique(np.concatenate(list(texts))).tolist())
    return next((i for i in range(size) if i not in used), None)


def _rows(texts: Sequence[Text], pad: int, config: Any) -> dict[str, Any]:
    """Right-padded rows with their mask, and token types where the model has them."""
    lengths = np.array([len(t.ids) for t in texts])
    places = np.arange(lengths.max())
    mask = places < lengths[:, None]
    ids = np.full(mask.shape, pad, np.int64)
    ids[mask] = np.concatenate([t.ids for t in texts])
    rows = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    if any(t.segment is not None for t in texts) and getattr(config, "type_vocab_size", 0) > 1:
        begins = np.array([len(t.ids) if t.segment is None else t.segment for t in texts])
        rows["token_type_ids"] = ((places >= begins[:, None]) & mask).astype(np.int64)
    return rows


@contextmanager
def _pads_with(config: Any, token: int | None) -> Iterator[None]:
    named = config.pad_token_id
    config.pad_token_id = token
    try:
        yield
    finally:
        config.pad_token_id = named
