"""Pairs as the tokens that a reward model reads.

    eos        as `prefdata train` makes them: the rendered prompt, each answer behind it, up to an end-of-sequence token
    template   the whole text as the chat template renders it and as one piece, which is how models of others are served
    pair       prompt and answer as the two texts of a tokenizer without a chat template ([CLS] prompt [SEP] answer [SEP])

Where the two texts of a pair begin with the same tokens, these are its prompt, and are computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.judges.agreement import Ints, Numbers
from prefdata.rewards.texts import Ending, Texts, shared
from prefdata.train.store import BATCH, SCHEMA, Store, tokenise


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
    if ending == "eos":
        found = tokenise(frames, "pair", tokenizer, max_length=longest, truncate="drop")
        store = Store(found.table)
        _, offsets = store.completion_offsets()
        return Encoded(store, _numbers(store), np.diff(offsets).reshape(-1, 2).astype(np.float64), found.dropped, "eos")
    return _encoded(frames, Texts(tokenizer, ending), longest)


def _numbers(store: Store) -> Ints:
    return np.array([int(i or 0) for i in store.texts("id")], np.int64)


def _encoded(frames: Iterator[pl.DataFrame], texts: Texts, longest: int | None) -> Encoded:
    """Pairs of whole texts, split where the two begin to differ, or where the answer is a segment of its own."""
    dropped = Counter[str]()
    lines, lengths, typed = [], [], False
    for frame in frames:
        for part in frame.iter_slices(BATCH):
            rows = part.to_dicts()
            found = texts.of([(r["prompt"], [r["chosen"], r["rejected"]], r.get("tools")) for r in rows])
            for row, (chosen, rejected) in zip(rows, found, strict=True):
                a, b = chosen.ids, rejected.ids
                if chosen.why or rejected.why:
                    dropped[chosen.why or rejected.why or ""] += 1
                elif longest is not None and max(len(a), len(b)) > longest:
                    dropped["too-long"] += 1
                elif np.array_equal(a, b):
                    dropped["equal-completions"] += 1
                else:
                    at = shared([a, b]) if chosen.segment is None else chosen.segment
                    lines.append({"id": row["id"], "prompt": a[:at], "completions": [a[at:], b[at:]], "scores": []})
                    lengths.append((chosen.answer, rejected.answer))
                    typed = typed or chosen.segment is not None
    store = Store(pa.Table.from_pylist(lines, SCHEMA))
    return Encoded(store, _numbers(store), np.array(lengths, np.float64).reshape(-1, 2), dropped, texts.ending, typed)
