"""`prefdata revise`: prompts to pairs of a draft and its revision by written principles (SL-CAI), with every step on the way.

As `label` (run.py): everything is asked first and kept in the journal; then the prompts are read again, in order, and the output is
written from the journal alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from prefdata.errors import BudgetError, ProviderError, UsageError
from prefdata.io import account, step
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.judges.constitution import as_manifest, load, only
from prefdata.judges.prompts import Prompts, prompts_of
from prefdata.judges.records import Part
from prefdata.judges.result import of_run
from prefdata.judges.revise_options import ReviseOptions
from prefdata.judges.revise_plan import Reviser, reviser
from prefdata.judges.revise_result import ReviseResult, served_warnings
from prefdata.judges.revise_rows import KIND
from prefdata.judges.revised import Shards, Tally
from prefdata.judges.work import Progress, Seen
from prefdata.llm.batch import Exported, Imported, Make, export_batch, import_batch
from prefdata.llm.client import Pool, Stats, ask_all, pool_of
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.estimate import Estimate, estimate
from prefdata.llm.options import ClientOptions
from prefdata.llm.run_journal import run_journal

Done = ReviseResult | Estimate | Exported | Imported
"""The account of a run; of a dry run the estimate, of --batch what was exported or imported."""
FREE = {*ClientOptions.model_fields, "constitution", "force"} - {"provider"}
"""Options that the output does not depend on, and those that `by` and `constitution` say in full."""
SIDES = ("rejects", "undecided", "steps")
"""Files beside the output. The manifest has the last one as `all_steps`: its `steps` are numbers."""
KEPT = ("steps", "principles", "cost", "served", "run", "warnings", "all_steps", "journal", "seconds")
"""Fields of a result that stand in the manifest under their own names."""


def revise(data: Sequence[str] | str, out: str, options: ReviseOptions, progress: Progress | None = None) -> Done:
    """Have a model criticise and rewrite answers by the principles of a constitution, and write pairs, answers or lists (`emit`).

    `data`: paths, globs, "-" for stdin; records of any kind, or rows with a `prompt`. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for
    stdout. Every step goes to `OUT.steps.jsonl`, prompts without a revision to `OUT.undecided.jsonl` with the reason, unusable rows to
    `OUT.rejects.jsonl`.

    Raises UsageError and InputError, ProviderError and BudgetError (replies so far are in the journal). Then `out` is as it was before.
    """
    names = [data] if isinstance(data, str) else list(data)
    place = options.journal or step.beside(out, "journal")
    started = time.monotonic()
    with ExitStack() as stack:
        files = stack.enter_context(opened(names))
        form = step.check_paths(out, [f.path for f in files], [place], SIDES)
        run = _checked(files, options)
        if options.dry_run:
            return _estimated(run, place)
        known = _known(run.shards.by)
        if not options.force and options.batch is None:
            done = _up_to_date(out, known, files)
            if done is not None:
                return done
        inputs = stack.enter_context(step.described(files))
        journal = stack.enter_context(run_journal(place, "revise", names, out, options))
        if options.batch == "export":
            return export_batch(run.makers(), journal, step.beside(out, "batch"), provider=options.provider)
        if options.batch == "import":
            return import_batch(step.beside(out, "batch"), journal, price_in=options.price_in, price_out=options.price_out)
        if not options.offline:
            run.ask(journal, progress)
        written, tally = _written(run, out, form, journal, progress)
        result = _result(run, written, tally, journal)
        result.inputs = inputs()
        result.seconds = round(time.monotonic() - started, 3)
        if out != "-":
            account.write_manifest(out, _manifest(result, known, written, options.seed))
    return result


@dataclass
class Run:
    """Prompts with who revises, read as often as it takes: to ask, and to write."""

    files: list[Input]
    prompts: Prompts
    shards: Shards
    pools: dict[str, Pool]
    done: int = 0
    rows: int = 0
    stats: Stats = field(default_factory=Stats)

    def parts(self) -> Iterator[tuple[Part, bytes]]:
        """The prompts with the lines for the rejects file, shard by shard, in order."""
        self.done = self.rows = 0
        for part, lines in self.prompts.parts():
            yield part, lines
            self.done += part.packed
            self.rows += part.counts.read

    def makers(self) -> Iterator[Make]:
        """A function for every prompt that begins its plan."""
        for part, _ in self.parts():
            yield from self.shards.makers(part)

    def seen(self, what: str, stats: Stats | None = None) -> Seen:
        return Seen(what, self.done, sum(f.size for f in self.files), self.rows, stats)

    def ask(self, journal: Journal, progress: Progress | None) -> None:
        """Have every plan answered, with its replies in the journal."""
        tell = None if progress is None else lambda stats: progress(self.seen("revise", stats))
        try:
            self.stats = ask_all((make() for make in self.makers()), self.shards.by.options, journal, self.pools, tell)
        except (BudgetError, ProviderError) as e:
            raise type(e)(f"{e}\nwith --offline it writes what can be written from the replies so far") from None


def _checked(files: list[Input], options: ReviseOptions) -> Run:
    """Everything that can be wrong before the first request. Raises UsageError."""
    if options.model is None:
        raise UsageError("--model: which model should criticise and revise?")
    constitution = load(options.constitution)
    by = reviser(options.model, only(constitution, options.about) if options.about else constitution, options)
    prompts = prompts_of(files, options.kind, options.limit)
    has = {"pair": ("chosen", "rejected"), "binary": ("completion",), "listwise": ("completion",), None: ()}[prompts.kind]
    if options.draft not in ("generate", *has):
        what = f"{prompts.kind} records" if prompts.kind else "prompts alone"
        answers = " and ".join(has) or "no answer"
        raise UsageError(f"--draft {options.draft}: the inputs are {what} and have {answers}; --draft generate asks the model for drafts")
    pool = pool_of(options)
    if not (options.offline or options.dry_run or options.batch):
        authorization(pool)
        for base in pool.base_url:
            address(pool, base, options.model)
    return Run(files, prompts, Shards(by, prompts.columns), {"": pool})


def _estimated(run: Run, place: str) -> Estimate:
    """What it would send."""
    plans = (make() for make in run.makers())
    if not os.path.exists(place):
        return estimate(plans, run.shards.by.options, None)
    with Journal(place, write=False) as journal:
        return estimate(plans, run.shards.by.options, journal)


def _written(run: Run, out: str, form: str, journal: Journal, progress: Progress | None) -> tuple[step.Written, Tally]:
    """Write the output and its side files from the journal."""
    tally = Tally()
    with step.writing(out, form, run.shards.frame([]), SIDES) as written:
        for part, bad in run.parts():
            done = run.shards.part(part, journal, tally)
            written.add(done.out, done.counts, rejects=bad, undecided=done.undecided, steps=done.steps)
            if progress is not None:
                progress(run.seen("write"))
    return written, tally


def _result(run: Run, written: step.Written, tally: Tally, journal: Journal) -> ReviseResult:
    by = run.shards.by
    o = by.options
    return ReviseResult(
        out=written.out,
        kind=KIND[o.emit],
        counts=written.counts.as_dict(),
        records=written.counts.records,
        inputs=[],
        **tally.as_dict((o.price_in, o.price_out)),
        run=of_run([run.stats]),
        spent=journal.spent()._asdict(),
        warnings=served_warnings(by.model, tally.served),
        rejects=written.sides.get("rejects"),
        undecided=written.sides.get("undecided"),
        all_steps=written.sides.get("steps"),
        journal=journal.path,
        sha256=written.sha256,
    )


def _known(by: Reviser) -> dict[str, Any]:
    """Everything that the revisions depend on besides the prompts."""
    return {
        "options": by.options.model_dump(mode="json", exclude=FREE, exclude_defaults=True),
        "by": by.annotator,
        "constitution": {k: v for k, v in as_manifest(by.constitution).items() if k != "comparison"},
    }


def _manifest(result: ReviseResult, known: dict[str, Any], written: step.Written, seed: int) -> dict[str, Any]:
    spent = result.spent
    more = {name: getattr(result, name) for name in KEPT}
    more |= {"calls": spent["calls"], "tokens": {"in": spent["tokens_in"], "out": spent["tokens_out"]}, "money": spent["usd"]}
    return step.manifest("revise", known, result.inputs, written, kind=result.kind, seed=seed, **more)


def _up_to_date(out: str, known: dict[str, Any], files: Sequence[Input]) -> ReviseResult | None:
    """The result that the manifest has, if nothing has changed and every reply came."""
    found = step.up_to_date(out, "revise", known, files, sides=("rejects", "undecided", "all_steps"))
    if found is None:
        return None
    spent = {"calls": found["calls"], "tokens_in": found["tokens"]["in"], "tokens_out": found["tokens"]["out"], "usd": found["money"]}
    kept = {name: found[name] for name in (*KEPT, "kind", "counts", "records", "inputs", "rejects", "undecided")}
    result = ReviseResult(out, **kept, spent=spent, sha256=found["output"]["sha256"])
    return None if result.unanswered else replace(result, up_to_date=True)
