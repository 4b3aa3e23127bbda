"""`prefdata revise`: prompts to pairs of a draft and its revision by written principles (SL-CAI), with every step on the way.

As `label` (run.py): everything is asked first and kept in the journal; then the prompts are read again, in order, and the output is
written from the journal alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from prefdata.errors import BudgetError, ProviderError, UsageError
from prefdata.io import account
from prefdata.io.account import Counts
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.io.rejects import RejectsFile
from prefdata.io.sniff import Input
from prefdata.io.write import Writer, encode, file_format, replacing
from prefdata.judges.constitution import load, only
from prefdata.judges.manifest import described
from prefdata.judges.prompts import Prompts, prompts_of
from prefdata.judges.records import Part
from prefdata.judges.result import of_run
from prefdata.judges.revise_manifest import manifest, settings, up_to_date
from prefdata.judges.revise_options import ReviseOptions
from prefdata.judges.revise_paths import Paths
from prefdata.judges.revise_plan import reviser
from prefdata.judges.revise_result import ReviseResult, served_warnings
from prefdata.judges.revise_rows import KIND
from prefdata.judges.revised import Shards, Tally
from prefdata.judges.work import Progress, Seen
from prefdata.llm.batch import Exported, Imported, Make, export_batch, import_batch
from prefdata.llm.client import Pool, Stats, ask_all, pool_of
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.estimate import Estimate, estimate

Done = ReviseResult | Estimate | Exported | Imported
"""The account of a run; of a dry run the estimate, of --batch what was exported or imported."""


def revise(data: Sequence[str] | str, out: str, options: ReviseOptions, progress: Progress | None = None) -> Done:
    """Have a model criticise and rewrite answers by the principles of a constitution, and write pairs, answers or lists (`emit`).

    `data`: paths, globs, "-" for stdin; records of any kind, or rows with a `prompt`. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for
    stdout. Every step goes to `OUT.steps.jsonl`, prompts without a revision to `OUT.undecided.jsonl` with the reason, unusable rows to
    `OUT.rejects.jsonl`.

    Raises UsageError and InputError, ProviderError and BudgetError (replies so far are in the journal). Then `out` is as it was before.
    """
    names = [data] if isinstance(data, str) else list(data)
    paths = Paths.of(out, options.journal)
    started = time.monotonic()
    with ExitStack() as stack:
        form = file_format(out)
        files = stack.enter_context(opened(names))
        paths.check([f.path for f in files])
        run = _checked(files, options)
        if options.dry_run:
            return _estimated(run, paths)
        known = settings(run.shards.by)
        if out != "-" and not options.force and options.batch is None:
            done = up_to_date(out, known, files)
            if done is not None:
                return done
        beside = stack.enter_context(ThreadPoolExecutor(1))
        hashes = beside.submit(lambda: [account.sha256_of(f.path) for f in files])
        journal = stack.enter_context(Journal(paths.journal, write=not options.offline))
        if not options.offline:
            given = options.model_dump(mode="json", exclude_defaults=True)
            journal.keep_run({"command": "revise", "data": names, "out": out, "options": given})
        if options.batch == "export":
            return export_batch(run.makers(), journal, paths.batch, provider=options.provider)
        if options.batch == "import":
            return import_batch(paths.batch, journal, price_in=options.price_in, price_out=options.price_out)
        if not options.offline:
            run.ask(journal, progress)
        result = _written(run, paths, form, journal, progress)
        result.inputs = described(files, hashes.result())
        result.seconds = round(time.monotonic() - started, 3)
        if out != "-":
            account.write_manifest(out, manifest(result, known, options.seed))
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


def _estimated(run: Run, paths: Paths) -> Estimate:
    """What it would send."""
    plans = (make() for make in run.makers())
    if not os.path.exists(paths.journal):
        return estimate(plans, run.shards.by.options, None)
    with Journal(paths.journal, write=False) as journal:
        return estimate(plans, run.shards.by.options, journal)


def _written(run: Run, paths: Paths, form: str, journal: Journal, progress: Progress | None) -> ReviseResult:
    """Write the output and the side files, which appear whole or not at all (stdout excepted)."""
    by, out = run.shards.by, paths.out
    o, tally, counts = by.options, Tally(), Counts()
    with ExitStack() as stack:
        rejects, undecided, steps = (stack.enter_context(RejectsFile(p)) for p in (paths.rejects, paths.undecided, paths.steps))
        writer = None
        append: Callable[[Any], Any]
        if out != "-":
            writer = Writer(stack.enter_context(replacing(out)), form, encode(run.shards.frame([]), form))
            append = writer.append
        else:
            append = sys.stdout.buffer.write
        try:
            for part, bad in run.parts():
                done = run.shards.part(part, journal, tally)
                append(encode(done.out, form))
                counts.add(done.counts)
                rejects.write(bad)
                undecided.write(done.undecided)
                steps.write(done.steps)
                if progress is not None:
                    progress(run.seen("write"))
            counts.check()
        finally:
            if writer is not None:
                writer.close()
        if out != "-" and os.path.exists(account.manifest_path(out)):
            os.unlink(account.manifest_path(out))
    if out == "-":  # else stdout may be a notebook's, which takes no bytes
        sys.stdout.buffer.flush()
    sides = ((paths.rejects, counts.rejected), (paths.undecided, counts.dropped), (paths.steps, tally.records))
    rejected, lost, stepped = (path if there else None for path, there in sides)
    paths.clear([p for p in (rejected, lost, stepped) if p is not None])
    return ReviseResult(
        out=out,
        kind=KIND[o.emit],
        counts=counts.as_dict(),
        records=counts.records,
        inputs=[],
        **tally.as_dict((o.price_in, o.price_out)),
        run=of_run([run.stats]),
        spent=journal.spent()._asdict(),
        warnings=served_warnings(by.model, tally.served),
        rejects=rejected,
        undecided=lost,
        all_steps=stepped,
        journal=paths.journal,
        sha256=writer.sha256 if writer is not None else None,
    )
