"""One shard of prompts and what stored replies make of it: lists of candidates, the prompts that got none, and the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from prefdata.errors import AccountError
from prefdata.io.account import Counts
from prefdata.io.journal import Journal
from prefdata.io.write import encode
from prefdata.judges.records import Part
from prefdata.judges.revise_plan import Prompt
from prefdata.judges.tally import Cost
from prefdata.llm.batch import Make
from prefdata.llm.plan import Plan
from prefdata.llm.request import Reply, Request
from prefdata.sampling import kept
from prefdata.sampling.answers import NO_REPLY, Answer, answer
from prefdata.sampling.local import Job
from prefdata.sampling.policies import Policies, Policy
from prefdata.schema.dtypes import TOOL_TURNS, TURNS, in_order
from prefdata.schema.ids import add_ids, completion_ids
from prefdata.sources.build import ANNOTATION, annotation

CHUNK = 64
"""Prompts that are plain Python objects at a time."""
MOST = 16_384
"""Answers that are made into records together."""
KEPT = ("prompt", "tools", "source", "split", "meta")
"""What a record takes over from its input."""
Row = dict[str, Any]


@dataclass
class Books:
    """What became of the answers that one policy was asked for: asked = candidates + duplicates + dropped."""

    asked: int = 0
    candidates: int = 0
    duplicates: int = 0
    """Answers that are word for word another candidate of their prompt."""
    finish: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    cost: Cost = field(default_factory=Cost)

    def check(self) -> None:
        """Raise AccountError when an answer is lost or invented."""
        if self.asked != self.candidates + self.duplicates + self.dropped.total():
            raise AccountError(f"the answers do not balance: {self}; nothing was written. Please report this")


class Done(NamedTuple):
    """The records of a shard, the lines of OUT.dropped.jsonl, and the counts."""

    out: pl.DataFrame
    dropped: bytes
    counts: Counts


class Found(NamedTuple):
    """Candidates of some prompts, a line each, and the answers that are none: reasons by the row."""

    lines: list[Row]
    why: dict[int, Counter[str]]


@dataclass(frozen=True)
class Shards:
    """Makes plans, jobs and outputs of shards. `kind` is that of the records whose completions join, None without."""

    policies: Policies
    columns: dict[str, pl.DataType]
    kind: str | None

    @property
    def turns(self) -> pl.DataType:
        """The type of candidates' messages: with tool fields where anything has them."""
        inner = self.columns.get("completions")
        types = [self.columns[c] for c in ("prompt", "chosen", "rejected", "completion") if c in self.columns]
        types += [inner.inner.to_schema()["messages"]] if inner is not None else []  # type: ignore[attr-defined]
        return TOOL_TURNS if "tools" in self.columns or any(t != TURNS for t in types) else TURNS

    def makers(self, part: Part) -> Iterator[Make]:
        """A function for every prompt and policy on a server that begins its plan."""
        for prompt in prompts(part.df):
            for policy in self.policies.remote:
                yield partial(plan_of, policy, prompt)

    def jobs(self, part: Part, policy: Policy, journal: Journal) -> Iterator[Job]:
        """What a local policy has not answered yet."""
        for chunk in part.df.iter_slices(CHUNK):
            asked = [(p, policy.requests(p)) for p in prompts(chunk)]
            stored = iter(journal.find([r.key for _, requests in asked for r in requests]))
            for p, requests in asked:
                missing = [r for r, s in zip(requests, stored, strict=False) if s is None]
                if missing:
                    yield Job(policy.turns(p.turns), p.tools, missing)

    def part(self, part: Part, journal: Journal, books: dict[str, Books]) -> Iterator[Done]:
        """What stored replies make of one shard, piece by piece; the books of rows that are no prompts come with the first."""
        rows = max(1, MOST // sum(p.n for p in self.policies.all))
        lost = part.counts.read - part.df.height
        for begin in range(0, max(part.df.height, 1), rows):
            done = self._piece(part.df[begin : begin + rows], journal, books)
            if begin == 0:
                done.counts.read += lost
                done.counts.rejected.update(part.counts.rejected)
            yield done

    def _piece(self, df: pl.DataFrame, journal: Journal, books: dict[str, Books]) -> Done:
        found = self._found(df, journal, books)
        flat = self._generated(found.lines)
        old = kept.candidates(df, self.kind, self.turns)
        new = flat.select(
            "row", "id", "messages", pl.col("policy").alias("model"), score=pl.lit(None, pl.Float64), rank=pl.lit(None, pl.Float64)
        )
        every = pl.concat([old, new])
        first = every.select(pl.struct("row", "id").is_first_distinct())["row"]
        fresh = flat.with_columns(first.slice(old.height).alias("fresh")).group_by("policy").agg(pl.col("fresh").sum(), n=pl.len())
        for policy, count, n in fresh.iter_rows():
            books[policy].candidates += count
            books[policy].duplicates += n - count
        lists = every.filter(first).group_by("row").agg(pl.struct(kept.CANDIDATE).alias("completions"))
        said = pl.concat([kept.statements(df, self.kind), statements(flat)]).group_by("row", maintain_order=True)
        numbered = df.select(c for c in KEPT if c in df.columns).with_row_index("row")
        out = numbered.join(lists, on="row", how="inner", maintain_order="left")
        out = out.join(said.agg(pl.col("annotation").alias("annotations")), on="row", how="left", maintain_order="left")
        return self._done(df, found, out)

    def frame(self, out: pl.DataFrame | None = None) -> pl.DataFrame:
        """Records with their ids; without any the columns of the output."""
        names = in_order([*(c for c in KEPT if c in self.columns), "completions", "annotations"])
        if out is None:
            fields = {c: t for c, t in kept.types(self.turns).items() if c != "row"}
            types = {**self.columns, "completions": pl.List(pl.Struct(fields)), "annotations": pl.List(ANNOTATION)}
            out = pl.DataFrame(schema={c: types[c] for c in names})
        return add_ids(out.select(names), "listwise")

    def _done(self, df: pl.DataFrame, found: Found, out: pl.DataFrame) -> Done:
        lost = df.with_row_index("row").filter(~pl.col("row").is_in(out["row"].implode()))
        why = [found.why[row].most_common(1)[0][0] for row in lost["row"]]  # the commonest reason, of several the first
        lost = lost.drop("row").with_columns(pl.Series("why", why, dtype=pl.String))
        counts = Counts(df.height, out.height, dropped=Counter(why), written=out.height)
        return Done(self.frame(out), encode(lost, "jsonl") if lost.height else b"", counts)

    def _found(self, df: pl.DataFrame, journal: Journal, books: dict[str, Books]) -> Found:
        found = Found([], {})
        for begin in range(0, df.height, CHUNK):
            asked = [(p, policy, policy.requests(p)) for p in prompts(df[begin : begin + CHUNK]) for policy in self.policies.all]
            stored = iter(journal.find([r.key for _, _, requests in asked for r in requests]))
            for n, (prompt, policy, requests) in enumerate(asked):
                row = begin + n // len(self.policies.all)
                for request in requests:
                    reply = next(stored)
                    said = _answered(
                        request, None if reply is None else Reply(request.key, *reply), prompt, policy, journal, books[policy.name]
                    )
                    if isinstance(said, Answer):
                        found.lines.append(
                            {"row": row, "policy": policy.name, "request": request.id, "messages": [said.turn], **said.about}
                        )
                    else:
                        found.why.setdefault(row, Counter())[said] += 1
        return found

    def _generated(self, lines: list[Row]) -> pl.DataFrame:
        types = {"row": pl.UInt32(), "policy": pl.String(), "request": pl.String(), "messages": self.turns}
        flat = pl.DataFrame(lines, schema={**types, "finish": pl.String(), "thought": pl.String()}, strict=True)
        return flat.with_columns(completion_ids(flat["messages"]))


def prompts(df: pl.DataFrame) -> Iterator[Prompt]:
    """The prompts of a frame of records."""
    for row in df.select(c for c in ("id", "prompt", "tools") if c in df.columns).iter_rows(named=True):
        yield Prompt(row["id"], row["prompt"], row.get("tools"))


def plan_of(policy: Policy, prompt: Prompt) -> Plan[None]:
    """All samples at once: none depends on another."""
    yield policy.requests(prompt)


def _answered(request: Request, reply: Reply | None, prompt: Prompt, policy: Policy, journal: Journal, books: Books) -> Answer | str:
    """An answer, or why there is none; counted."""
    books.asked += 1
    if reply is None:
        found: Answer | str = f"{NO_REPLY}:{journal.why(request.key)}"
    else:
        books.cost.add(reply)
        if reply.model is not None:
            books.served[reply.model] += 1
        found = answer(reply, policy, prompt.tools is not None)
    if isinstance(found, Answer):
        books.finish[found.finish] += 1
    else:
        books.dropped[found] += 1
    return found


def statements(flat: pl.DataFrame) -> pl.DataFrame:
    """`row, annotation`: why each answer ended, and its thought."""
    about: dict[str, Any] = {
        "annotator": pl.col("policy"),
        "kind": "source",
        "completions": pl.concat_list("id"),
        "request": pl.col("request"),
    }
    ended = flat.select("row", annotation(**about, aspect="finish_reason", rationale=pl.col("finish")).alias("annotation"))
    thought = flat.filter(pl.col("thought").is_not_null())
    thought = thought.select("row", annotation(**about, aspect="thought", rationale=pl.col("thought")).alias("annotation"))
    return pl.concat([ended, thought]).sort("row", maintain_order=True)
