"""Which records are valid? The pydantic models say; this module asks them only about suspects.

`suspects` is a columnar test that passes a row only if the model would (a property test holds it to that). It may suspect a valid row:
anything unusual, such as a turn with tool calls, is left to the model. So bulk data costs a few vector operations, and the words
of every error are the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import numpy as np
import orjson
import polars as pl
from pydantic import ValidationError

from prefdata.schema.grammar import MAX_CONTENT_BYTES, WHITESPACE
from prefdata.schema.ids import flat_texts
from prefdata.schema.records import KINDS, AnnotatorKind, Outcome, explain

NAMES = {
    "PD101": "schema",
    "PD103": "prompt-roles",
    "PD104": "answer-roles",
    "PD105": "blank-text",
    "PD108": "long-text",
    "PD201": "identical",
    "PD212": "soft-label-against-direction",
}
"""The rules that the models enforce, with the names under which `prefdata list rules` shows them."""

RULES = {
    "prompt_roles": "PD103",
    "answer_roles": "PD104",
    "blank_text": "PD105",
    "long_text": "PD108",
    "identical": "PD201",
}
"""Error types of the models with a rule of their own; every other error of a field is PD101."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""One flag per row (or per turn)."""

JSON_BYTES = 500
"""Longer JSON texts go to the model: only they can hold what the two parsers see differently (depth, endless numbers)."""

_STRING = r'"[^"\\\x00-\x1f]*"'
_MEMBER = rf"{_STRING}:(?:{_STRING}|-?(?:0|[1-9][0-9]{{0,14}})(?:\.[0-9]{{1,20}})?|true|false|null)"
_FLAT_OBJECT = rf"^\{{(?:{_MEMBER}(?:,{_MEMBER})*)?\}}$"
"""A JSON object of texts without escapes, numbers and constants: what the sources' meta nearly always is."""

_DIGIT = np.isin(np.arange(256), list(b"0123456789abcdef"))

_SOLID = f"[^{WHITESPACE}]"
"""A character that is not white space; the search ends at the first one, which is nearly always the first character."""


class Problem(NamedTuple):
    """What is wrong with one row."""

    row: int
    code: str
    field: str
    message: str


def suspects(df: pl.DataFrame, kind: str) -> Mask:
    """True for each row that the model may refuse. `df` has the columns of the kind (without `id` if it is not yet made)."""
    bad = np.zeros(df.height, dtype=bool)
    for column in df.columns:
        bad |= _column_suspects(df[column], column)
    if kind == "pair":
        bad |= _same(df["chosen"], df["rejected"])
    return bad


def _same(a: pl.Series, b: pl.Series) -> Mask:
    """Lists of turns whose texts are equal. Of lists of different lengths the whole turns are compared."""
    both, lengths = pl.DataFrame({"a": a, "b": b}), _lengths(a)
    if not np.array_equal(lengths, _lengths(b)):
        return _true(both.select(pl.col("a").eq_missing(pl.col("b")))["a"])
    x, y = (pl.col(c).list.explode(keep_nulls=False, empty_as_null=False).struct.field("content") for c in "ab")
    return ~_owners(_true(both.select(x.ne_missing(y).alias("differ"))["differ"]), np.cumsum(lengths))


def _column_suspects(s: pl.Series, name: str) -> Mask:
    if name in ("prompt", "chosen", "rejected", "completion"):
        return _turn_suspects(s, ends_with_user=name == "prompt") | _unlike(s)
    if name == "completions":
        flat = s.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
        bad = _turn_suspects(flat["messages"], ends_with_user=False) | _not_finite(flat["score"]) | _not_finite(flat["rank"])
        if flat["id"].null_count() < len(flat):  # ids are made last
            bad |= ~_are_ids(flat["id"])
        return any_in_list(bad, s) | _true(s.list.len() == 0) | _unlike(s)
    if name == "id":
        return ~_are_ids(s)
    if name in ("margin", "weight"):
        return _true(s < 0) | _not_finite(s)
    if name == "p_chosen":
        return _true((s < 0.5) | (s > 1)) | _not_finite(s)
    if name == "score":
        return _not_finite(s)
    if name == "label":
        return _true(s.is_null())
    if name in ("source", "split"):
        return np.zeros(len(s), dtype=bool)
    if name == "annotations":
        return _annotation_suspects(s)
    return _json_suspects(s)  # tools, meta


def _are_ids(s: pl.Series) -> Mask:
    """Texts of 32 hexadecimal digits in lower case."""
    data, bounds = flat_texts(s)
    digits = _DIGIT[np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]]
    others = np.append(0, np.cumsum(~digits))
    at = bounds - bounds[0]
    fine: Mask = (np.diff(at) == 32) & (others[at[1:]] == others[at[:-1]])
    return fine


