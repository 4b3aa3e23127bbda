"""`prefdata generate`: prompts to lists of candidates by one policy or several, on servers or on this machine.

As `label` and `revise`: everything is asked first and kept in the journal; then the prompts are read again, in order, and the output is
written from the journal alone. So it is the same bytes for any concurrency and any number of stops.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prefdata.errors import BudgetError, ProviderError
from prefdata.io import account, step
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.judges.prompts import Prompts, prompts_of
from prefdata.judges.records import Part
from prefdata.judges.result import of_run
from prefdata.judges.revise_result import served_warnings
from prefdata.judges.tally import counted
from prefdata.judges.work import Progress, Seen
from prefdata.llm.batch import Exported, Imported, Make, export_batch, import_batch
from prefdata.llm.client import Stats, ask_all
from prefdata.llm.estimate import estimate
from prefdata.llm.options import ClientOptions
from prefdata.llm.run_journal import run_journal
from prefdata.sampling.generate_options import GenerateOptions
from prefdata.sampling.generate_result import GenerateEstimate, GenerateResult
from prefdata.sampling.generated import Books, Shards
from prefdata.sampling.local import Local, LocalStats
from prefdata.sampling.policies import Policies, Policy, check_servers, policies_of

Done = GenerateResult | GenerateEstimate | Exported | Imported
"""The account of a run; of a dry run the estimate, of --batch what was exported or imported."""
FREE = {
    *ClientOptions.model_fields,
    "policy",
    "policies",
    "batch_size",
    "force",
    "n",
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "stop",
}
"""Options that the output does not depend on, and those that `policies` says in full."""
KEPT = ("policies", "answers", "run", "local", "spent", "warnings", "journal", "seconds")
"""Fields of a result that stand in the manifest under their own names."""


def generate(data: Sequence[str] | str, out: str, options: GenerateOptions, progress: Progress | None = None) -> Done:
    """Have policies answer every prompt n times, and write one listwise record per prompt with all candidates.

    `data`: paths, globs, "-" for stdin; records of any kind, or rows with a `prompt`. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for
    stdout. Prompts that got nothing go to `OUT.dropped.jsonl` with the reason, unusable rows to `OUT.rejects.jsonl`.

    Raises UsageError and InputError, ProviderError and BudgetError (replies so far are in the journal). Then `out` is as it was before.
    """
    names = [data] if isinstance(data, str) else list(data)
    place = options.journal or step.beside(out, "journal")
    started = time.monotonic()
    with ExitStack() as stack:
        files = stack.enter_context(opened(names))
        form = step.check_paths(out, [f.path for f in files], [place])
        run = _checked(files, options)
        if options.dry_run:
            return _estimated(run, place)
        known = {"options": options.model_dump(mode="json", exclude=FREE, exclude_defaults=True), "policies": run.lineage}
        if not options.force and options.batch is None:
            done = _up_to_date(out, known, files)
            if done is not None:
                return done
        inputs = stack.enter_context(step.described(files))
        journal = stack.enter_context(run_journal(place, "generate", names, out, options))
        if options.batch == "export":
            return export_batch(run.makers(), journal, step.beside(out, "batch"), provider=options.provider)
        if options.batch == "import":
            return import_batch(step.beside(out, "batch"), journal, price_in=options.price_in, price_out=options.price_out)
        if not options.offline:
            run.ask(journal, progress)
        return run.write(out, form, journal, known, inputs(), started, progress)


@dataclass
class Run:
    """Prompts with who answers them, read as often as it takes: to ask, to generate, and to write."""

    files: list[Input]
    prompts: Prompts
    shards: Shards
    options: GenerateOptions
    done: int = 0
    rows: int = 0
    stats: Stats = field(default_factory=Stats)
    local: LocalStats = field(default_factory=LocalStats)

    @property
    def policies(self) -> Policies:
        return self.shards.policies

    @property
    def lineage(self) -> list[dict[str, Any]]:
        return [p.as_dict() for p in self.policies.all]

    def parts(self) -> Iterator[tuple[Part, bytes]]:
        """The prompts with the lines for the rejects file, shard by shard, in order."""
        self.done = self.rows = 0
        for part, lines in self.prompts.parts():
            yield part, lines
            self.done += part.packed
            self.rows += part.counts.read

    def makers(self) -> Iterator[Make]:
        """A function for every prompt and policy on a server that begins its plan."""
        for part, _ in self.parts():
            yield from self.shards.makers(part)

    def seen(self, what: str, stats: Stats | None = None) -> Seen:
        return Seen(what, self.done, sum(f.size for f in self.files), self.rows, stats)

    def ask(self, journal: Journal, progress: Progress | None) -> None:
        """Have every answer in the journal: first those of servers, then those of local models, one model in memory at a time."""
        tell = None if progress is None else lambda stats: progress(self.seen("generate", stats))
        try:
            if self.policies.remote:
                self.stats = ask_all((make() for make in self.makers()), self.options, journal, self.policies.pools, tell)
            for policy in self.policies.local:
                self._generate(policy, journal, progress)
        except (BudgetError, ProviderError) as e:
            raise type(e)(f"{e}\nwith --offline it writes what can be written from the replies so far") from None

    def _generate(self, policy: Policy, journal: Journal, progress: Progress | None) -> None:
        stats = LocalStats()
        tell = None if progress is None else lambda stats: progress(self.seen(policy.name, stats))
        local: Local | None = None
        try:
            for part, _ in self.parts():
                jobs = list(self.shards.jobs(part, policy, journal))
                if jobs:
                    local = local or Local(policy, self.options.batch_size, stats, tell)
                    local.answer(jobs, journal)
        except KeyboardInterrupt:
            n = len(journal)
            raise KeyboardInterrupt(f"interrupted; {n:,} replies are in {journal.path}; the same command goes on from there") from None
        for name in ("replies", "tokens_in", "tokens_out", "busy"):
            setattr(self.local, name, getattr(self.local, name) + getattr(stats, name))

    def write(
        self,
        out: str,
        form: str,
        journal: Journal,
        known: dict[str, Any],
        inputs: list[dict[str, Any]],
        started: float,
        progress: Progress | None,
    ) -> GenerateResult:
        """Write the output from the journal, with its side files and the manifest."""
        books = {p.name: Books() for p in self.policies.all}
        with step.writing(out, form, self.shards.frame()) as written:
            for part, bad in self.parts():
                for done in self.shards.part(part, journal, books):
                    written.add(done.out, done.counts, rejects=bad, dropped=done.dropped)
                    bad = b""
                if progress is not None:
                    progress(self.seen("write"))
            for b in books.values():
                b.check()
        o, local = self.options, self.local
        served = [w for p in self.policies.remote for w in served_warnings(p.model, books[p.name].served)]
        result = GenerateResult(
            out=out,
            counts=written.counts.as_dict(),
            records=written.counts.records,
            inputs=inputs,
            policies=self.lineage,
            answers={
                p.name: _answers(books[p.name], (o.price_in, o.price_out) if p.folder is None else (None, None)) for p in self.policies.all
            },
            run=of_run([self.stats]) if self.policies.remote else {},
            local=_local(local) if self.policies.local else {},
            spent=journal.spent()._asdict(),
            warnings=[*self.policies.notes, *served],
            journal=journal.path,
            rejects=written.sides.get("rejects"),
            dropped=written.sides.get("dropped"),
            sha256=written.sha256,
            seconds=round(time.monotonic() - started, 3),
        )
        if out != "-":
            more = {name: getattr(result, name) for name in KEPT if name not in known}
            account.write_manifest(out, step.manifest("generate", known, inputs, written, kind="listwise", seed=o.seed, **more))
        return result


def _checked(files: list[Input], options: GenerateOptions) -> Run:
    """Everything that can be wrong before the first request. Raises UsageError."""
    policies = policies_of(options)
    prompts = prompts_of(files, options.kind, options.limit)
    if not (options.offline or options.dry_run or options.batch):
        check_servers(policies)
    kind = prompts.kind if options.keep_completions else None
    return Run(files, prompts, Shards(policies, prompts.columns, kind), options)


def _estimated(run: Run, place: str) -> GenerateEstimate:
    """What it would ask and generate."""
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(place, write=False)) if os.path.exists(place) else None
        found = estimate((make() for make in run.makers()), run.options, journal)
        here = 0
        for policy in run.policies.local:
            for part, _ in run.parts():
                if journal is None:
                    here += part.df.height * policy.n
                else:
                    here += sum(len(job.requests) for job in run.shards.jobs(part, policy, journal))
    return GenerateEstimate(**asdict(found), local_answers=here)


def _up_to_date(out: str, known: dict[str, Any], files: Sequence[Input]) -> GenerateResult | None:
    """The result that the manifest has, if nothing has changed and every reply came."""
    found = step.up_to_date(out, "generate", known, files)
    if found is None:
        return None
    sides = {name: found[name] for name in step.SIDES}
    kept = {name: found[name] for name in (*KEPT, "counts", "records", "inputs")}
    result = GenerateResult(out, **kept, **sides, sha256=found["output"]["sha256"])
    return None if result.unanswered else replace(result, up_to_date=True)


def _answers(b: Books, prices: tuple[float | None, float | None]) -> dict[str, Any]:
    plain = {"asked": b.asked, "candidates": b.candidates, "duplicates": b.duplicates}
    return {**plain, **{n: counted(getattr(b, n)) for n in ("finish", "dropped", "served")}, "cost": b.cost.as_dict(prices)}


def _local(s: LocalStats) -> dict[str, Any]:
    rate = s.tokens_out / s.busy if s.busy else 0.0
    tokens = {"tokens_in": s.tokens_in, "tokens_out": s.tokens_out}
    return {"answers": s.replies, **tokens, "seconds": round(s.busy, 3), "tokens_per_second": round(rate, 1)}
