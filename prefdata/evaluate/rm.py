"""`prefdata eval rm`: the rewards of a model for chosen and rejected answers, and how good they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from prefdata.errors import UsageError
from prefdata.evaluate.rm_figures import by_part, figures
from prefdata.evaluate.rm_options import EvalRmOptions
from prefdata.evaluate.rm_output import Scored, write
from prefdata.evaluate.rm_records import Records
from prefdata.evaluate.rm_result import EvalRmResult
from prefdata.evaluate.rm_scores import Rewards, rewards, shares_of
from prefdata.evaluate.rm_tokens import Encoded, encoded
from prefdata.io.open import opened
from prefdata.judges.agreement import Ints
from prefdata.rewards.folder import ModelFolder, look, members_of, same_tokens
from prefdata.sampling.folders import check_parts, words_hash
from prefdata.train.data import frames
from prefdata.train.pair_metrics import pair_metrics

Progress = Callable[[int, int, int], None]


def eval_rm(data: list[str] | str, options: EvalRmOptions, out: str | None = None, progress: Progress | None = None) -> EvalRmResult:
    """Score the pairs of records with a model, and write scores and figures to the folder `out` if one is named.

    Raises UsageError when there is nothing to score or the model cannot be used, InputError for files that cannot be read.
    """
    started = time.monotonic()
    members = [look(m, f"--model {m}") for m in members_of(options.model, f"--model {options.model}")]
    policy = members[0]
    reference = look(options.reference, f"--reference {options.reference}") if options.reference is not None else None
    tokenizer = options.tokenizer or policy.path
    _sensible(members, reference, options, tokenizer)
    with opened([data] if isinstance(data, str) else data) as files:
        paths, records = [f.path for f in files], Records(options.by)
        as_trained = policy.head == "lm" or policy.own
        ending = options.ending if options.ending != "auto" else "eos" if as_trained else "template"
        longest = min((n for n in (options.max_length, *(m.longest for m in members)) if n is not None), default=None)
        pairs = encoded(records.watched(frames(paths, "pair", options.limit)), tokenizer, ending, longest)
        records.check()
        if not pairs.store.size:
            why = ", ".join(f"{n:,} {code}" for code, n in sorted(pairs.dropped.items()) if n)
            raise UsageError(f"{', '.join(f.name for f in files)}: no pair is left to score ({why or 'no records'})")
        found = rewards(members, reference, pairs, options, _counted(pairs, len(members) + (reference is not None), progress))
        finite = np.isfinite(found.values).all(1)
        pairs.dropped["not-a-number"] += int((~finite).sum())
        if not finite.any():
            raise UsageError(f"--model {options.model}: no reward is a finite number; try --dtype float32")
        scored = Scored(pairs.rows[finite], found.values[finite], pairs.lengths[finite], {k: v[finite] for k, v in found.logps.items()})
        result = _result(scored, records, options, pairs, found, members)
        result.files = [f.name for f in files]
        result.seconds, result.out = round(time.monotonic() - started, 3), out
        if out is not None:
            write(out, result, scored, records, options, files)
    return result


def _sensible(members: list[ModelFolder], reference: ModelFolder | None, options: EvalRmOptions, tokenizer: str) -> None:
    policy = members[0]
    if len(members) > 1 and (any(m.head != "score" for m in members) or len({words_hash(m.path) for m in members}) > 1):
        raise UsageError(f"--model {options.model}: members of an ensemble are sequence classifiers with one tokenizer, and these are not")
    if len(members) == 1 and (options.aggregate != "mean" or options.penalty != 1.0):
        raise UsageError(f"--aggregate and --penalty are for ensembles, and {options.model} is one model; leave them out")
    if options.penalty != 1.0 and options.aggregate != "uncertainty":
        raise UsageError("--penalty is for --aggregate uncertainty")
    if options.head is not None and options.aspect_weights:
        raise UsageError("--head takes one output, --aspect-weights several: give one of the two")
    if policy.head == "lm" and (options.head is not None or options.aspect_weights):
        raise UsageError(f"--head and --aspect-weights are for sequence classifiers; {policy.path} is a causal model")
    for m in [*members, *([] if reference is None else [reference])]:
        check_parts(m, f"--model {m.path}" if m is not reference else f"--reference {m.path}", tokenizer=False)
    for m in members if policy.head == "score" else ():
        shares_of(m, options)
    if policy.head == "score" and reference is not None:
        raise UsageError(f"--reference: {policy.path} is a sequence classifier, whose scores need no reference; leave it out")
    if policy.head == "score" and options.per_token:
        raise UsageError(f"--per-token: {policy.path} is a sequence classifier and has no log-probs; leave it out")
    if policy.head == "lm" and options.ending == "template":
        raise UsageError("--ending template is for sequence classifiers; a causal model's rewards are those of the answer and its end")
    if reference is not None:
        if reference.head != "lm":
            raise UsageError(f"--reference {reference.path}: a sequence classifier; the reference of a causal model is one, too")
        same_tokens(tokenizer, reference.path)


def _counted(pairs: Encoded, passes: int, progress: Progress | None) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done, total = 0, passes * pairs.store.size

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress(done, total, done)

    return count


def _result(
    scored: Scored, records: Records, options: EvalRmOptions, pairs: Encoded, found: Rewards, members: list[ModelFolder]
) -> EvalRmResult:
    rows = scored.rows
    chosen, rejected = scored.values.T
    soft = None if options.hard_labels else records.numbers("p_chosen", rows)
    given: dict[str, Any] = {"lengths": scored.lengths, "p_chosen": soft, "cluster": np.array(records.prompt, np.int64)[rows]}
    margin, sources = records.numbers("margin", rows), records.texts("source", rows)
    one = margin if len(set(sources)) == 1 else None  # margins are in units of their source
    model = {
        "folder": options.model,
        "kind": "lm" if found.logps else "score",
        "reference": options.reference,
        "beta": options.beta if found.logps else None,
        "per_token": options.per_token if found.logps else None,
        "ending": pairs.ending,
        "layout": found.layout,
        "dtype": options.dtype,
    }
    dropped = {k: n for k, n in sorted(pairs.dropped.items()) if n}
    return EvalRmResult(
        [],
        model,
        {"read": len(records.id), "kept": len(rows), "dropped": dropped, "rejected": {}},
        figures(chosen, rejected, gold_margin=one, **given),
        pair_metrics(chosen, rejected, p_chosen=soft, source=sources, implicit=bool(found.logps)),
        by_part(sources, chosen, rejected, gold_margin=margin, **given),
        {"name": options.by, **by_part(records.texts("part", rows), chosen, rejected, **given)} if options.by else None,
        [*_counts(options, members), *_notes(options, found, soft is not None, rows)],
        options.min_accuracy,
    )


def _counts(options: EvalRmOptions, members: list[ModelFolder]) -> list[str]:
    """Several models, or outputs, as one reward."""
    out = []
    if len(members) > 1:
        how = {"mean": "the mean", "min": "the minimum"}.get(options.aggregate, f"the mean less {options.penalty:g} standard deviations")
        out.append(f"rewards are {how} of {len(members)} members")
    if members[0].outputs > 1 and members[0].head == "score":
        shares = shares_of(members[0], options)
        words = " + ".join(f"{w:.3g} {name}" for w, name in zip(shares, members[0].names, strict=True) if w)
        out.append(f"the reward of a model is {words}")
    return out


def _notes(options: EvalRmOptions, found: Rewards, soft: bool, rows: Ints) -> list[str]:
    out = []
    if found.logps and options.reference is None:
        what = "mean log-probs per token" if options.per_token else "log-probs, which favour short answers"
        out.append(f"no --reference: rewards are beta times {what} of the model itself (reference-free)")
    if soft:
        out.append("log-loss, Brier score and calibration are against p_chosen where records have it (--hard-labels: against 1)")
    if options.dtype == "bfloat16":
        out.append("in bfloat16 scores change by some thousandths with what else is in the batch")
    if len(rows) < 100:
        out.append(f"{len(rows):,} pairs are few: 100 leave ± 10 points, 1,000 ± 3")
    return out
