"""Real judgments, replayed: a server on this machine answers with the verdicts that models and people once gave, prefdata labels the
records, and what eval judge says must be what the raw files say when they are counted here, in plain Python."""

from __future__ import annotations

import csv
import gzip
import io
import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import prefdata
from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.run import convert
from prefdata.evaluate.result import EvalJudgeResult
from prefdata.judges.gate import TooLowError
from prefdata.judges.result import LabelResult
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving

Real = Callable[[str], Path]
Shown = tuple[str, str, str]
"""A prompt, and two answers in the order in which they were shown."""
LETTER = {"first": "Answer: A", "second": "Answer: B", "tie": "Answer: tie", None: "Both have their points."}


def replay(recorded: dict[Shown, str | None], data: Path, out: Path, model: str, order: str) -> Path:
    """Label records with a server that says what was recorded about the answers in the order in which it sees them."""

    def answer(asked: Asked) -> str:
        return LETTER[recorded[asked.prompt, asked.texts[0], asked.texts[1]]]

    with serving(judge=answer) as server:
        how = {"judge": "pairwise", "model": model, "base_url": server.url, "order": order, "logprobs": "off"}
        result = prefdata.label(str(data), str(out), **how)
        assert isinstance(result, LabelResult)
        assert result.exit_code == 0
        unreadable = {shown for shown, said in recorded.items() if said is None}
        # what cannot be read is asked for once more
        assert server.stats.requests == len(recorded) + len(unreadable)
    return out


def evaluated(files: Iterable[Path], **options: Any) -> EvalJudgeResult:
    found = prefdata.eval_judge([str(f) for f in files], **options)
    assert found.exit_code == 0
    return found


def measured(files: Iterable[Path], **options: Any) -> dict[str, Any]:
    """The figures by judge."""
    found = evaluated(files, **options)
    return found.as_dict() | {"judges": {j.judge: j.figures | {"why": j.why} for j in found.judges}}


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def converted(data: Path, out: Path, **options: Any) -> Path:
    convert([str(data)], str(out), ConvertOptions(**options))
    return out


class Counted(NamedTuple):
    """Figures of verdicts and gold, each "1", "2", "tie" or None (no verdict), counted in plain Python."""

    agreement: float
    classes: float
    dropped: float | None
    half: float
    kappa: float
    undecided: int

    @staticmethod
    def of(pairs: Iterable[tuple[str | None, str]]) -> Counted:
        pairs = list(pairs)
        known = [(said, gold) for said, gold in pairs if said is not None]
        sided = [(said, gold) for said, gold in known if "tie" not in (said, gold)]
        right = sum(said == gold for said, gold in known)
        halves = sum("tie" in (said, gold) and said != gold for said, gold in known)
        observed = right / len(known)
        tie_said, tie_gold = (sum(p[k] == "tie" for p in known) / len(known) for k in (0, 1))
        # the sides are nobody's category: each half of what is no tie
        expected = tie_said * tie_gold + (1 - tie_said) * (1 - tie_gold) / 2
        return Counted(
            (right + halves / 2) / len(pairs),
            observed,
            sum(s == g for s, g in sided) / len(sided) if sided else None,
            (right + halves / 2) / len(known),
            (observed - expected) / (1 - expected),
            len(pairs) - len(known),
        )

    def check(self, f: dict[str, Any]) -> None:
        assert f["agreement"]["value"] == pytest.approx(self.agreement)
        ways = [f["accuracy"][f"ties_{t}"]["value"] for t in ("class", "dropped", "half")]
        assert ways == pytest.approx([self.classes, self.dropped, self.half])
        assert f["kappa"]["value"] == pytest.approx(self.kappa)
        assert f["undecided"] == self.undecided