def _json_suspects(s: pl.Series) -> Mask:
    """Texts that are long, or that the strict parser refuses. It is asked only about texts that are no flat object."""
    t = pl.col("t")
    flags = pl.DataFrame({"t": s}).select(long=t.str.len_bytes() > JSON_BYTES, rest=~t.str.contains(_FLAT_OBJECT))
    bad, rest = _true(flags["long"]).copy(), _true(flags["rest"])
    at = np.flatnonzero(rest & ~bad)
    for i, text in zip(at.tolist(), s.gather(at).to_list(), strict=True):
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            bad[i] = True
    return bad


def _annotation_suspects(s: pl.Series) -> Mask:
    flat = s.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    shown = flat["completions"]
    bad = _true(flat["annotator"].is_null()) | ~_true(flat["kind"].is_in(get_args(AnnotatorKind)))
    bad |= ~_true(flat["outcome"].is_in(get_args(Outcome)).fill_null(True)) | _not_finite(flat["score"]) | _not_finite(flat["p_first"])
    bad |= _true((flat["p_first"] < 0) | (flat["p_first"] > 1)) | _true(shown.is_null())
    bad |= any_in_list(_true(shown.list.explode(keep_nulls=False, empty_as_null=False).is_null()), shown)
    return any_in_list(bad, s)


def _true(s: pl.Series) -> Mask:
    flags: Mask = (s.fill_null(False) if s.null_count() else s).to_numpy()
    return flags


def _not_finite(s: pl.Series) -> Mask:
    return ~_true(s.is_finite().fill_null(True))


def _unlike(s: pl.Series) -> Mask:
    return _true(s.is_null()) if s.null_count() else np.zeros(len(s), dtype=bool)


def any_in_list(flags: Mask, lists: pl.Series) -> Mask:
    """Lists of which some element is flagged; `flags` is one per element."""
    return _owners(flags, np.cumsum(_lengths(lists)))


def _owners(flags: Mask, ends: Any) -> Mask:
    out = np.zeros(len(ends), dtype=bool)
    out[np.searchsorted(ends, np.flatnonzero(flags), side="right")] = True
    return out


def _lengths(lists: pl.Series) -> Any:
    lengths = lists.list.len()
    return (lengths.fill_null(0) if lengths.null_count() else lengths).to_numpy().astype(np.int64)


def _turn_suspects(turns: pl.Series, ends_with_user: bool) -> Mask:
    lengths = _lengths(turns)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    flat = turns.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    role, content = pl.col("role"), pl.col("content")
    fine = [content.str.len_bytes() <= MAX_CONTENT_BYTES, *(pl.col(c).is_null() for c in flat.columns[2:])]
    roles = {r: role == r for r in ("user", "assistant", "system")}
    # one select: each call on a column costs more than the work on a small shard
    begins = ((content >= "!") & (content < "\x7f")) | ((content >= " !") & (content < " \x7f"))
    flags = flat.select(fine=pl.all_horizontal(fine), plain=begins, **roles)
    fine_, plain, is_user, is_assistant, is_system = map(_true, flags)
    fine_ = fine_ & _solid(flat["content"], plain)
    nonempty = lengths > 0
    behind = np.repeat(ends, lengths) - 1 - np.arange(len(fine_))  # turns that follow in the same list
    even = behind % 2 == 0
    first = np.zeros(len(fine_), dtype=bool)
    first[starts[nonempty]] = True
    if ends_with_user:
        fits = (even & is_user) | (~even & is_assistant & ~first) | (~even & is_system & first)
    else:
        fits = ((even & is_assistant) | (~even & is_user)) & (is_assistant | ~first)
    bad: Mask = _owners(~(fine_ & fits), ends) | ~nonempty
    return bad


def _solid(texts: pl.Series, plain: Mask) -> Mask:
    """Texts with a character that is not white space. Those that begin with one of ASCII, or a space and one (`plain`), are
    known without a search."""
    out, rest = plain.copy(), np.flatnonzero(~plain)
    if len(rest):
        out[rest] = _true(texts[rest].str.contains(_SOLID))
    return out


def problems(df: pl.DataFrame, kind: str, among: Mask | None = None) -> Iterator[Problem]:
    """The problems of every invalid row (`among` these), in row order, worded by the model."""
    bad = suspects(df, kind)
    rows = np.flatnonzero(bad if among is None else bad & among)
    if not len(rows):
        return
    model = KINDS[kind]
    for row, record in zip(rows.tolist(), df[rows].iter_rows(named=True), strict=True):
        try:
            model.model_validate(tidy(record))
        except ValidationError as e:
            for error, (field, message) in zip(
                e.errors(include_url=False, include_input=False, include_context=False), explain(e), strict=True
            ):
                yield Problem(row, _code(error["type"], field), field, message)


def _code(error: str, field: str) -> str:
    return "PD212" if field == "p_chosen" and error == "greater_than_equal" else RULES.get(error, "PD101")


def tidy(record: dict[str, Any]) -> dict[str, Any]:
    """A row as the model takes it: ids that are still to be made (the record's and its candidates') get a placeholder."""
    if "id" in record:
        return record
    out = {"id": "0" * 32, **record}
    if out.get("completions"):
        out["completions"] = [{**c, "id": c["id"] or "0" * 32} if c else c for c in out["completions"]]
    return out
