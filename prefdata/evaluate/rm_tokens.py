"""Pairs as the tokens that a reward model reads.

    eos        as `prefdata train` makes them: the rendered prompt, each answer behind it, up to an end-of-sequence token
    template   the whole text as the chat template renders it and as one piece, which is how models of others are served
    pair       prompt and answer as the two texts of a tokenizer without a chat template ([CLS] prompt [SEP] answer [SEP])

Where the two texts of a pair begin with the same tokens, these are its prompt, and are computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.judges.agreement import Ints, Numbers
from prefdata.tokens.tokenizer import Loaded, load, rendered
from prefdata.train.store import BATCH, SCHEMA, Store, tokenise

Ending = Literal["eos", "template", "pair"]
Token = np.ndarray[Any, np.dtype[np.int32]]


class Encoded(NamedTuple):
    """Pairs in tokens: the number of each record, the tokens of chosen and rejected [N, 2], and why records are left out."""

    store: Store
    rows: Ints
    lengths: Numbers
    dropped: Counter[str]
    ending: Ending
    typed: bool = False
    """Whether answers are segments of their own (token types 0 and 1)."""


def encoded(frames: Iterator[pl.DataFrame], tokenizer: str, ending: Literal["eos", "template"], longest: int | None) -> Encoded:
    """Records whose `id` is their number, as tokens. Raises UsageError without a tokenizer, InputError when it cannot be used."""
    loaded = load(tokenizer)
    if ending == "eos":
        found = tokenise(frames, "pair", tokenizer, max_length=longest, truncate="drop")
        store = Store(found.table)
        _, offsets = store.completion_offsets()
        return Encoded(store, _numbers(store), np.diff(offsets).reshape(-1, 2).astype(np.float64), found.dropped, "eos")
    texts = _Texts(loaded, longest)
    if "default" in loaded.templates:
        return texts.encoded(_templated(loaded, frames, texts.dropped), "template")
    return texts.encoded(_paired(loaded, frames), "pair")


def _numbers(store: Store) -> Ints:
    return np.array([int(i or 0) for i in store.texts("id")], np.int64)


class _Pair(NamedTuple):
    """The number of a record, the tokens of its two texts, how many of each are the answer's, and where the answer's segment begins."""

    row: str
    chosen: Token
    rejected: Token
    lengths: tuple[int, int]
    segment: int | None = None


class _Texts:
    """Collects whole texts, and splits each pair of them where they begin to differ."""

    def __init__(self, loaded: Loaded, longest: int | None) -> None:
        self.loaded, self.longest = loaded, longest
        self.dropped = Counter[str]()

    def encoded(self, pairs: Iterator[_Pair], ending: Ending) -> Encoded:
        lines, lengths, typed = [], [], False
        for p in pairs:
            if self.longest is not None and max(len(p.chosen), len(p.rejected)) > self.longest:
                self.dropped["too-long"] += 1
            elif np.array_equal(p.chosen, p.rejected):
                self.dropped["equal-completions"] += 1
            else:
                at = shared(p.chosen, p.rejected) if p.segment is None else p.segment
                lines.append({"id": p.row, "prompt": p.chosen[:at], "completions": [p.chosen[at:], p.rejected[at:]], "scores": []})
                lengths.append(p.lengths)
                typed = typed or p.segment is not None
        store = Store(pa.Table.from_pylist(lines, SCHEMA))
        return Encoded(store, _numbers(store), np.array(lengths, np.float64).reshape(-1, 2), self.dropped, ending, typed)


def shared(a: Token, b: Token) -> int:
    """How many first tokens two texts have in common, at least one token of each left over."""
    n = min(len(a), len(b)) - 1
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if len(differ) else max(n, 0)


def _templated(loaded: Loaded, frames: Iterator[pl.DataFrame], dropped: Counter[str]) -> Iterator[_Pair]:
    batches = list[list[dict[str, Any]]]()

    def jobs() -> Iterator[list[Any]]:
        for frame in frames:
            for part in frame.iter_slices(BATCH):
                batches.append(part.to_dicts())
                yield [(r["prompt"], [r["chosen"], r["rejected"]], r.get("tools")) for r in batches[-1]]

    for replies in rendered(loaded, jobs()):
        both = zip(batches.pop(0), replies, strict=True)
        known = [(row, reply["texts"]) for row, reply in both if "texts" in reply]
        dropped["template"] += len(replies) - len(known)
        tokens = iter(loaded.tokenizer.encode_batch_fast([t for _, texts in known for t in texts], add_special_tokens=False))
        for row, texts in known:
            prompt, chosen, rejected = (np.asarray(next(tokens).ids, np.int32) for _ in texts)
            yield _Pair(row["id"], chosen, rejected, (max(1, len(chosen) - len(prompt)), max(1, len(rejected) - len(prompt))))


def _paired(loaded: Loaded, frames: Iterator[pl.DataFrame]) -> Iterator[_Pair]:
    for frame in frames:
        for part in frame.iter_slices(BATCH):
            rows = part.to_dicts()
            texts = [[_joined(r[name]) for name in ("prompt", "chosen", "rejected")] for r in rows]
            tokens = iter(loaded.tokenizer.encode_batch([(p, a) for p, *answers in texts for a in answers]))
            for row in rows:
                chosen, rejected = next(tokens), next(tokens)
                # the answer is the second sequence; what stands behind it (a separator) is no part of it
                lengths = [max(1, sum(s == 1 for s in e.sequence_ids)) for e in (chosen, rejected)]
                segment = int(np.argmax(chosen.type_ids)) if any(chosen.type_ids) else None
                a, b = (np.asarray(e.ids, np.int32) for e in (chosen, rejected))
                yield _Pair(row["id"], a, b, (lengths[0], lengths[1]), segment)


def _joined(turns: list[dict[str, Any]]) -> str:
    return "\n\n".join(t["content"] for t in turns)