def wilson(k: float, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    middle, half = k / n + z * z / (2 * n), z * sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


# LLMBar: 134 and 92 pairs, three judges, both orders


def winners(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """Of the first round: with output_1 first, and with output_2 first; both name the output."""
    first = row["results"][0]
    return first["swap = False"]["winner"], first["swap = True"]["winner"]


def recorded_llmbar(rows: list[dict[str, Any]]) -> dict[Shown, str | None]:
    out: dict[Shown, str | None] = {}
    for row in rows:
        one, two = row["output_1"], row["output_2"]
        straight, turned = winners(row)
        out[row["input"], one, two] = {"1": "first", "2": "second"}.get(straight or "")
        out[row["input"], two, one] = {"2": "first", "1": "second"}.get(turned or "")
    return out


def settled(row: dict[str, Any]) -> str | None:
    """The winner in both orders; a tie where they differ, nothing where one is missing."""
    straight, turned = winners(row)
    if straight is None or turned is None:
        return None
    return straight if straight == turned else "tie"


def judges_of(real: Real, part: str, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    out = {}
    for name in names:
        with gzip.open(real(f"llmbar/Adversarial_{part}.judge_{name}.json.gz")) as f:
            out[name] = json.load(f)
    return out


LLMBAR = [
    ("Neighbor", ("GPT-4_Swap", "ChatGPT_Swap")),
    ("Neighbor", ("GPT-4_Swap_CoT",)),
    ("GPTInst", ("GPT-4_Swap", "GPT-4_Swap_CoT", "ChatGPT_Swap")),
]


@pytest.mark.parametrize(("part", "names"), LLMBAR, ids=["neighbor", "neighbor-cot", "gptinst"])
def test_llmbar(part: str, names: tuple[str, ...], real: Real, tmp_path: Path) -> None:
    judges = judges_of(real, part, names)
    last = converted(real(f"llmbar/Adversarial_{part}.dataset.json"), tmp_path / "gold.parquet", to="pair")
    for n, (name, rows) in enumerate(judges.items()):  # each run appends to what the one before has written
        last = replay(recorded_llmbar(rows), last, tmp_path / f"{n}.parquet", name, "both")
    found = measured([last])
    assert set(found["judges"]) == {f"pairwise-v1:{name}" for name in names}
    for name, rows in judges.items():
        f = found["judges"][f"pairwise-v1:{name}"]
        Counted.of((settled(r), str(r["label"])) for r in rows).check(f)
        low, high = wilson(sum(1 if settled(r) == str(r["label"]) else (settled(r) == "tie") / 2 for r in rows), len(rows))
        assert (f["agreement"]["low"], f["agreement"]["high"]) == (pytest.approx(low), pytest.approx(high))
        valid = [r for r in rows if None not in winners(r)]
        same = sum(winners(r)[0] == winners(r)[1] for r in valid)
        position = f["position"]
        assert (position["consistent"]["n"], position["consistent"]["value"]) == (len(valid), pytest.approx(same / len(valid)))
        flips = [winners(r) for r in valid if winners(r)[0] != winners(r)[1]]
        assert position["favours_first"]["n"] == len(flips)
        assert position["favours_first"]["value"] == pytest.approx(sum(w == ("1", "2") for w in flips) / len(flips))
        first = [w == k for r in rows for w, k in zip(winners(r), "12", strict=True) if w is not None]
        assert (position["first_rate"]["n"], position["first_rate"]["value"]) == (len(first), pytest.approx(sum(first) / len(first)))
        assert position["gold_first"]["value"] == 0.5
    if len(names) > 1:
        one, other = judges[min(names)], judges[sorted(names)[1]]
        pairs = [(settled(a), settled(b)) for a, b in zip(one, other, strict=True)]
        expected = Counted.of((a, b) for a, b in pairs if b is not None and a is not None)
        between = found["between"][0]
        assert between["judges"] == [f"pairwise-v1:{n}" for n in sorted(names)[:2]]
        assert between["kappa"]["value"] == pytest.approx(expected.kappa)


def test_llmbar_as_published(real: Real, tmp_path: Path) -> None:
    """The README of the data: GPT-4 disagrees with itself after a swap on 14 of 134 rows, ChatGPT on 52. The verdicts that the judge's
    own file brings give the same figures as asking again."""
    gold = converted(real("llmbar/Adversarial_Neighbor.dataset.json"), tmp_path / "gold.parquet", to="pair")
    for name, disagree in (("GPT-4_Swap", 14), ("ChatGPT_Swap", 52)):
        path = real(f"llmbar/Adversarial_Neighbor.judge_{name}.json.gz")
        (rows,) = judges_of(real, "Neighbor", [name]).values()
        again = replay(recorded_llmbar(rows), gold, tmp_path / f"{name}.parquet", name, "both")
        asked = measured([again])["judges"][f"pairwise-v1:{name}"]
        assert round((1 - asked["position"]["consistent"]["value"]) * 134) == disagree
        assert asked["why"] == {"flip": disagree}
        assert evaluated([again]).judges[0].cost["calls"] == 2000
        stored = converted(path, tmp_path / f"{name}.jsonl", to="listwise", **{"from": "llmbar-judge"})
        kept = measured([stored], gold=str(gold), judge=["llmbar-judge"])["judges"]["llmbar-judge"]
        for key in ("comparisons", "undecided", "said_tie", "agreement", "accuracy", "kappa", "position", "why"):
            assert kept[key] == asked[key], key


def test_the_bar_of_label_is_this_agreement(real: Real, tmp_path: Path) -> None:
    """`label --gold` and `eval judge` measure the same, so that the one can be set by the other."""
    gold = converted(real("llmbar/Adversarial_Neighbor.dataset.json"), tmp_path / "gold.parquet", to="pair")
    (rows,) = judges_of(real, "Neighbor", ["GPT-4_Swap"]).values()
    recorded = recorded_llmbar(rows)
    with serving(judge=lambda asked: LETTER[recorded[asked.prompt, asked.texts[0], asked.texts[1]]]) as server:
        how: dict[str, Any] = {"judge": ["pairwise"], "model": "m", "base_url": [server.url], "gold": str(gold)}
        out = tmp_path / "labelled.parquet"
        done = prefdata.label(str(gold), str(out), **how)
        assert isinstance(done, LabelResult)
        found = evaluated([out]).judges[0].figures
        assert done.gold is not None
        assert done.gold["agreement"] == found["agreement"]
        bar = found["agreement"]["value"] + 1e-6
        with pytest.raises(TooLowError):
            prefdata.label(str(gold), str(tmp_path / "other.parquet"), **how, min_agreement=bar)
    assert evaluated([out], min_agreement=bar - 2e-6).below == []
    assert prefdata.eval_judge(str(out), min_agreement=bar).exit_code == 1


# PandaLM: 999 pairs, three people and two judges, one order


def rounds(rows: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> list[list[dict[str, Any]]]:
    """Rows of equal content in different rounds: the same question, asked twice, has one answer, and the files have several."""
    seen: Counter[Any] = Counter()
    out: list[list[dict[str, Any]]] = []
    for row in rows:
        n = seen[key(row)]
        seen[key(row)] += 1
        if n == len(out):
            out.append([])
        out[n].append(row)
    return out


def pandalm_prompt(row: dict[str, Any]) -> str:
    return f"{row['instruction']}\n\n{row['input']}" if row["input"].strip() else str(row["instruction"])


PANDALM = {
    "gpt-3.5-turbo": {"1": "first", "2": "second", "Tie": "tie", "garbage": None},
    "pandalm-7b": {1: "first", 2: "second", 0: "tie"},
}


def test_pandalm(real: Real, tmp_path: Path) -> None:
    rows, gpt_rows, panda_rows = (
        json.loads(real(f"pandalm_testset/{name}testset-v1.json").read_text(encoding="utf-8"))
        for name in ("", "gpt-3.5-turbo-", "pandalm-7b-")
    )
    gpt, panda = {r["idx"]: r["gpt_result"] for r in gpt_rows}, {r["idx"]: r["pandalm_result"] for r in panda_rows}
    # as the README of the data has them
    assert Counter(gpt.values()) == {"1": 460, "2": 476, "Tie": 38, "garbage": 25}
    assert Counter(panda.values()) == {0: 107, 1: 433, 2: 459}
    # an empty answer is no record, and neither is a boolean
    usable = [r for r in rows if all(isinstance(r[k], str) and r[k].strip() for k in ("response1", "response2"))]
    assert len(usable) == 999 - 54 - 6
    files = []
    for n, part in enumerate(rounds(usable, lambda r: (pandalm_prompt(r), r["response1"], r["response2"]))):
        last = converted(written(part, tmp_path / f"{n}.json"), tmp_path / f"{n}.parquet", to="listwise", **{"from": "pandalm"})
        for name, said in (("gpt-3.5-turbo", gpt), ("pandalm-7b", panda)):
            recorded = {(pandalm_prompt(r), r["response1"], r["response2"]): PANDALM[name][said[r["idx"]]] for r in part}
            last = replay(recorded, last, tmp_path / f"{n}-{name}.parquet", name, "given")
        files.append(last)

    def majority(row: dict[str, Any]) -> str:
        votes = Counter(row[f"annotator{k}"] for k in (1, 2, 3))
        return "1" if votes[1] >= 2 else "2" if votes[2] >= 2 else "tie"

    found = measured(files)
    calls = Counter(
        (a["annotator"], a["outcome"]) for f in files for notes in pl.read_parquet(f)["annotations"] for a in notes if a["kind"] == "judge"
    )
    for name, said in (("gpt-3.5-turbo", gpt), ("pandalm-7b", panda)):
        verdicts = [PANDALM[name][said[r["idx"]]] for r in usable]
        f = found["judges"][f"pairwise-v1:{name}"]
        places = {"first": "1", "second": "2", "tie": "tie", None: None}
        Counted.of((places[v], majority(r)) for v, r in zip(verdicts, usable, strict=True)).check(f)
        # garbage is no verdict, and no tie
        assert {o: n for (who, o), n in calls.items() if who.endswith(name)} == Counter(v or "invalid" for v in verdicts)
        first = [v == "first" for v in verdicts if v in ("first", "second")]
        assert f["position"]["first_rate"]["value"] == pytest.approx(sum(first) / len(first))
        assert f["position"]["consistent"]["n"] == 0
    # people are the majority's source, so their votes as gold are the same gold
    by_people = measured(files, gold="human")
    assert by_people["judges"] == found["judges"]
    one_out = []
    for r in usable:
        votes = [{0: "tie", 1: "1", 2: "2"}[r[f"annotator{k}"]] for k in (1, 2, 3)]
        for k in range(3):
            others = [v for m, v in enumerate(votes) if m != k]
            one_out.append((votes[k], others[0] if others[0] == others[1] else "tie"))
    expected = Counted.of(one_out)
    assert by_people["people"]["agreement"]["value"] == pytest.approx(expected.agreement)
    assert by_people["people"]["kappa"]["value"] == pytest.approx(expected.kappa)


# UKPConvArg1: pairs of arguments with five people's votes


UKP = "ukp_convarg/full_xml/ban-plastic-water-bottles_no-bad-for-the-economy.xml.gz"


def test_ukp(real: Real, tmp_path: Path) -> None:
    """The k-th voter of every pair as judge k, four on a jury; the gold label of the file, and the majority of the people, as gold."""
    path = real(UKP)
    with gzip.open(path) as f:
        pairs = list(ET.parse(f).getroot().iter("annotatedArgumentPair"))
    side = {"a1": "1", "a2": "2", "equal": "tie"}
    word = {"a1": "first", "a2": "second", "equal": "tie"}
    votes = [[v.findtext("value") or "" for v in p.iterfind("mTurkAssignments/mTurkAssignment")] for p in pairs]
    gold = [side.get(p.findtext("goldLabel") or "") for p in pairs]
    assert len(pairs) == 378
    last = converted(path, tmp_path / "ukp.parquet", to="listwise")
    names = pl.read_parquet(last)["prompt"].list.first().struct.field("content")
    shown = [(prompt, p.findtext("arg1/text") or "", p.findtext("arg2/text") or "") for prompt, p in zip(names, pairs, strict=True)]
    for k in range(4):  # the one pair with four votes has no fifth
        recorded = {s: word[v[k]] for s, v in zip(shown, votes, strict=True)}
        last = replay(recorded, last, tmp_path / f"{k}.parquet", f"voter-{k}", "given")
    found = measured([last], jury="majority")
    assert found["without_gold"] == sum(g is None for g in gold) == 15
    for k in range(4):
        expected = Counted.of((side[v[k]], g) for v, g in zip(votes, gold, strict=True) if g is not None)
        expected.check(found["judges"][f"pairwise-v1:voter-{k}"])

    def most(said: list[str]) -> str:
        count = Counter(said)
        for one, other in (("a1", "a2"), ("a2", "a1")):
            if count[one] > max(count[other], count["equal"]):
                return side[one]
        return "tie"

    expected = Counted.of((most(v[:4]), g) for v, g in zip(votes, gold, strict=True) if g is not None)
    expected.check(found["judges"]["jury (majority)"])
    for b in found["between"]:
        i, j = (int(name[-1]) for name in b["judges"])
        expected = Counted.of((side[v[i]], side[v[j]]) for v, g in zip(votes, gold, strict=True) if g is not None)
        assert (b["agreement"]["value"], b["kappa"]["value"]) == (pytest.approx(expected.agreement), pytest.approx(expected.kappa))

    by_people = measured([last], gold="human")

    def majority(said: list[str]) -> str:
        return next((side[s] for s in ("a1", "a2") if 2 * said.count(s) > len(said)), "tie")

    for k in range(4):
        Counted.of((side[v[k]], majority(v)) for v in votes).check(by_people["judges"][f"pairwise-v1:voter-{k}"])
    expected = Counted.of((side[v[k]], majority(v[:k] + v[k + 1 :])) for v in votes for k in range(len(v)))
    assert by_people["people"]["agreement"]["value"] == pytest.approx(expected.agreement)


# Tulu-1 human evaluation: what two people say about the same two answers, in whatever order they saw them


def test_tulu1(real: Real, tmp_path: Path) -> None:
    """The second person to see an instance as the judge, the first as gold in a file of its own, joined by content: the order of the
    answers was drawn anew for each."""
    with gzip.open(real("tulu1_human_eval/annotations_part.csv.gz"), "rt", encoding="utf-8", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["completion_a"] != r["completion_b"]]
    assert len(rows) == 810 - 24
    seen = rounds(rows, lambda r: (r["prompt"], frozenset((r["completion_a"], r["completion_b"]))))
    verdict = {"a-is-better": "1", "a-is-slightly-better": "1", "tie": "tie", "b-is-slightly-better": "2", "b-is-better": "2"}
    word = {"1": "first", "2": "second", "tie": "tie"}
    files = [converted(csv_of(part, tmp_path / f"{n}.csv"), tmp_path / f"{n}.parquet", to="listwise") for n, part in enumerate(seen[:2])]
    recorded: dict[Shown, str | None] = {
        (r["prompt"], r["completion_a"], r["completion_b"]): word[verdict[r["preference"]]] for r in seen[1]
    }
    out = replay(recorded, files[1], tmp_path / "labelled.parquet", "second", "given")
    found = measured([out], gold=str(files[0]))
    firsts = {(r["prompt"], r[f"completion_{x}"], r[f"completion_{y}"]): (r, x) for r in seen[0] for x, y in ("ab", "ba")}
    pairs, turned = [], 0
    for r in seen[1]:
        first, a_is = firsts[r["prompt"], r["completion_a"], r["completion_b"]]
        gold = verdict[first["preference"]]
        turned += a_is == "b"
        pairs.append((verdict[r["preference"]], gold if a_is == "a" else {"1": "2", "2": "1", "tie": "tie"}[gold]))
    assert 0 < turned < len(pairs)
    f = found["judges"]["pairwise-v1:second"]
    assert (f["comparisons"], found["without_gold"]) == (len(pairs), 0)
    Counted.of(pairs).check(f)


def csv_of(rows: list[dict[str, Any]], path: Path) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path
