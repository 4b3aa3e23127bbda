"""`prefdata score`: records to the same records with the scores of their answers.

First everything that is asked or computed goes to the journal; then the records are read again, in order, and the output is written from
the journal alone. So it does not depend on the order of replies, on batches, or on how often the run was stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from prefdata.errors import BudgetError, ProviderError
from prefdata.io import account, step
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.judges.records import Part, Source, columns_of, parts, sources_of
from prefdata.judges.result import of_run
from prefdata.judges.work import Progress, Seen
from prefdata.llm.client import Stats, ask_all
from prefdata.llm.estimate import Estimate, estimate
from prefdata.llm.options import ClientOptions
from prefdata.llm.plan import Plan
from prefdata.llm.run_journal import run_journal
from prefdata.rewards.combine import Combined, Floats, combined, z_scores
from prefdata.sampling.score_options import ScoreOptions, together
from prefdata.sampling.score_result import ScoreResult
from prefdata.sampling.score_rows import Statements, Tally, new_annotations, scored
from prefdata.sampling.score_said import Dict, number
from prefdata.sampling.score_scorers import Panel, panel_of
from prefdata.schema.dtypes import in_order, schema
from prefdata.schema.ids import turns_key_of

Done = ScoreResult | Estimate
"""The account of a run; of a dry run the estimate."""
FREE = {*ClientOptions.model_fields, "reward_model", "implicit", "reference", "reward_server", "judge", "grader", "batch_tokens", "force"}
"""Options that the output does not depend on, and those that the scorers say in full."""
KEPT = ("scores", "run", "spent", "warnings", "journal")
"""Fields of a result that stand in the manifest under their own names."""
CHUNK = 512
"""Records that are plain Python objects at a time."""


def score(data: Sequence[str] | str, out: str, options: ScoreOptions, progress: Progress | None = None) -> Done:
    """Score every answer of records, and write the records with the scores as annotations and as `score` of candidates.

    `data`: paths, globs, "-" for stdin; records of any kind. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for stdout. Unusable rows go to
    `OUT.rejects.jsonl`. A score that fails is an annotation with the reason, and no number.

    Raises UsageError and InputError, ProviderError and BudgetError (what was scored is in the journal). Then `out` is as it was before.
    """
    names = [data] if isinstance(data, str) else list(data)
    place = options.journal or step.beside(out, "journal")
    started = time.monotonic()
    with ExitStack() as stack:
        files = stack.enter_context(opened(names))
        form = step.check_paths(out, [f.path for f in files], [place], sides=("rejects",))
        sources, kind = sources_of(files, options.kind)
        together(options, kind)
        run = Run(files, sources, _columns(sources, kind), kind, options, panel_of(options, kind))
        if options.dry_run:
            return run.estimated(place)
        known = {
            "options": options.model_dump(mode="json", exclude=FREE, exclude_defaults=True),
            "scorers": [s.described() for s in run.panel.scorers],
        }
        if not options.force:
            done = _up_to_date(out, known, files)
            if done is not None:
                return done
        inputs = stack.enter_context(step.described(files))
        journal = stack.enter_context(run_journal(place, "score", names, out, options))
        if not options.offline:
            run.ask(journal, progress)
        numbers = None if options.standardise == "none" else run.standardised(journal, progress)
        return run.write(out, form, journal, known, inputs(), numbers, started, progress)


def _columns(sources: Sequence[Source], kind: str) -> dict[str, pl.DataType]:
    """The columns of the output: binary records get a score where they had none."""
    found = columns_of(sources, kind)
    if kind == "binary":
        found["score"] = schema(kind)["score"]
    return {c: found[c] for c in in_order(list(found))}


@dataclass
class Run:
    """Records with their scorers, read as often as it takes: to ask, to compute, to compare, and to write."""

    files: list[Input]
    sources: list[Source]
    columns: dict[str, pl.DataType]
    kind: str
    options: ScoreOptions
    panel: Panel
    done: int = 0
    rows: int = 0
    stats: Stats = field(default_factory=Stats)
    computed: int = 0
    busy: float = 0.0

    def parts(self) -> Iterator[tuple[Part, bytes]]:
        """The records with the lines for the rejects file, shard by shard, in order."""
        self.done = self.rows = 0
        for part, lines in parts(self.sources, self.columns, self.options.limit, 1):
            yield part, lines
            self.done += part.packed
            self.rows += part.counts.read

    def seen(self, what: str, stats: Stats | None = None, share: float = 0.0, part: Part | None = None) -> Seen:
        """How far it is; `share` of the part that is at work."""
        more = (0, 0) if part is None else (int(share * part.packed), int(share * part.counts.read))
        return Seen(what, self.done + more[0], sum(f.size for f in self.files), self.rows + more[1], stats)

    def ask(self, journal: Journal, progress: Progress | None) -> None:
        """Have everything in the journal: first what servers say, then what is computed here, one model in memory at a time."""
        try:
            if self.panel.pools:
                tell = None if progress is None else lambda stats: progress(self.seen("score", stats))
                self.stats = ask_all(self._plans(), self.options, journal, self.panel.pools, tell)
        except (BudgetError, ProviderError) as e:
            raise type(e)(f"{e}\nwith --offline it writes what can be written from the scores so far") from None
        try:
            self._fill(journal, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; what was scored is in {journal.path}; the same command goes on from there") from None

    def _plans(self) -> Iterator[Plan[object]]:
        for part, _ in self.parts():
            for row in _rows(part.df):
                for scorer in self.panel.scorers:
                    yield from scorer.plans(row)

    def _fill(self, journal: Journal, progress: Progress | None) -> None:
        for scorer in self.panel.scorers:
            for filler in scorer.fillers():
                for part, _ in self.parts():
                    began, before = time.monotonic(), self.computed

                    def tell(n: int, part: Part = part, before: int = before, name: str = scorer.name) -> None:
                        self.computed += n
                        if progress is not None:
                            answers = max(1, part.df.height * _answers(part.df, self.kind))
                            progress(self.seen(name, None, min(1.0, (self.computed - before) / answers), part))

                    filler.fill(list(_rows(part.df)), journal, tell)
                    self.busy += time.monotonic() - began
                filler.release()

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[Statements]:
        """What each scorer says of some records."""
        return [s.said(rows, journal) for s in self.panel.scorers]

    def standardised(self, journal: Journal, progress: Progress | None) -> Floats:
        """The numbers of all candidates as z-scores, [candidates, scorers]."""
        values: list[Floats] = []
        groups: list[pl.Series] = []
        for part, _ in self.parts():
            for df in part.df.iter_slices(CHUNK):
                values.append(raw(self.said(df.to_dicts(), journal)))
                groups.append(_groups(df, self.kind, self.options.standardise))
            if progress is not None:
                progress(self.seen("standardise"))
        if not values:
            return np.zeros((0, len(self.panel.scorers)))
        ranks = pl.concat(groups).rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        return z_scores(np.concatenate(values), ranks)

    def write(
        self,
        out: str,
        form: str,
        journal: Journal,
        known: dict[str, Any],
        inputs: list[dict[str, Any]],
        numbers: Floats | None,
        started: float,
        progress: Progress | None,
    ) -> ScoreResult:
        """Write the output from the journal, with its side files and the manifest."""
        tally = Tally(self.panel.scorers)
        empty = pl.DataFrame(schema=self.columns)
        at = 0
        with step.writing(out, form, empty, sides=("rejects",)) as written:
            for part, bad in self.parts():
                frames = [empty]
                for df in part.df.iter_slices(CHUNK):
                    rows = df.to_dicts()
                    said = self.said(rows, journal)
                    values = raw(said)
                    if numbers is not None:
                        values, at = numbers[at : at + len(values)], at + len(values)
                    frames.append(self._scored(df, rows, said, values, tally))
                counts = part.counts
                counts.written = part.df.height
                written.add(pl.concat(frames), counts, rejects=bad)
                if progress is not None:
                    progress(self.seen("write"))
        spent = journal.spent()._asdict()
        asked = of_run([self.stats]) if self.panel.pools else {}
        rate = self.computed / self.busy if self.busy else 0.0
        local = {"computed": self.computed, "rate": round(rate, 1)} if self.computed else {}
        result = ScoreResult(
            out=out,
            kind=self.kind,
            counts=written.counts.as_dict(),
            records=written.counts.records,
            inputs=inputs,
            scores=tally.as_dict(),
            run={**asked, **local},
            spent=spent,
            journal=journal.path,
            rejects=written.sides.get("rejects"),
            sha256=written.sha256,
            seconds=round(time.monotonic() - started, 3),
        )
        if out != "-":
            more = {name: getattr(result, name) for name in KEPT}
            made = step.manifest("score", known, inputs, written, kind=self.kind, seconds=result.seconds, **more)
            account.write_manifest(out, made)
        return result

    def _scored(self, df: pl.DataFrame, rows: list[Dict], said: list[Statements], values: Floats, tally: Tally) -> pl.DataFrame:
        o = self.options
        decided = combined(values, o.aggregate, o.penalty) if self.panel.combined else Combined(values[:, 0], np.zeros(len(values)))
        for scorer, statements in zip(self.panel.scorers, said, strict=True):
            for some in statements:
                for one in some:
                    tally.add(scorer, one)
        tally.decisions(decided.value)
        new = new_annotations(rows, self.kind, self.panel.scorers, said, self.panel.combined, o.aggregate, decided)
        return scored(df, self.kind, new, decided.value)

    def estimated(self, place: str) -> Estimate:
        """What it would send."""
        if not os.path.exists(place):
            return estimate(self._plans(), self.options, None)
        with Journal(place, write=False) as journal:
            return estimate(self._plans(), self.options, journal)


def raw(said: Sequence[Statements]) -> Floats:
    """The number of each scorer for each candidate, [candidates, scorers]; NaN where there is none."""
    columns = [[number(one) for some in statements for one in some] for statements in said]
    return np.array([[np.nan if v is None else v for v in c] for c in columns], np.float64).T.reshape(-1, len(said))


def _rows(df: pl.DataFrame) -> Iterator[Dict]:
    for part in df.iter_slices(CHUNK):
        yield from part.to_dicts()


def _answers(df: pl.DataFrame, kind: str) -> float:
    """Answers per record."""
    if kind != "listwise":
        return 2.0 if kind == "pair" else 1.0
    return float(df["completions"].list.len().sum()) / max(1, df.height)


def _groups(df: pl.DataFrame, kind: str, by: str) -> pl.Series:
    """What the candidates are compared within: the prompt, or the model."""
    n = df["completions"].list.len() if kind == "listwise" else pl.repeat(2 if kind == "pair" else 1, df.height, eager=True)
    if by == "model":
        return df["completions"].list.explode(keep_nulls=False, empty_as_null=False).struct.field("model").alias("group")
    keys = turns_key_of(df["prompt"])
    return keys.gather(np.repeat(np.arange(df.height), n.to_numpy())).alias("group")


def _up_to_date(out: str, known: dict[str, Any], files: Sequence[Input]) -> ScoreResult | None:
    """The result that the manifest has, if nothing has changed and nothing is left to try again."""
    found = step.up_to_date(out, "score", known, files)
    if found is None:
        return None
    names = (*KEPT, "kind", "counts", "records", "inputs", "rejects", "seconds")
    result = ScoreResult(out, **{n: found[n] for n in names}, sha256=found["output"]["sha256"])
    return None if result.passing else replace(result, up_to_date=True)
