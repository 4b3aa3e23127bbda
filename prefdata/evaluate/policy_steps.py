"""The steps that `eval policy` is made of, as options of generate, score and label; and what they would ask in a dry run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import polars as pl

from prefdata.errors import PrefdataError, UsageError
from prefdata.evaluate.policy_options import EvalPolicyOptions
from prefdata.evaluate.policy_table import ABOUT, BASE, TUNED, nothing_by, pairs_of, values_of, write_frame
from prefdata.io.open import opened
from prefdata.io.sniff import expand
from prefdata.io.write import replacing
from prefdata.judges.ask import Job
from prefdata.judges.members import panel_of
from prefdata.judges.options import LabelOptions
from prefdata.judges.prompts import prompts_of
from prefdata.judges.run import label
from prefdata.llm.endpoints import address, authorization
from prefdata.llm.estimate import Estimate
from prefdata.llm.options import ClientOptions
from prefdata.sampling.folders import check_folder
from prefdata.sampling.generate import generate
from prefdata.sampling.generate_options import GenerateOptions
from prefdata.sampling.generate_result import GenerateEstimate
from prefdata.sampling.score import score
from prefdata.sampling.score_options import ScoreOptions, together
from prefdata.sampling.score_scorers import panel_of as scorers_of
from prefdata.schema.ids import add_ids
from prefdata.sources.build import assistant

LOCAL = "hf:"
MARK = b"# Written by 'prefdata eval policy': both policies, as 'prefdata generate --policies' takes them.\n"
CLIENT = tuple(f for f in ClientOptions.model_fields if f not in ("model", "journal", "batch"))
ANSWERS = ("n", "temperature", "top_p", "top_k", "max_tokens", "system", "stop", "seed", "batch_size", "dtype", "kind", "limit", "force")
SCORES = (
    "model",
    "reward_model",
    "reward_server",
    "reward_api",
    "tokenizer",
    "grader",
    "allow_code",
    "ending",
    "aggregate",
    "batch_tokens",
)
VERDICTS = ("model", "judge", "constitution", "jury", "order", "votes", "resample", "structured", "seed")


def check(o: EvalPolicyOptions) -> None:
    """What can be said before anything is read. Raises UsageError with everything that is wrong."""
    wrong = []
    scorers = bool(o.reward_model or o.reward_server or o.grader)
    if not scorers and not o.judge:
        wrong.append("compare by what? --reward-model FOLDER, --judge NAME, --grader FILE or --reward-server URL")
    if scorers and o.judge:
        wrong.append("--judge compares answers, the other scorers give each a number: take one of the two at a time")
    wrong += [f"--judge {j}: a reward model is --reward-model {j[3:]}" for j in o.judge if j.startswith("rm:")]
    if o.judge and o.tie_margin:
        wrong.append("--tie-margin is for scores; a judge says itself what is a tie")
    for flag, name, server in (("--base", o.base, o.base_server), ("--tuned", o.tuned, o.tuned_server)):
        if name.startswith(LOCAL):
            wrong += [f"{flag}-server: {name} is a folder on this machine"] if server else []
            try:
                check_folder(name[len(LOCAL) :], f"{flag} {name}")
            except UsageError as e:
                wrong.append(str(e))
        elif os.path.isdir(name):
            wrong.append(f"{flag} {name}: a local model is written {LOCAL}{name}; without {LOCAL} it is the name of a model on a server")
    if o.base == o.tuned and not o.base.startswith(LOCAL) and (o.base_server or o.base_url) != (o.tuned_server or o.base_url):
        wrong.append(f"--base and --tuned are both {o.base!r}: serve the two under different names (vLLM: --served-model-name)")
    try:
        _check_judges(o) if o.judge else _check_scorers(o)
    except PrefdataError as e:
        wrong += str(e).splitlines()
    if wrong:
        raise UsageError("\n".join(dict.fromkeys(wrong)))


def _check_scorers(o: EvalPolicyOptions) -> None:
    if o.reward_model or o.reward_server or o.grader:
        options = to_score(o, "")
        together(options, "listwise")
        scorers_of(options, "listwise")


def _check_judges(o: EvalPolicyOptions) -> None:
    """Judges, their servers and their constitution, as far as they can be checked without a request."""
    options = to_label(o, "")
    if any(j.startswith("rm:") for j in options.judge):
        return
    panel = panel_of(options)
    _ = Job(panel, options, "pair").constitution
    for member in panel.members if not (o.offline or o.dry_run) else ():
        pool = panel.pools[member.pool]
        authorization(pool)
        for base in pool.base_url:
            address(pool, base, member.model)


def _taken(o: EvalPolicyOptions, names: Sequence[str]) -> dict[str, Any]:
    return {n: getattr(o, n) for n in (*CLIENT, *names) if n in o.model_fields_set}


def write_policies(o: EvalPolicyOptions, folder: str) -> str:
    """The file of the two policies: their names and servers. JSON is YAML."""
    both = []
    for name, policy, server in ((BASE, o.base, o.base_server), (TUNED, o.tuned, o.tuned_server)):
        both.append({"policy": policy, "name": name, **({"base_url": server} if server else {})})
    path = os.path.join(folder, "policies.yaml")
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(MARK + orjson.dumps({"policies": both}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path


def to_generate(o: EvalPolicyOptions, policies: str, journal: str, **more: Any) -> GenerateOptions:
    given = {"n": o.n, **_taken(o, ANSWERS), "policies": policies, "journal": journal}
    return GenerateOptions.model_validate({**given, **more})


def to_score(o: EvalPolicyOptions, journal: str, **more: Any) -> ScoreOptions:
    return ScoreOptions.model_validate({**_taken(o, (*SCORES, "force")), "journal": journal, **more})


def to_label(o: EvalPolicyOptions, journal: str, **more: Any) -> LabelOptions:
    given = {**_taken(o, (*VERDICTS, "force")), "temperature": o.judge_temperature, "journal": journal}
    return LabelOptions.model_validate({**given, **more})


@dataclass
class EvalPolicyEstimate:
    """What would be asked for answers, and what for verdicts or scores. `assumed`: the answers are not there yet; each is counted with its
    most tokens in what is asked about it."""

    answers: GenerateEstimate
    verdicts: Estimate
    assumed: bool

    @property
    def exit_code(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        both = {"answers": self.answers.as_dict(), "verdicts": self.verdicts.as_dict(), "assumed": self.assumed}
        found = [e.usd for e in (self.answers, self.verdicts)]
        usd = None if None in found else [sum(f[k] for f in found if f) for k in (0, 1)]
        return {**both, "calls": self.answers.calls + self.verdicts.calls, "usd": usd, "estimated": True, "exit_code": 0}

    def lines(self) -> list[str]:
        """The estimate in words."""
        out = ["answers of the two policies:", *(f"  {line}" for line in self.answers.lines())]
        if self.verdicts.calls or self.verdicts.stored:
            out += ["verdicts on them:", *(f"  {line}" for line in self.verdicts.lines())]
            out += (
                ["  the answers are not there yet: each is counted with --max-tokens, and no two are taken to be equal"]
                if self.assumed
                else []
            )
        return out


def check_by(data: list[str], o: EvalPolicyOptions) -> None:
    """Raises UsageError when no prompt has what --by names, before anything is asked. What can be read only once is not looked at."""
    if o.by is None or not all(os.path.isfile(p) for p in expand(data)):
        return
    known: set[str] = set()
    with opened(data) as files:
        for part, _ in prompts_of(files, o.kind, o.limit).parts():
            found, keys = values_of(part.df, o.by)
            if any(v is not None for v in found):
                return
            known |= keys
    raise nothing_by(o.by, known)


def estimated(names: list[str], o: EvalPolicyOptions, journal: str) -> EvalPolicyEstimate:
    """A dry run. Nothing is written outside a temporary folder."""
    with TemporaryDirectory() as work, opened(names) as files:
        data = [f.path for f in files]
        answers, pairs = (os.path.join(work, f"{name}.parquet") for name in ("answers", "pairs"))
        policies = write_policies(o, work)
        first = generate(data, answers, to_generate(o, policies, journal, dry_run=True))
        assert isinstance(first, GenerateEstimate)
        there = os.path.exists(journal) and not first.calls and not first.local_answers
        if there:  # all replies are in the journal
            generate(data, answers, to_generate(o, policies, journal, dry_run=False, offline=True))
            pairs_of(pl.read_parquet(answers), pairs)
        else:
            _assumed(data, o, pairs)
        asked: Any
        if o.judge:
            asked = label(pairs, os.path.join(work, "judged.parquet"), to_label(o, journal, dry_run=True))
        else:
            about = answers if there else pairs
            asked = score(about, os.path.join(work, "scored.parquet"), to_score(o, journal, dry_run=True))
    assert isinstance(asked, Estimate)
    if not there:
        asked.tokens_in += asked.calls * o.max_tokens * (2 if o.judge else 1)
    return EvalPolicyEstimate(first, asked, not there)


def _assumed(data: list[str], o: EvalPolicyOptions, out: str) -> None:
    """Pairs that stand for those that are not there yet."""
    frames = []
    with opened(data) as files:
        for part, _ in prompts_of(files, o.kind, o.limit).parts():
            df = part.df.select(c for c in ABOUT if c in part.df.columns)
            for k in range(o.n):
                sides = {side: assistant(pl.lit(f"{name} {k}")) for side, name in (("chosen", TUNED), ("rejected", BASE))}
                frames.append(df.with_columns(**sides))
    write_frame(add_ids(pl.concat(frames, how="diagonal_relaxed"), "pair"), out)
