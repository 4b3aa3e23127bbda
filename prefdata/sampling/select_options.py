"""Every option of `prefdata select`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefdata.errors import UsageError
from prefdata.options import Options

Method = Literal[
    "best-worst", "best-random", "best-median", "adjacent", "all", "tournament", "first-round", "rso", "rso-paper", "top-k", "threshold"
]
PICKS = ("top-k", "threshold")
"""Methods that pick answers to be imitated, not pairs."""
DRAWN = ("rso", "rso-paper")
"""Methods that draw some candidates first; these make pairs, or are picks themselves."""


class SelectOptions(Options):
    """Which candidates become training data, and by which score."""

    method: Method = Field("best-worst", description="Rule of selection; top-k and threshold pick answers (SFT), the others make pairs.")
    to: Literal["pair", "binary"] | None = Field(None, description="Kind of the output; default: what the method gives (rso gives both).")
    annotator: str | None = Field(None, description="Decide by the score of this annotator; default: the candidates' own score (or rank).")
    aspect: str | None = Field(None, description="Decide by the score of this aspect; --annotator alone means its score without an aspect.")
    k: int | None = Field(None, ge=1, description="Candidates that rso draws (default 8) or top-k picks (default 1) of each prompt.")
    beta: float = Field(0.5, ge=1e-6, description="rso: weights are exp(score / beta); large draws evenly, small takes the best.")
    pairing: Literal["first-round", "tournament"] = Field("first-round", description="rso: how those that were drawn become pairs.")
    threshold: float = Field(
        0.7, ge=0, lt=1, description="threshold: pick what lies above it when a prompt's scores are stretched to 0 to 1 (ReST)."
    )
    others: Literal["drop", "undesirable"] = Field(
        "drop", description="Candidates that are not picked: leave them out, or write them with label false (KTO)."
    )
    min_margin: float = Field(0.0, ge=0, description="Smallest difference of scores that makes a pair.")
    max_margin: float | None = Field(None, gt=0, description="Largest difference of scores that makes a pair.")
    max_pairs: int | None = Field(None, ge=1, description="Most pairs of one prompt (drawn by --seed).")
    max_uses: int | None = Field(None, ge=1, description="Most pairs that one answer may be in.")
    tie_tolerance: float = Field(0.0, ge=0, description="Scores that differ by no more are a tie, and never a pair.")
    similar: float | None = Field(
        None, gt=0, le=1, description="Merge candidates whose sets of words have at least this Jaccard similarity, too."
    )
    truncated: Literal["drop", "keep"] = Field("drop", description="Candidates that were cut off (finish_reason length).")
    reference: str | None = Field(
        None, description="Model name of the source's own answers; default: reference, or none where other candidates have one."
    )
    without_reference: bool = Field(False, description="Leave the source's own answers out of the selection.")
    length_control: Literal["none", "z-score", "residual", "match"] = Field(
        "none",
        description="z-score: z(score) - weight * z(length); residual: without what log length explains; match: pairs of about one length.",
    )
    length_weight: float = Field(0.5, ge=0, description="z-score: weight of the length.")
    length_tolerance: float = Field(0.1, ge=0, lt=1, description="match: largest difference of lengths, as a share of the longer one.")
    against_score: bool = Field(False, description="Permit pairs that length control turns round: chosen has the lower score as given.")
    temperature: float | None = Field(None, gt=0, description="Write p_chosen = sigmoid(margin / temperature).")
    min_confidence: float | None = Field(None, ge=0.5, lt=1, description="Smallest p_chosen of a pair (needs --temperature).")
    thoughts: Literal["join", "drop"] = Field("join", description="Thoughts of candidates: put them before the answer again, or not.")
    control: str | None = Field(None, description="Write the matched random control to this file, too.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of every draw.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    threads: int | None = Field(None, ge=1, description="Worker threads; default: one per core.")
    force: bool = Field(False, description="Select again even if OUT is up to date.")

    @property
    def kind(self) -> Literal["pair", "binary"]:
        """What is written."""
        return self.to or ("binary" if self.method in PICKS else "pair")

    @property
    def size(self) -> int:
        """k, or its default."""
        return self.k or (1 if self.method == "top-k" else 8)


PAIR_OPTIONS = ("min_margin", "max_margin", "max_pairs", "max_uses", "against_score", "temperature", "min_confidence")


def check(o: SelectOptions) -> None:
    """Raise UsageError with everything that does not go together."""
    wrong = []
    if o.kind == "pair" and o.method in PICKS:
        wrong.append(f"--method {o.method} picks answers and makes no pairs; drop --to pair, or take --method best-worst")
    if o.kind == "binary" and o.method not in (*PICKS, *DRAWN):
        wrong.append(f"--method {o.method} makes pairs; 'prefdata convert PAIRS -o OUT --to binary' labels them, or take --method top-k")
    if o.kind == "binary":
        given = [f"--{n.replace('_', '-')}" for n in PAIR_OPTIONS if getattr(o, n) != SelectOptions.model_fields[n].default]
        wrong += [f"{', '.join(given)}: of pairs only, and --method {o.method} writes single answers"] if given else []
        if o.length_control == "match":
            wrong.append("--length-control match: of pairs only; z-score and residual go with single answers")
    if o.kind == "pair" and o.others != "drop":
        wrong.append("--others: of single answers only (--method top-k or threshold)")
    if o.kind == "pair" and o.method in DRAWN and o.size < 2:
        wrong.append(f"--k {o.size}: a pair needs two candidates")
    if o.min_confidence is not None and o.temperature is None:
        wrong.append("--min-confidence: a confidence is made of the margin by --temperature; give both")
    if o.max_margin is not None and o.max_margin < o.min_margin:
        wrong.append(f"--max-margin {o.max_margin:g} is below --min-margin {o.min_margin:g}")
    if wrong:
        raise UsageError("\n".join(wrong))
