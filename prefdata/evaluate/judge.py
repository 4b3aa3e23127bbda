"""`prefdata eval judge`: annotations of judges against gold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import combinations
from typing import Any

import numpy as np

from prefdata.errors import UsageError
from prefdata.evaluate.comparisons import Comparisons, Said, Settle
from prefdata.evaluate.gold import GoldFile
from prefdata.evaluate.options import EvalJudgeOptions
from prefdata.evaluate.result import EvalJudgeResult, Figures
from prefdata.io.account import Counts, read_manifest
from prefdata.io.open import opened
from prefdata.io.sniff import Input
from prefdata.judges.agreement import agreement, cost, figures, kappa
from prefdata.judges.options import JudgeOptions
from prefdata.judges.records import columns_of, parts, sources_of
from prefdata.judges.reward_model import settle_scores
from prefdata.judges.settle import Settled, settle
from prefdata.judges.statement import Row, Statement

Progress = Callable[[int, int, int], None]


def eval_judge(data: list[str] | str, options: EvalJudgeOptions | None = None, progress: Progress | None = None) -> EvalJudgeResult:
    """Measure the judges of labelled records against gold.

    Raises UsageError when there is nothing to measure or no gold, InputError for files that cannot be read.
    """
    options = options or EvalJudgeOptions()
    paths = [data] if isinstance(data, str) else data
    own = options.gold in ("source", "human")
    with ExitStack() as stack:
        files = stack.enter_context(opened(paths))
        gold = options.gold if own else _gold_file(stack.enter_context(opened([options.gold])), options)
        if gold == "source":
            _not_decided_by_judges(files)
        table = Comparisons(gold, _settled(options), options.judge, options.by, keep=options.jury is not None)  # type: ignore[arg-type]
        counts = Counts()
        for row in _rows(files, options, counts, progress):
            table.add(row)
        _something(table, options, paths)
        costs = _costs(files)
    result = EvalJudgeResult(paths, options.gold, counts, options.min_agreement, without_gold=table.without_gold)
    whole = {who: said for (who, part), said in table.said.items() if not part}
    for (who, part), said in sorted(table.said.items()):
        result.judges.append(Figures(who, part, _figures(table, said), dict(sorted(said.why.items())), None if part else costs.get(who)))
    result.between = [{"judges": [a, b], **_between(whole[a], whole[b], table)} for a, b in combinations(sorted(whole), 2)]
    if table.people_said:
        votes, others, prompt = (np.array(column) for column in (table.people_said, table.people_gold, table.people_prompt))
        result.people = {"agreement": agreement(votes, others, prompt)._asdict(), "kappa": kappa(votes, others, prompt)._asdict()}
    if options.jury:
        jury = _jury(whole, options.jury)
        result.judges.append(Figures(f"jury ({options.jury})", "", _figures(table, jury), dict(sorted(jury.why.items()))))
    return result


def _settled(options: EvalJudgeOptions) -> Settle:
    """How the statements about two answers become one verdict. Every call that was asked has left an annotation, so what was asked in one
    order only can be seen, and is no half of something."""
    both, one = (JudgeOptions(flip=options.flip, order=order) for order in ("both", "given"))

    def settled(statements: list[Statement], i: int, j: int) -> Settled:
        if all(s.kind == "reward_model" and len(s.shown) == 1 for s in statements):
            return settle_scores(statements, i, j)
        orders = {s.shown.index(i) < s.shown.index(j) for s in statements if len(s.shown) > 1}
        return settle(statements, i, j, both if len(orders) > 1 else one)

    return settled


def _rows(files: list[Input], options: EvalJudgeOptions, counts: Counts, progress: Progress | None) -> Iterator[Row]:
    sources, kind = sources_of(files, options.kind)
    if kind == "binary":
        raise UsageError("binary records have one answer each, and nothing to compare; label pairs or lists")
    total, done = sum(f.size for f in files), 0
    for part, _ in parts(sources, columns_of(sources, kind), options.limit, options.threads):
        counts.add(part.counts)
        done += part.packed
        if progress:
            progress(done, total, counts.read)
        yield from part.df.iter_rows(named=True)


def _gold_file(files: list[Input], options: EvalJudgeOptions) -> GoldFile:
    sources, kind = sources_of(files, None)
    found = GoldFile(
        row for part, _ in parts(sources, columns_of(sources, kind), None, options.threads) for row in part.df.iter_rows(named=True)
    )
    if not len(found):
        raise UsageError(f"--gold {options.gold}: no record says which answer is better (no ranks, no scores, no votes of people)")
    return found


def _not_decided_by_judges(files: list[Input]) -> None:
    """Pairs that a judge decided would agree with it."""
    for inp in files:
        found = read_manifest(inp.name) or {}
        decide = (found.get("options") or {}).get("decide", "none")
        if found.get("command") == "label" and decide != "none":
            raise UsageError(
                f"{inp.name}: what is chosen there was decided by its judges (label --decide {decide}), who would agree with themselves; "
                f"name other gold: --gold human or --gold FILE"
            )


def _something(table: Comparisons, options: EvalJudgeOptions, paths: list[str]) -> None:
    """Raise UsageError, with what to type next, when there is nothing to measure."""
    if table.said:
        return
    where = ", ".join(paths[:3])
    if table.without_gold:
        other = {"source": "human or --gold FILE", "human": "source or --gold FILE"}.get(options.gold, "source or --gold human")
        raise UsageError(
            f"{where}: {table.without_gold:,} comparisons were judged, but --gold {options.gold} has no verdict on any; try --gold {other}"
        )
    names = ", ".join(name for name, _ in table.others.most_common(8))
    there = f"; annotators there: {names}; --judge NAME measures one of them" if names else ""
    who = "no annotator is called " + ", ".join(options.judge) if options.judge else "no judge has compared or scored two answers"
    raise UsageError(f"{where}: {who}{there or '; prefdata label asks a judge'}")


def _figures(table: Comparisons, said: Said) -> dict[str, Any]:
    at, p = np.array(said.at), np.array(said.p)
    return figures(
        np.array(said.sign),
        np.array(table.gold)[at],
        p=None if np.isnan(p).all() else p,
        characters=np.array(table.lengths).reshape(-1, 2)[at],
        cluster=np.array(table.prompt)[at],
        calls=said.calls,
    )


def _between(a: Said, b: Said, table: Comparisons) -> dict[str, Any]:
    """Agreement and kappa of two judges on what both judged."""
    both, i, j = np.intersect1d(np.array(a.at), np.array(b.at), assume_unique=True, return_indices=True)
    x, y, prompt = np.array(a.sign)[i], np.array(b.sign)[j], np.array(table.prompt)[both]
    return {"agreement": agreement(x, y, prompt)._asdict(), "kappa": kappa(x, y, prompt)._asdict()}


def _jury(judges: dict[str, Said], how: Any) -> Said:
    """All judges together, on every comparison that any of them judged."""
    from collections import Counter

    from prefdata.judges.jury import combine, dawid_skene, votes

    none = Settled("undecided", None, "not-asked")
    every = sorted({at for said in judges.values() for at in said.at})
    ballots = {at: [judges[who].settled.get(at, none) for who in sorted(judges)] for at in every}
    posterior = dawid_skene(Counter(votes(b) for b in ballots.values())) if how == "dawid-skene" else {}
    out = Said()
    for at, ballot in ballots.items():
        out.add(at, combine(ballot, [1.0] * len(ballot), how, posterior))
    return out


def _costs(files: list[Input]) -> dict[str, dict[str, Any]]:
    """What each judge cost per 1,000 comparisons, by the manifests that `prefdata label` left beside the files."""
    sums: dict[str, dict[str, Any]] = {}
    for inp in files:
        report = (read_manifest(inp.name) or {}).get("report") or {}
        for who, judged in (report.get("judges") or {}).items():
            total = sums.setdefault(who, {"comparisons": 0, "calls": 0, "tokens_in": 0, "tokens_out": 0, "usd": 0.0})
            total["comparisons"] += sum(judged["comparisons"].values())
            total["calls"] += judged["replies"]
            total["tokens_in"] += judged["tokens_in"]
            total["tokens_out"] += judged["tokens_out"]
            total["usd"] = None if total["usd"] is None or judged["usd"] is None else total["usd"] + judged["usd"]
    return {who: cost(**total) for who, total in sums.items() if total["calls"]}
