"""A local reward model as a judge (`--judge rm:FOLDER`): a sequence classifier with one output scores every completion.

Only a folder on this machine is loaded, only safetensors, and no code of the folder runs. Scores need no journal: they cost time, no
money, and are the same again. p(i better than j) = σ(r_i − r_j), the Bradley–Terry model that reward models are trained with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import exp
from typing import Any, NamedTuple

import orjson

from prefdata.errors import InputError, UsageError
from prefdata.judges.settle import Settled
from prefdata.judges.statement import Row, Statement, Verdict

TOKENS = 16_384
"""Most tokens of a batch, padding included."""
Turns = list[dict[str, Any]]


class RewardModel(NamedTuple):
    """A loaded model. `longest` is the most tokens that it has positions for."""

    annotator: str
    model: Any
    tokenizer: Any
    device: str
    longest: int


def check_folder(folder: str) -> None:
    """What can be seen without loading it. Raises UsageError."""
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise UsageError(f"--judge rm:{folder}: no folder with a config.json; names of models are not looked up, download the model first")
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _json(folder, name):
            raise UsageError(f"--judge rm:{folder}: {name} names code of its own (auto_map), and no code of a model's folder is run")
    if not any(n.endswith(".safetensors") for n in os.listdir(folder)):
        raise UsageError(f"--judge rm:{folder}: it has no .safetensors; other weights can hold code and are not read")
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise UsageError("--judge rm:FOLDER needs torch and transformers: pip install 'prefdata[train]'")


def _json(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        return {}
    with open(path, "rb") as f:
        try:
            found = orjson.loads(f.read())
        except orjson.JSONDecodeError as e:
            raise InputError(f"{path}: not JSON ({e.msg})") from None
    return found if isinstance(found, dict) else {}


def annotator_of(folder: str) -> str:
    return f"rm:{os.path.basename(os.path.abspath(folder))}"


def load(folder: str) -> RewardModel:
    """The model in 32-bit floats (with 16 bits a score depends on what else is in the batch), on the GPU when there is one.

    Raises UsageError when the folder has no reward model, InputError when it cannot be read.
    """
    check_folder(folder)
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, about = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise InputError(f"--judge rm:{folder}: the model cannot be loaded ({str(e).splitlines()[0][:200]})") from None
    lacks = sorted(about["missing_keys"])
    if lacks:  # transformers would fill them with random numbers
        raise UsageError(f"--judge rm:{folder}: the weights lack {', '.join(lacks[:3])}; this is no reward model")
    if model.config.num_labels != 1:
        raise UsageError(f"--judge rm:{folder}: it has {model.config.num_labels} outputs; a reward model has one")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    return RewardModel(annotator_of(folder), model.to(device).eval(), tokenizer, device, int(longest))


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and reports: what is wrong is said in our words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def statements(rm: RewardModel, rows: Sequence[Row], kind: str) -> list[list[Statement]]:
    """The scores of all candidates of each record, as statements."""
    texts = [(r, c, _encoded(rm, row["prompt"], turns)) for r, row in enumerate(rows) for c, turns in enumerate(candidates(row, kind))]
    said = _scores(rm, [ids for _, _, ids in texts])
    out: list[list[Statement]] = [[] for _ in rows]
    for (r, c, _), verdict in zip(texts, said, strict=True):
        out[r].append(Statement(rm.annotator, (c,), verdict, kind="reward_model"))
    return out


def candidates(row: Row, kind: str) -> list[Turns]:
    if kind == "pair":
        return [row["chosen"], row["rejected"]]
    return [row["completion"]] if kind == "binary" else [c["messages"] for c in row["completions"]]


def _encoded(rm: RewardModel, prompt: Turns, answer: Turns) -> list[int]:
    """Tokens as the model was trained on them: by its chat template, else the prompt's and the answer's texts as a pair. [] where the
    template does not take the turns (a system text, where it knows none)."""
    if rm.tokenizer.chat_template:
        from jinja2 import TemplateError

        turns = [{k: v for k, v in t.items() if v is not None} for t in (*prompt, *answer)]
        try:
            text = rm.tokenizer.apply_chat_template(turns, tokenize=False)
        except TemplateError:
            return []
        return list(rm.tokenizer(text, add_special_tokens=False)["input_ids"])
    first, second = ("\n\n".join(t["content"] for t in turns) for turns in (prompt, answer))
    return list(rm.tokenizer(first, second)["input_ids"])


def _scores(rm: RewardModel, texts: list[list[int]]) -> list[Verdict]:
    """Scores in the order given. A text beyond the model's length gets none: half an answer is another answer."""
    out = [Verdict("invalid", "context-length" if ids else "template") for ids in texts]
    fitting = sorted((i for i, ids in enumerate(texts) if 0 < len(ids) <= rm.longest), key=lambda i: len(texts[i]))
    for batch in _batches(fitting, texts):
        for i, score in zip(batch, _forward(rm, [texts[i] for i in batch]), strict=True):
            out[i] = Verdict(score=score) if abs(score) < float("inf") else Verdict("invalid", "not-a-number")
    return out


def _batches(order: list[int], texts: list[list[int]]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in order:  # shortest first, so the new one is the longest
        if batch and (len(batch) + 1) * len(texts[i]) > TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _forward(rm: RewardModel, texts: list[list[int]]) -> list[float]:
    """One batch, padded on the right. Decoders read the last token that is not padding; where the model names no padding token, one that
    no text of the batch has is taken."""
    import torch

    length = max(map(len, texts))
    config = rm.model.config
    named = config.pad_token_id
    pad = named if named is not None else _unused(texts, config.get_text_config().vocab_size)
    ids = torch.tensor([t + [pad] * (length - len(t)) for t in texts], device=rm.device)
    mask = torch.tensor([[1] * len(t) + [0] * (length - len(t)) for t in texts], device=rm.device)
    config.pad_token_id = pad
    try:
        with torch.inference_mode():
            return [float(s) for s in rm.model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()]
    finally:
        config.pad_token_id = named


def _unused(texts: list[list[int]], size: int) -> int:
    used = set().union(*texts)
    return next((i for i in range(size) if i not in used), 0)


def settle_scores(said: Sequence[Statement], i: int, j: int) -> Settled:
    """p = σ(r_i − r_j); equal scores are a tie."""
    by_place = {s.shown[0]: s.verdict for s in said}
    a, b = by_place[i], by_place[j]
    if a.score is None or b.score is None:
        return Settled("undecided", None, a.why or b.why or "unscored")
    if a.score == b.score:
        return Settled("tie", 0.5, "tie")
    p = 1 / (1 + exp(-max(-700.0, min(700.0, a.score - b.score))))
    return Settled("first" if a.score > b.score else "second", p, None)
