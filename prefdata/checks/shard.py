"""The validate step: a function from a shard to flagged rows and facts. It depends on its arguments only, so any runner may run it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from prefdata.checks.facts import ALWAYS, FACTS
from prefdata.checks.locate import locate, row_of, text_of
from prefdata.checks.reading import Reading
from prefdata.checks.reading_rules import rule_of
from prefdata.checks.rule import Limit, Rule
from prefdata.checks.view import Hits, Ints, Mask, View
from prefdata.io.plan import Shard
from prefdata.io.read import Batch
from prefdata.io.rejects import Reject
from prefdata.schema.valid import problems
from prefdata.sources.decide import FIRST_WINS
from prefdata.sources.intake import reason_of
from prefdata.tokens import Lens, Seen, look
from prefdata.tokens.rules import BY_CODE as RULES_BY_CODE

T = TypeVar("T")


@dataclass(frozen=True)
class Checks:
    """The rules that run, with their limits."""

    rules: dict[str, Rule]
    limits: dict[str, dict[str, Limit]] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    lens: Lens | None = None
    """Through what a trainer looks at the records."""


class Flagged(NamedTuple):
    """Rows that a rule flags. Words and ids are made when they are asked for: most findings are only counted."""

    code: str
    lines: Ints
    """Lines of the rows, counted from the shard's start."""
    words: Callable[[int], tuple[str, str | None]]
    """Message and field of the i-th."""
    id: Callable[[int], str | None]


@dataclass
class Checked:
    """A checked shard."""

    rows: int
    line_count: int
    flagged: list[Flagged]
    facts: pl.DataFrame
    unit: str
    packed: int
    seen: Seen | None = None


def check_shard(shard: Shard, reading: Reading, checks: Checks) -> Checked:
    """Read and check one shard; every flagged row is a row of the shard."""
    batch = reading.read(shard)
    if shard.cells is not None:
        batch.raw = _cells(shard, batch)
    found = check_batch(batch, reading, checks)
    found.unit, found.packed = shard.unit, shard.packed
    return found


def _cells(shard: Shard, batch: Batch) -> Callable[[int], bytes]:
    """CSV rows as objects, so that fields can be named."""
    import orjson

    cells = shard.cells
    assert cells is not None
    at = {line - 1: i for i, line in enumerate(shard.lines or ())}
    return lambda i: orjson.dumps(cells.row(at[batch.line_of(i)], named=True))


def check_batch(batch: Batch, reading: Reading, checks: Checks) -> Checked:
    """Check rows that were read."""
    records, row_of_record, lost = reading.records(batch.df)
    invalid = np.zeros(records.height, dtype=bool)
    refused = [*_rejected(batch.rejects), *_lost(lost, reading, batch), *_invalid(records, reading, batch, row_of_record, invalid)]
    flagged = _flagged(refused, checks)
    keep = np.flatnonzero(~invalid)
    view = View(records if len(keep) == records.height else records[keep], reading.kind)
    rows = row_of_record[keep]
    for code, rule in checks.rules.items():
        if rule.row is not None and reading.kind in rule.kinds and len(view):
            found = rule.row(view, **checks.limits.get(code, {}))
            flagged += [_of_rule(rule, hits, view, rows, reading, batch) for hits in found]
    lines = rows if batch.lines is None else np.array(batch.lines, dtype=np.int64)[rows]
    seen = None
    if checks.lens is not None:
        seen = look(view.df if "id" in view.df.columns else view.df.with_columns(view.ids.alias("id")), view.kind, checks.lens)
        flagged += _of_tokens(seen, view, rows, lines, reading, batch, checks)
    return Checked(batch.read, batch.line_count, flagged, facts_of(view, lines, checks), "line", 0, seen)


def _of_tokens(seen: Seen, view: View, rows: Ints, lines: Ints, reading: Reading, batch: Batch, checks: Checks) -> list[Flagged]:
    """What a trainer's tokenizer makes of the rows, as findings: the first of each rule and row."""
    found: dict[tuple[str, int], tuple[str, _Row]] = {}
    for row, code, name, detail in seen.flags:
        field: Callable[[], str | None] = partial(_same, name)
        if reading.source is not None:
            field = partial(_place, view.df, row, name.partition("[")[0], None, batch, int(rows[row]))
        message = f"{RULES_BY_CODE[code].message} ({detail})"
        found.setdefault((code, row), (code, _Row(int(lines[row]), message, field, partial(_same, None), view.ids[row])))
    return _flagged(found.values(), checks)


