"""Rewards of pairs: what a sequence classifier says, or beta (log pi - log pi_ref) of causal models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch

from prefdata.errors import UsageError
from prefdata.evaluate.rm_options import EvalRmOptions
from prefdata.evaluate.rm_tokens import Encoded
from prefdata.judges.agreement import Numbers
from prefdata.rewards.combine import combined
from prefdata.rewards.folder import ModelFolder
from prefdata.rewards.load import quiet
from prefdata.rewards.scores import Room, forward, in_batches
from prefdata.train.head import sums
from prefdata.train.layout import laid_out
from prefdata.train.load import choose_layout, load_model, own_answer
from prefdata.train.model import token_logps
from prefdata.train.reference import by_length
from prefdata.train.scoring import group_scores, layout_of, texts_of

Progress = Callable[[int], None]


class Rewards(NamedTuple):
    """Rewards of chosen and rejected [N, 2], how they were computed, and the log-probs that implicit ones are made of."""

    values: Numbers
    layout: str
    logps: dict[str, Numbers]


def rewards(
    members: Sequence[ModelFolder], reference: ModelFolder | None, pairs: Encoded, options: EvalRmOptions, progress: Progress | None = None
) -> Rewards:
    """Rewards of all pairs. `members`: the model, or the sequence classifiers of an ensemble, which are in memory one at a time. Raises
    UsageError and InputError."""
    policy = members[0]
    if policy.head == "score":
        found = [classified(loaded(m, pairs, options), pairs, shares_of(m, options), options.micro_tokens, progress) for m in members]
        values = combined(np.stack([v.ravel() for v, _ in found], 1), options.aggregate, options.penalty).value.reshape(-1, 2)
        return Rewards(values, ", ".join(dict.fromkeys(layout for _, layout in found)), {})
    said, layout = log_probs(loaded(policy, pairs, options), pairs, options, progress)
    logps = {"logp": said}
    values = said
    if reference is not None:
        logps["reference_logp"], other = log_probs(loaded(reference, pairs, options), pairs, options, progress)
        values, layout = said - logps["reference_logp"], layout if other == layout else f"{layout}, {other}"
    return Rewards(options.beta * values, layout, logps)


def loaded(folder: ModelFolder, pairs: Encoded, options: EvalRmOptions) -> Any:
    """The model in evaluation mode, on the GPU when there is one. Raises UsageError when the tokens are not its own."""
    with quiet():
        model = load_model(folder.path, head=folder.head, dtype=getattr(torch, options.dtype), heads=folder.outputs, whole=True)
    columns = [pc.list_flatten(pairs.store.table.column(name), recursive=True) for name in ("prompt", "completions")]
    largest = max(pc.max(c).as_py() or 0 for c in columns)
    if largest >= model.get_input_embeddings().num_embeddings:
        raise UsageError(f"{folder.path}: token {largest} is beyond its vocabulary; name its own tokenizer with --tokenizer")
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def shares_of(folder: ModelFolder, options: EvalRmOptions) -> Numbers:
    """What each output of a classifier counts in the reward, [outputs]: one of them, or several by --aspect-weights, or else as in the
    training of the model. Raises UsageError."""
    if (options.head or 0) >= folder.outputs:
        raise UsageError(f"--head {options.head}: {folder.path} has {folder.outputs} outputs, counted from 0")
    unknown = sorted(options.aspect_weights.keys() - set(folder.names))
    if unknown:
        raise UsageError(f"--aspect-weights: {folder.path} has no {', '.join(unknown)} (it has: {', '.join(folder.names)})")
    if options.aspect_weights:
        return np.array([options.aspect_weights.get(name, 0.0) for name in folder.names], np.float64)
    if options.head is not None or folder.outputs == 1:
        return np.array([i == (options.head or 0) for i in range(folder.outputs)], np.float64)
    if folder.shares is None:
        raise UsageError(
            f"--model {folder.path}: it has {folder.outputs} outputs; --head 0 to --head {folder.outputs - 1} says which is the reward, "
            f"or --aspect-weights {folder.names[0]}=1,… what each counts"
        )
    return np.array(folder.shares)


def classified(model: Any, pairs: Encoded, shares: Numbers, budget: int, progress: Progress | None = None) -> tuple[Numbers, str]:
    """Scores [N, 2] by what each output counts, and the layout: the fastest that gives the model's own answer, or `own`, its own forward on
    padded rows."""
    used = np.flatnonzero(shares)
    config = model.config.get_text_config()
    if pairs.ending == "eos" and hasattr(model, "score"):
        config.pad_token_id = None  # else an end that is also the padding would be passed over
    store, pad = pairs.store, config.pad_token_id
    order = np.argsort(store.lengths, kind="stable")
    layout = "own" if pairs.typed else layout_of(model, [store.group(i) for i in {int(order[0]), int(order[-1])}], pad)
    out, room = np.full((store.size, 2), np.nan), Room(budget)

    def done(rows: list[int], said: Any) -> None:
        out[rows] = (said[:, used] @ shares[used]).reshape(-1, 2)
        if progress:
            progress(len(rows))

    if layout != "own":
        group_scores(model, store.lengths, store.group, layout, room, done)
    else:
        in_batches(
            2 * store.lengths,
            room,
            lambda rows: done(rows, forward(model, [t for i in rows for t in texts_of(store.group(i), pairs.typed)], pad)),
            padded=False,
        )
    return out, layout


@torch.no_grad()
def log_probs(model: Any, pairs: Encoded, options: EvalRmOptions, progress: Progress | None = None) -> tuple[Numbers, str]:
    """Log-probs of the answers [N, 2], as sums or (`per_token`) means, summed in float64; and the layout."""
    store, budget = pairs.store, options.micro_tokens
    order = by_length(store.lengths, budget)
    try:
        layout = choose_layout(model, [store.group(i) for i in {order[0][0], order[-1][-1]}], "auto", "lm")
    except UsageError:  # its logits are no plain product of states and head
        layout, order = "own", [[i] for i in range(store.size)]
    out = np.empty((store.size, 2))
    for rows in order:
        batch = laid_out([store.group(i) for i in rows], "padded" if layout == "own" else layout).to(model.device)
        said = sums(own_answer(model, batch, "lm") if layout == "own" else token_logps(model, batch), batch.owner, len(batch.lengths))
        out[rows] = (said / batch.lengths if options.per_token else said).cpu().numpy().reshape(-1, 2)
        if progress:
            progress(len(rows))
    return out, layout
