"""`prefdata label`: records to records with what judges say of them.

Everything that is asked is kept in the journal, and the output is written in the order of the records: most of them while others are still
asked about (`live.py`), the rest from the journal. It depends on records, options and replies, and not on the order in which these came or
on crashes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from prefdata.errors import PrefdataError, UsageError
from prefdata.io import account, step
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.io.write import file_format
from prefdata.judges.ask import Job, settled
from prefdata.judges.gate import Gate, check
from prefdata.judges.labelled import Labeller
from prefdata.judges.live import Live
from prefdata.judges.manifest import manifest, settings, up_to_date
from prefdata.judges.members import Panel, panel_of
from prefdata.judges.options import LabelOptions
from prefdata.judges.output import output
from prefdata.judges.paths import Paths
from prefdata.judges.records import columns_of, sources_of
from prefdata.judges.result import LabelResult, of_run, served_warnings
from prefdata.judges.tally import Tally
from prefdata.judges.work import Progress, Work
from prefdata.llm.batch import Exported, Imported, export_batch, import_batch
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.estimate import Estimate, estimate
from prefdata.llm.run_journal import run_journal

T = TypeVar("T")
Done = LabelResult | Estimate | Exported | Imported
"""The account of a run; of a dry run the estimate, of --batch what was exported or imported."""


def label(data: Sequence[str] | str, out: str, options: LabelOptions | None = None, progress: Progress | None = None) -> Done:
    """Ask judges about the records of files and write the records with what they said, or the pairs that follow from it.

    `data`: paths, globs, "-" for stdin. `out`: *.parquet, *.jsonl[.gz|.zst], or "-" for stdout. What is not written goes to
    `OUT.undecided.jsonl` with the reason, unusable rows to `OUT.rejects.jsonl`.

    Raises UsageError and InputError, ProviderError and BudgetError (replies so far are in the journal), TooLowError (--min-agreement).
    Then `out` is as it was before.
    """
    options = options or LabelOptions()
    names = [data] if isinstance(data, str) else list(data)
    paths = Paths.of(out, options.journal)
    started = time.monotonic()
    with ExitStack() as stack:
        run = _checked(names, paths, options, stack)
        if options.dry_run:
            return _estimated(run, paths)
        known = settings(options, run.work.job)
        if out != "-" and not options.force and options.batch is None:
            done = up_to_date(out, known, run.files, run.gold_files)
            if done is not None:
                return done
        inputs = stack.enter_context(step.described([*run.files, *run.gold_files]))
        journal = _journal(run, paths, names, stack)
        if options.batch is not None:
            return _batch(run, paths, journal)
        result = _labelled(run, paths, journal, progress)
        result.inputs = inputs()[: len(run.files)]
        if result.gold is not None:
            result.gold["sha256"] = inputs()[-1]["sha256"]
        result.seconds = round(time.monotonic() - started, 3)
        if out != "-":
            account.write_manifest(out, manifest(result, known, options.seed))
    return result


class Run(NamedTuple):
    """What was checked before anything is asked."""

    files: list[Input]
    gold_files: list[Input]
    panel: Panel
    work: Work
    gold: Work | None
    form: str

    writes_file: bool

    @property
    def options(self) -> LabelOptions:
        return self.work.options


def _checked(names: list[str], paths: Paths, options: LabelOptions, stack: ExitStack) -> Run:
    """Everything that can be wrong before the first request, in one message."""
    wrong: list[PrefdataError] = []

    def tried(attempt: Callable[[], T]) -> T | None:
        try:
            return attempt()
        except PrefdataError as e:
            wrong.append(e)
            return None

    tried(lambda: _together(options))
    form = tried(lambda: file_format(paths.out))
    panel = tried(lambda: panel_of(options))
    files = tried(lambda: stack.enter_context(opened(names)))
    gold_files = tried(lambda: stack.enter_context(opened([options.gold or ""]))) if options.gold else []
    if files is not None and gold_files is not None:
        tried(lambda: paths.check([f.path for f in (*files, *gold_files)]))
    work = tried(lambda: _work(files, panel, options, "label", options.limit)) if files is not None else None
    gold = tried(lambda: _work(gold_files, panel, options, "gold", None)) if gold_files else None
    if panel is not None and not (options.offline or options.dry_run or options.batch):
        tried(lambda: _reachable(panel))
    if wrong or not (files and work and panel and form) or gold_files is None:
        worst = max(wrong, key=lambda e: e.exit_code)
        raise type(worst)("\n".join(dict.fromkeys(str(e) for e in wrong)))
    return Run(files, gold_files, panel, work, gold, form, paths.out != "-")


def _together(options: LabelOptions) -> None:
    """Options that do not fit each other. Raises UsageError."""
    wrong = []
    if options.min_agreement is not None and options.gold is None:
        wrong.append("--min-agreement: measured on what? Add --gold FILE")
    if options.ties == "soft" and options.decide != "soft":
        wrong.append("--ties soft: only --decide soft writes ties")
    if wrong:
        raise UsageError("\n".join(wrong))


def _work(files: Sequence[Input], panel: Panel | None, options: LabelOptions, what: str, limit: int | None) -> Work | None:
    """How files are read and judged. Raises UsageError."""
    sources, kind = sources_of(files, options.kind if what == "label" else None)
    if what == "gold" and kind == "binary":
        raise UsageError(f"--gold {files[0].name}: binary records have one answer each; gold needs pairs or lists")
    if kind == "binary" and options.decide != "none":
        raise UsageError(
            f"--decide {options.decide}: binary records have one answer each and give no pairs; leave it out, and scores are appended"
        )
    if panel is None:
        return None
    compare = [m.judge.name for m in panel.members if m.judge is not None and m.judge.ask in ("compare", "rank")]
    if kind == "binary" and compare:
        raise UsageError(f"--judge {compare[0]}: it compares answers, and binary records have one each; rubric and others score one")
    job = Job(panel, options, kind)
    if job.constitution is not None and not job.constitution.comparison:
        raise UsageError(
            f"--constitution {options.constitution}: it has no comparison principles, which judges compare by; 'revise' can use it"
        )
    return Work(sources, columns_of(sources, kind), job, options, what, limit)


def _reachable(panel: Panel) -> None:
    """Addresses and keys, as far as they can be checked without a request. Raises UsageError."""
    for member in panel.members:
        if member.judge is not None:
            pool = panel.pools[member.pool]
            authorization(pool)
            for base in pool.base_url:
                address(pool, base, member.model)


def _journal(run: Run, paths: Paths, names: list[str], stack: ExitStack) -> Journal | None:
    """The journal, where anybody is asked, with the command in it."""
    if not run.panel.asks:
        return None
    return stack.enter_context(run_journal(paths.journal, "label", names, paths.out, run.options))


def _estimated(run: Run, paths: Paths) -> Estimate:
    """What it would send."""
    works = [w for w in (run.gold, run.work) if w is not None]
    plans = (plan for w in works for plan in w.job.plans(w.subjects()))
    if not os.path.exists(paths.journal):
        return estimate(plans, run.options, None)
    with Journal(paths.journal, write=False) as journal:
        return estimate(plans, run.options, journal)


def _batch(run: Run, paths: Paths, journal: Journal | None) -> Exported | Imported:
    o = run.options
    if journal is None:
        raise UsageError(f"--batch {o.batch}: a local reward model asks no server")
    if o.batch == "import":
        return import_batch(paths.batch, journal, price_in=o.price_in, price_out=o.price_out)
    works = [w for w in (run.gold, run.work) if w is not None]
    return export_batch((make for w in works for make in w.job.makers(w.subjects())), journal, paths.batch, provider=o.provider)


def _labelled(run: Run, paths: Paths, journal: Journal | None, progress: Progress | None) -> LabelResult:
    """Ask, and write what was said."""
    o = run.options
    asking = journal if journal is not None and not o.offline else None
    _ = run.panel.reward_models  # one that cannot be loaded is told before anything is paid
    figures = None
    if run.gold is not None:
        figures = _gold(run.gold, journal, asking, progress)
        check(figures, o.min_agreement)
    labeller = Labeller(run.work.job, o, journal, Tally(run.work.job))
    with output(paths, run.form, labeller.empty(run.work.columns)) as written:
        live = Live(labeller, written.add) if asking is not None and _at_once(run) else None
        if asking is not None:
            run.work.ask(asking, progress, live)
        run.work.settle(journal)
        for part, bad in islice(run.work.parts(), 0 if live is None else live.written, None):
            written.add(part, bad, labeller.part(part))
            if progress is not None:
                progress(run.work.seen("write"))
    report = labeller.tally.as_dict((o.price_in, o.price_out))
    asked = {m.annotator: m.model for m in run.panel.members if m.judge is not None}
    rejects, undecided, disagreements = written.sides
    return LabelResult(
        out=paths.out,
        kind=labeller.kind,
        counts=written.counts.as_dict(),
        records=written.counts.records,
        inputs=[],
        report=report,
        run=of_run([w.stats for w in (run.gold, run.work) if w is not None]) if journal is not None else {},
        spent=journal.spent()._asdict() if journal is not None else {},
        gold=figures,
        warnings=served_warnings(report, asked),
        rejects=rejects,
        undecided=undecided,
        disagreements=disagreements,
        journal=paths.journal if journal is not None else None,
        sha256=written.sha256,
    )


def _at_once(run: Run) -> bool:
    """Whether a record can be labelled while others are asked about: a jury's model needs all votes first, and what local models score and
    stdout gets must not be held up or torn by a run that stops."""
    whole = run.options.jury == "dawid-skene" and len(run.panel.members) > 1
    return not whole and all(m.judge is not None for m in run.panel.members) and run.writes_file


def _gold(work: Work, journal: Journal | None, asking: Journal | None, progress: Progress | None) -> dict[str, Any]:
    """Label the gold file and measure."""
    if asking is not None:
        work.ask(asking, progress)
    work.settle(journal)
    gate = Gate()
    for row, heard in work.heard(journal):
        gate.add(row, heard, settled(heard, work.job))
    return gate.figures(work.sources[0].input.name)