def facts_of(view: View, lines: Ints, checks: Checks) -> pl.DataFrame:
    """The facts of the valid records that some rule asks for."""
    if not checks.facts:
        return pl.DataFrame()
    columns = {name: FACTS[name](view) for name in dict.fromkeys((*ALWAYS, *checks.facts)) if applies(name, view.kind)}
    return pl.DataFrame({"line": pl.Series(lines, dtype=pl.Int64), **columns})


def applies(fact: str, kind: str) -> bool:
    """Whether records of a kind have a fact: it is about a column that they have."""
    about = fact.removeprefix("loose_").partition("_")[0]
    kinds = {"chosen": ("pair",), "rejected": ("pair",), "completion": ("binary",), "label": ("binary",), "completions": ("listwise",)}
    return kind in kinds.get(about, (kind,))


class _Row(NamedTuple):
    """A flagged row that is no sound record: its line, what is said of it, the field, its raw text, and the id that it states."""

    line: int
    message: str
    field: Callable[[], str | None]
    raw: Callable[[], bytes | None]
    id: str | None = None


def _flagged(found: Iterable[tuple[str, _Row]], checks: Checks) -> list[Flagged]:
    by_code: dict[str, list[_Row]] = {}
    for code, row in found:
        if code in checks.rules:
            by_code.setdefault(code, []).append(row)
    return [
        Flagged(code, np.array([r.line for r in rows], dtype=np.int64), partial(_words, rows), partial(_raw_id, rows))
        for code, rows in by_code.items()
    ]


def _words(rows: list[_Row], i: int) -> tuple[str, str | None]:
    return rows[i].message, rows[i].field()


def _raw_id(rows: list[_Row], i: int) -> str:
    """The id that a row states; else one of its raw text."""
    return rows[i].id or hashlib.sha256(rows[i].raw() or b"").hexdigest()[:32]


def _rejected(rejects: Iterable[Reject]) -> Iterator[tuple[str, _Row]]:
    """Rows that could not be read."""
    for r in rejects:
        yield rule_of(r.code), _Row(r.line, r.reason, partial(_same, r.field), partial(_same, r.raw))


def _same(value: T) -> T:
    return value


def _lost(lost: pl.DataFrame, reading: Reading, batch: Batch) -> Iterator[tuple[str, _Row]]:
    """Rows that their source refuses. What it drops (ties, say) is no finding."""
    if reading.source is None:
        return
    dropped = {"tie", "abstain", "invalid", "undecided"} | {d.code for d in reading.source.defects if d.action == "drop"}
    for row, fate, at in lost.sort("_row").iter_rows():
        if fate not in dropped:
            message = f"{fate}: {reason_of(fate, reading.source)}"
            yield rule_of(fate), _Row(batch.line_of(row), message, partial(_same, at), partial(batch.raw, row))


def _invalid(records: pl.DataFrame, reading: Reading, batch: Batch, rows: Ints, invalid: Mask) -> Iterator[tuple[str, _Row]]:
    """Records that the models refuse, in the models' words; they are marked in `invalid`."""
    for p in problems(records.drop(FIRST_WINS, strict=False), reading.kind):
        invalid[p.row] = True
        row = int(rows[p.row])
        if reading.source is None:
            field = partial(_same, p.field)
        else:
            field = partial(_place, records, p.row, p.field.partition(".")[0], None, batch, row)
        stated = records["id"][p.row] if "id" in records.columns else None
        yield p.code, _Row(batch.line_of(row), p.message, field, partial(batch.raw, row), stated)


def _of_rule(rule: Rule, hits: Hits, view: View, rows: Ints, reading: Reading, batch: Batch) -> Flagged:
    name = hits.field or rule.field
    message = f"{rule.message} ({hits.note})" if hits.note else rule.message

    def words(i: int) -> tuple[str, str | None]:
        turn = None if hits.turns is None else int(hits.turns[i])
        row = int(hits.rows[i])
        if name is None:
            return message, None
        if reading.source is not None:
            return message, _place(view.df, row, name, turn, batch, int(rows[row]))
        return message, name if turn is None else f"{name}[{turn}].content"

    at = rows[hits.rows]
    lines = at if batch.lines is None else np.array(batch.lines, dtype=np.int64)[at]
    return Flagged(rule.code, lines, words, lambda i: view.ids[int(hits.rows[i])])


def _place(records: pl.DataFrame, record: int, name: str, turn: int | None, batch: Batch, row: int) -> str:
    """The file's own name for a field of a record."""
    return locate(row_of(batch.raw(row)), name, text_of(records.row(record, named=True), name, turn))
