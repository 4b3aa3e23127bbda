"""`prefdata eval policy`: a tuned policy against its base on prompts.

Three steps with files of their own in the output folder: generate (answers.parquet), then score (scored.parquet) or label (judged.parquet),
then the table, the figures and the page. Replies and scores are kept in one journal as they come, so a run that is stopped goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from prefdata.errors import UsageError
from prefdata.evaluate.policy_figures import by_part, figures
from prefdata.evaluate.policy_options import EvalPolicyOptions
from prefdata.evaluate.policy_page import page
from prefdata.evaluate.policy_plots import plots
from prefdata.evaluate.policy_result import EvalPolicyResult
from prefdata.evaluate.policy_steps import (
    MARK,
    EvalPolicyEstimate,
    check,
    check_by,
    estimated,
    to_generate,
    to_label,
    to_score,
    write_policies,
)
from prefdata.evaluate.policy_table import by_scores, by_verdicts, pairs_of, with_part, write_frame
from prefdata.evaluate.policy_verdicts import NO_VERDICTS, verdicts
from prefdata.exporters.folder import write_json, write_text
from prefdata.io import account
from prefdata.io.write import replacing
from prefdata.judges.result import LabelResult
from prefdata.judges.run import label
from prefdata.judges.work import Progress
from prefdata.sampling.generate import generate
from prefdata.sampling.generate_result import GenerateResult
from prefdata.sampling.score import score
from prefdata.sampling.score_result import ScoreResult
from prefdata.version import __version__

Done = EvalPolicyResult | EvalPolicyEstimate
"""The figures; of a dry run what would be asked."""
OWN = {"by", "cases", "min_win_rate", "tie_margin"}
"""Options of the last step; the others are in the manifests of the steps before."""
MOVED = 0.1
"""A length-controlled win rate that is so far from the plain one is worth a note (AlpacaEval warns at the same)."""


def eval_policy(data: Sequence[str] | str, out: str, options: EvalPolicyOptions, progress: Progress | None = None) -> Done:
    """Have both policies answer every prompt, score or judge the answers, and write figures, table and page to the folder `out`.

    `data`: paths, globs, "-" for stdin; records of any kind, or rows with a `prompt`. Raises UsageError and InputError, ProviderError and
    BudgetError (what was answered is kept in the folder, and the same call goes on).
    """
    started = time.monotonic()
    names = [data] if isinstance(data, str) else list(data)
    check(options)
    check_by(names, options)
    at = {n: os.path.join(out, n) for n in ("answers.parquet", "scored.parquet", "pairs.parquet", "judged.parquet", "replies.journal")}
    journal = at["replies.journal"]
    _check_folder(out, options.force)
    if options.dry_run:
        return estimated(names, options, journal)
    os.makedirs(out, exist_ok=True)
    answers = at["answers.parquet"]
    first = generate(names, answers, to_generate(options, write_policies(options, out), journal), progress)
    assert isinstance(first, GenerateResult)
    second: ScoreResult | LabelResult | None = None
    if not options.judge:
        found = score(answers, at["scored.parquet"], to_score(options, journal), progress)
        assert isinstance(found, ScoreResult)
        second = found
    elif _pairs(answers, at["pairs.parquet"], first):
        said = label(at["pairs.parquet"], at["judged.parquet"], to_label(options, journal), progress)
        assert isinstance(said, LabelResult)
        second = said
    known = {
        "options": options.model_dump(mode="json", include=OWN),
        "answers": first.sha256,
        "scored": second.sha256 if second is not None else None,
        "judge": bool(options.judge),
    }
    done = None if options.force else _up_to_date(out, known)
    if done is not None and first.up_to_date and (second is None or second.up_to_date):
        return done
    lists = pl.read_parquet(answers if options.judge else at["scored.parquet"])
    lists = with_part(lists, options.by) if options.by else lists
    if not options.judge:
        table = by_scores(lists, options.tie_margin)
    else:
        said_of = verdicts(at["pairs.parquet"], to_label(options, journal), journal) if second is not None else NO_VERDICTS
        table = by_verdicts(lists, said_of)
    result = _result(out, table, options, first, second)
    result.seconds = round(time.monotonic() - started, 3)
    _write(out, result, table, options, known)
    return result


def _check_folder(out: str, force: bool) -> None:
    """Raises UsageError where something else lies."""
    if os.path.exists(out) and not os.path.isdir(out):
        raise UsageError(f"{out} is a file; name a folder")
    if not os.path.isdir(out) or not os.listdir(out) or force:
        return
    try:
        with open(os.path.join(out, "policies.yaml"), "rb") as f:
            ours = f.readline() == MARK
    except OSError:
        ours = False
    if not ours:
        raise UsageError(f"{out} has files that eval policy did not write; name another folder, or write into it with --force")


def _pairs(answers: str, pairs: str, first: GenerateResult) -> int:
    """Write the pairs of the answers unless they are there; how many they are."""
    found = account.read_manifest(pairs)
    if found is not None and found.get("answers") == first.sha256 and found.get("sha256") == account.sha256_of(pairs):
        return int(found["records"])
    n = pairs_of(pl.read_parquet(answers), pairs)
    made = {"command": "eval policy", "answers": first.sha256, "records": n, "sha256": account.sha256_of(pairs)}
    account.write_manifest(pairs, made)
    return n


def _result(
    out: str, table: pl.DataFrame, o: EvalPolicyOptions, first: GenerateResult, second: ScoreResult | LabelResult | None
) -> EvalPolicyResult:
    found = figures(table)
    by = "part" if o.by else "source" if "source" in table.columns and table["source"].n_unique() > 1 else None
    parts = {"name": o.by or "source", "parts": by_part(table, by)} if by else None
    how: dict[str, Any] = {"by": "judge" if o.judge else "scores"}
    missing = first.unanswered
    if isinstance(second, ScoreResult):
        how |= {"scorers": list(second.scores["scorers"]), "tie_margin": o.tie_margin, "scores": second.scores}
        missing += second.passing
    elif second is not None:
        how |= {"judges": list(second.report["judges"]), "order": o.order, "report": second.report}
        missing += second.unanswered
    spent = (second.spent if second is not None else {}) or first.spent
    warnings = [*first.warnings, *(second.warnings if second is not None else [])]
    notes = [*warnings, *_notes(found, how)]
    kept = {name: {k: a[k] for k in ("asked", "candidates", "duplicates", "finish", "dropped")} for name, a in first.answers.items()}
    return EvalPolicyResult(out, first.policies, how, first.counts, kept, found, parts, notes, first.inputs, spent, missing, o.min_win_rate)


def _notes(f: dict[str, Any], how: dict[str, Any]) -> list[str]:
    out = []
    lc, value = f["length_controlled"], f["win_rate"]["value"]
    if lc and abs(lc["value"] - value) > MOVED:
        out.append("the win rate at equal length is more than 10 points from the plain one: length explains a good part of it")
    cut = [name for name, e in f["ends"].items() if (e["truncated"]["value"] or 0) > 0.2]
    if cut:
        out.append(f"more than a fifth of the answers of {' and '.join(cut)} were cut at --max-tokens: half answers are compared")
    for name, judged in how.get("report", {}).get("judges", {}).items():
        c = judged["consistent"]
        if c["n"]:
            out.append(f"{name}: the same verdict in both orders on {100 * c['share']:.1f} % of {c['n']:,}")
    if f["decided"] and f["prompts"] < 100:
        out.append(f"{f['prompts']:,} prompts are few: 100 leave ± 10 points, 1,000 ± 3")
    if f["without"]:
        out.append(
            "comparisons without an outcome count for nothing: if one policy fails more often than the other, that is not in the win rate"
        )
    return out


def _write(out: str, result: EvalPolicyResult, table: pl.DataFrame, o: EvalPolicyOptions, known: dict[str, Any]) -> None:
    """The files of the last step; the manifest goes first and comes last."""
    place = os.path.join(out, "manifest.json")
    if os.path.exists(place):
        os.unlink(place)
    charts = plots(result.figures, table, result.parts)
    names = ["table.parquet", "table.jsonl", "report.json", "report.html", *(f"plots/{n}.svg" for n in charts)]
    for name in names[:2]:
        write_frame(table, os.path.join(out, name))
    write_json(out, "report.json", result.as_dict())
    write_text(out, "report.html", page(result, table, charts, o.cases))
    for name, svg in charts.items():
        write_text(out, f"plots/{name}.svg", svg)
    files = [{"path": n, "bytes": os.path.getsize(p), "sha256": account.sha256_of(p)} for n in names for p in [os.path.join(out, n)]]
    about = {
        "policies": result.policies,
        "inputs": result.inputs,
        "counts": result.counts,
        "spent": result.spent,
        "seconds": result.seconds,
    }
    made = {"command": "eval policy", "version": __version__, "known": known, **about, "files": files}
    with replacing(place) as temporary, open(temporary, "wb") as f:
        f.write(orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _up_to_date(out: str, known: dict[str, Any]) -> EvalPolicyResult | None:
    """The result of the report, if it is of the same answers and scores and all files are as they were."""
    try:
        with open(os.path.join(out, "manifest.json"), "rb") as f:
            found = orjson.loads(f.read())
        if (
            found.get("command") != "eval policy"
            or found.get("version") != __version__
            or found.get("known") != orjson.loads(orjson.dumps(known))
        ):
            return None
        if any(account.sha256_of(os.path.join(out, f["path"])) != f["sha256"] for f in found["files"]):
            return None
        with open(os.path.join(out, "report.json"), "rb") as f:
            said = orjson.loads(f.read())
    except (OSError, orjson.JSONDecodeError):
        return None
    fields = EvalPolicyResult.__dataclass_fields__
    return EvalPolicyResult(**{**{k: v for k, v in said.items() if k in fields}, "out": out, "up_to_date": True})
