"""What eval judge makes of the annotations is what label made of the replies: for every kind of judge, with votes, log-probs, flips, ties,
aspects that do not apply, and replies that cannot be read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

import prefdata
from prefdata.judges.result import LabelResult
from prefdata.llm.mock_judges import Piece
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


def moody(ties: float) -> Any:
    """A judge without any opinion: every reply is drawn, by what is shown and how often it was. `ties` weighs the probability of a tie."""
    before: Counter[tuple[str, ...]] = Counter()

    def answer(asked: Asked) -> list[Piece] | str:
        r = Random(repr((asked.texts, before[asked.texts])))
        before[asked.texts] += 1
        if r.random() < 0.1:
            return "It depends on what you are looking for."
        if asked.form == "compare":
            a, b, tie = r.random(), r.random(), r.random() * ties
            spread = {" A": a, " B": b, " tie": tie}
            said = max(spread, key=lambda k: spread[k])
            return [Piece("Answer:"), Piece(said, {k: v / (a + b + tie) for k, v in spread.items()})]
        if asked.form == "rank":
            places = list(range(1, len(asked.texts) + 1))
            r.shuffle(places)
            return "Ranking: " + re.sub(" ", lambda _: r.choice([" > ", " = "]), " ".join(map(str, places)))
        if asked.form == "aspects":
            return "\n".join(f"{name}: {r.choice(['N/A', *map(str, range(1, 6))])}" for name in asked.names)
        return f"Score: {r.randint(asked.scale[0], asked.scale[0] + 3)}"

    return answer


RUNS = [
    ("pairwise", {}),
    ("pairwise", {"order": "random", "logprobs": "off"}),
    ("pairwise-cot", {"votes": 2, "temperature": 1.0, "logprobs": "off"}),
    # an annotation's p_first has half of P(tie) in it, so where probabilities of several calls are averaged there must be none
    ("pairwise", {"votes": 3, "temperature": 1.0, "ties": 0.0}),
    ("constitution", {"flip": "average", "ties": 0.0}),
    ("rubric", {"votes": 2, "temperature": 1.0, "logprobs": "off"}),
    ("multi-aspect", {}),
    ("listwise", {}),
]


@pytest.mark.parametrize(("judge", "options"), RUNS, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values())) or "plain")
@pytest.mark.parametrize("kind", ["pair", "listwise"])
def test_the_same_verdicts(judge: str, options: dict[str, Any], kind: str, tmp_path: Path) -> None:
    name = "tulu1_human_eval/annotations_part.csv.gz" if kind == "pair" else "oasst_trees/en_trees_part.jsonl.gz"
    prefdata.convert(str(EXAMPLES / name), str(tmp_path / "records.parquet"), to=kind, limit=150 if kind == "pair" else 25)
    options = dict(options)
    with serving(judge=moody(options.pop("ties", 0.7))) as server:
        done = prefdata.label(
            str(tmp_path / "records.parquet"),
            str(tmp_path / "out.jsonl"),
            judge=judge,
            model="m",
            base_url=server.url,
            resample=0,
            **options,
        )
    assert isinstance(done, LabelResult)
    flip = {"flip": options["flip"]} if "flip" in options else {}
    (found,) = prefdata.eval_judge(str(tmp_path / "out.jsonl"), judge=[f"{judge}-v*"], **flip).judges
    f, source = found.figures, Counter(done.report["source"])
    sided = f["accuracy"]["ties_dropped"]
    agrees = round((sided["value"] or 0) * sided["n"])
    assert min(agrees, sided["n"] - agrees, f["said_tie"] + f["undecided"]) > 0
    expected = Counter(agrees=agrees, disagrees=sided["n"] - agrees, tie=f["said_tie"], undecided=f["undecided"])
    assert source == +expected
    assert f["gold_tie"] == 0
    if f["position"]:
        first = f["position"]["first_rate"]
        shown = done.report["judges"][found.judge]["first_shown"]
        assert (first["n"], first["value"]) == (shown["n"], pytest.approx(shown["share"], abs=1e-6)) or judge == "listwise"
