"""prefdata eval judge on records written by hand: whose verdict is gold, which calls belong together, and how it ends."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from prefdata.cli.main import build
from prefdata.errors import InputError, UsageError
from prefdata.evaluate.judge import eval_judge
from prefdata.evaluate.options import EvalJudgeOptions
from prefdata.evaluate.result import EvalJudgeResult
from prefdata.judges.gold import majority
from prefdata.schema.ids import completion_id
from prefdata.schema.records import Message

C, R = "chosen", "rejected"


def note(who: str, shown: list[str], outcome: str | None = None, kind: str = "judge", **more: Any) -> dict[str, Any]:
    empty = {"aspect": None, "score": None, "p_first": None, "rationale": None, "request": None}
    return {"annotator": who, "kind": kind, "completions": shown, "outcome": outcome} | empty | more


def turns(text: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def name_of(text: str) -> str:
    """The id of a candidate."""
    return completion_id([Message(role="assistant", content=text)])


def pair(n: int, *notes: dict[str, Any], chosen: str = "good", rejected: str = "bad", **more: Any) -> dict[str, Any]:
    return {
        "prompt": turns(f"question {n}", "user"),
        "chosen": turns(chosen),
        "rejected": turns(rejected),
        "annotations": list(notes),
    } | more


def listed(n: int, *notes: dict[str, Any], **scores: float | None) -> dict[str, Any]:
    completions = [{"id": name_of(text), "messages": turns(text), "score": score} for text, score in scores.items()]
    return {"prompt": turns(f"question {n}", "user"), "completions": completions, "annotations": list(notes)}


def measured(path: Path, rows: list[dict[str, Any]], **options: Any) -> EvalJudgeResult:
    file = path / "labelled.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return eval_judge([str(file)], EvalJudgeOptions(**options))


def both(who: str, straight: str, turned: str, **more: Any) -> list[dict[str, Any]]:
    """A call in each order."""
    return [note(who, [C, R], straight, **more), note(who, [R, C], turned, **more)]


def test_both_orders_of_pairs(tmp_path: Path) -> None:
    rows = [
        pair(1, *both("j", "first", "second")),  # right
        pair(2, *both("j", "first", "second")),  # right
        pair(3, *both("j", "second", "first")),  # wrong
        pair(4, *both("j", "first", "first")),  # flip: a tie
        pair(5, *both("j", "first", "invalid")),  # one order cannot be read: undecided
        pair(6, *both("j", "invalid", "invalid")),  # undecided
        pair(7),  # not judged: no comparison of this judge
    ]
    (found,) = measured(tmp_path, rows).judges
    f = found.figures
    assert (f["comparisons"], f["said_tie"], f["undecided"], f["gold_tie"]) == (6, 1, 2, 0)
    assert found.why == {"flip": 1, "half-judged": 1, "invalid": 1}
    assert f["agreement"]["value"] == pytest.approx(2.5 / 6)
    assert [f["accuracy"][f"ties_{t}"]["value"] for t in ("class", "dropped", "half")] == pytest.approx([2 / 4, 2 / 3, 2.5 / 4])
    # p_o = 2/4; ties said 1/4, never gold: p_e = 1/4 · 0 + 3/4 · 1/2 from both sides
    assert f["kappa"]["value"] == pytest.approx((1 / 2 - 3 / 8) / (1 - 3 / 8))
    p = f["position"]
    assert (p["consistent"]["value"], p["consistent"]["n"]) == (3 / 4, 4)
    assert (p["favours_first"]["value"], p["favours_first"]["n"]) == (1.0, 1)
    # winners shown first: one of two calls in rows 1 to 3, two of two in row 4, one of one in row 5
    assert (p["first_rate"]["value"], p["first_rate"]["n"]) == (pytest.approx(6 / 9), 9)
    # two votes for one answer: (2 + 1/2)/3; brier of 2 right, 1 wrong, and a tie at 1/2
    assert f["calibration"]["raw"]["brier"] == pytest.approx((2 / 36 + 25 / 36 + 1 / 4) / 4)


def test_one_order_alone_is_no_half(tmp_path: Path) -> None:
    rows = [pair(n, note("j", [C, R], "first")) for n in range(3)] + [pair(3, note("j", [C, R], "tie"))]
    result = measured(tmp_path, rows)
    f = result.judges[0].figures
    assert f["agreement"]["value"] == pytest.approx(3.5 / 4)
    assert f["position"]["consistent"]["n"] == 0
    assert f["position"]["gold_first"]["value"] == 1.0
    assert "gold's winner stood first in 100.0 %: this says little about place" in result.text()


def test_ties_of_gold(tmp_path: Path) -> None:
    rows = [pair(1, note("j", [C, R], "tie"), p_chosen=0.5), pair(2, note("j", [C, R], "first"), p_chosen=0.9)]
    rows[1] |= {"margin": None}
    f = measured(tmp_path, rows).judges[0].figures
    assert (f["gold_tie"], f["agreement"]["value"], f["accuracy"]["ties_class"]["value"]) == (1, 1.0, 1.0)


def test_scores_of_lists(tmp_path: Path) -> None:
    """Gold a > b = c; the judge scores a 5, b 7, c none: a loses to b, and nothing is known of c."""
    scores = [note("j", [name_of("a")], score=5.0), note("j", [name_of("b")], score=7.0), note("j", [name_of("c")], "invalid")]
    (found,) = measured(tmp_path, [listed(1, *scores, a=3.0, b=1.0, c=1.0)]).judges
    f = found.figures
    assert (f["comparisons"], f["undecided"], f["gold_tie"]) == (3, 2, 1)
    assert f["agreement"]["value"] == 0.0
    assert f["position"] is None  # nothing was shown beside anything
    assert found.why == {"half-judged": 2}


def test_a_ranking(tmp_path: Path) -> None:
    a, b, c = (name_of(t) for t in "abc")
    said = [note("j", [a, b], "first"), note("j", [a, c], "first"), note("j", [b, c], "tie")]
    turned = [note("j", [c, b], "tie"), note("j", [c, a], "second"), note("j", [b, a], "first")]
    lost = note("j", [a, b, c], "invalid")
    rows = [listed(1, *said, *turned, a=3.0, b=2.0, c=1.0), listed(2, lost, a=3.0, b=2.0, c=1.0)]
    f = measured(tmp_path, rows).judges[0].figures
    # a > c in both orders; a > b in one of two: tie; b = c twice: tie; the second record: nothing
    assert (f["comparisons"], f["said_tie"], f["undecided"]) == (6, 2, 3)
    assert f["agreement"]["value"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 6)
    assert (f["position"]["consistent"]["value"], f["position"]["consistent"]["n"]) == (pytest.approx(2 / 3), 3)


def aspects(request: str, shown: str, **scores: float | None) -> list[dict[str, Any]]:
    return [note("j", [shown], None if s is not None else "abstain", score=s, aspect=name, request=request) for name, s in scores.items()]


def test_aspects_and_their_parts(tmp_path: Path) -> None:
    """The mean over aspects that apply to both: chosen (4, n/a) against rejected (3, 5) is 4 : 3."""
    notes = [*aspects("x", C, help=4.0, truth=None), *aspects("y", R, help=3.0, truth=5.0)]
    result = measured(tmp_path, [pair(1, *notes)], by="aspect")
    by_part = {j.part: j for j in result.judges}
    assert set(by_part) == {"", "help", "truth"}
    assert by_part[""].figures["agreement"]["value"] == by_part["help"].figures["agreement"]["value"] == 1.0
    assert by_part["truth"].figures["undecided"] == 1
    assert "    truth: agreement 0.0 %" in result.text()


def test_principles_and_sources_are_parts(tmp_path: Path) -> None:
    rows = [
        pair(1, *both("j", "first", "second", aspect="kind"), source="s"),
        pair(2, *both("j", "second", "first", aspect="honest"), source="s"),
        pair(3, *both("j", "first", "second", aspect="kind"), source="t"),
    ]
    by_aspect = {j.part: j.figures["agreement"]["value"] for j in measured(tmp_path, rows, by="aspect").judges}
    assert by_aspect == {"": pytest.approx(2 / 3), "kind": 1.0, "honest": 0.0}
    by_source = {j.part: j.figures["agreement"]["value"] for j in measured(tmp_path, rows, by="source").judges}
    assert by_source == {"": pytest.approx(2 / 3), "s": 0.5, "t": 1.0}


def test_probabilities_average_in_logit_space(tmp_path: Path) -> None:
    """True log-odds 2 and 2 more for the first place: p = σ(4) and, with the other first, σ(0); the mean of the logits is 2."""
    p4, p0, p2 = 0.9820137900379085, 0.5, 0.8807970779778823
    rows = [pair(1, note("j", [C, R], "first", p_first=p4), note("j", [R, C], "first", p_first=p0 + 1e-12))]
    (flip,) = measured(tmp_path, rows).judges
    assert (flip.figures["said_tie"], flip.figures["calibration"]["raw"]["brier"]) == (1, 0.25)
    (mean,) = measured(tmp_path, rows, flip="average").judges
    assert mean.figures["agreement"]["value"] == 1.0
    assert mean.figures["calibration"]["raw"]["brier"] == pytest.approx((1 - p2) ** 2)


def test_a_reward_model(tmp_path: Path) -> None:
    scores = [note("rm:x", [C], score=1.0, kind="reward_model"), note("rm:x", [R], score=-1.0, kind="reward_model")]
    f = measured(tmp_path, [pair(1, *scores)]).judges[0].figures
    assert f["agreement"]["value"] == 1.0
    assert f["calibration"]["raw"]["brier"] == pytest.approx((1 - p_of(2.0)) ** 2)


def p_of(x: float) -> float:
    from math import exp

    return 1 / (1 + exp(-x))


def test_the_majority_of_people() -> None:
    assert majority([1, 1, -1]) == 1
    assert majority([1, -1]) == 0
    assert majority([1, -1, 0]) == 0
    assert majority([-1, -1, 0]) == -1
    assert majority([1, 0]) == 0
    assert majority([]) is None


def people(*said: str) -> list[dict[str, Any]]:
    return [note(f"p{i}", [C, R], outcome, kind="human") for i, outcome in enumerate(said)]


def test_gold_of_people(tmp_path: Path) -> None:
    rows = [
        pair(1, *people("second", "second", "first"), note("j", [C, R], "second")),  # people against the record: j is right
        pair(2, *people("first", "tie", "second"), note("j", [C, R], "tie")),  # nobody has a majority
        pair(3, *people("first"), note("j", [C, R], "second")),
        pair(4, note("j", [C, R], "first")),  # no people
        pair(5, note("p", [C], kind="human", score=1.0, aspect="fine"), note("j", [C, R], "first")),  # not about both
    ]
    result = measured(tmp_path, rows, gold="human")
    f = result.judges[0].figures
    assert (f["comparisons"], f["agreement"]["value"], result.without_gold) == (3, pytest.approx(2 / 3), 2)
    # one against the others: row 1: second against (second, first) = tie: half; the same; first against second: none;
    # row 2: first against (tie, second) = tie: half; tie against (first, second) = tie: right; second against (first, tie): half
    assert result.people is not None
    assert result.people["agreement"]["value"] == pytest.approx((0.5 + 0.5 + 0 + 0.5 + 1 + 0.5) / 6)


def test_a_person_as_the_judge_is_no_part_of_gold(tmp_path: Path) -> None:
    rows = [pair(1, *people("first", "second")), pair(2, *people("first", "first", "second")), pair(3, *people("first"))]
    found = measured(tmp_path, rows, gold="human", judge=["p0"]).judges
    assert [j.judge for j in found] == ["p0"]
    f = found[0].figures
    # row 1: first against second; row 2: first against (first, second) = tie; row 3: nobody else
    assert (f["comparisons"], f["agreement"]["value"], f["gold_tie"]) == (2, pytest.approx((0 + 0.5) / 2), 1)


def test_statements_about_an_aspect_do_not_outvote(tmp_path: Path) -> None:
    notes = [*people("first"), *(note(f"q{i}", [C, R], "second", kind="human", aspect="style") for i in range(3))]
    f = measured(tmp_path, [pair(1, *notes, note("j", [C, R], "first"))], gold="human").judges[0].figures
    assert f["agreement"]["value"] == 1.0


def test_gold_of_another_file(tmp_path: Path) -> None:
    """The same comparisons as a swapped pair, as a list and twice with different verdicts; and one that is not there."""
    swapped = {"prompt": turns("question 1", "user"), "chosen": turns("bad"), "rejected": turns("good")}
    as_list = {k: v for k, v in listed(2, bad=1.0, other=5.0, good=2.0).items() if k != "annotations"}
    other = [{k: v for k, v in pair(3).items() if k != "annotations"}]
    other += [{"prompt": turns("question 3", "user"), "chosen": turns("bad"), "rejected": turns("good")}] * 2
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [swapped, *other]))
    (tmp_path / "lists.jsonl").write_text(json.dumps(as_list) + "\n")
    rows = [pair(n, *both("j", "first", "second")) for n in (1, 2, 3, 4)]
    found = measured(tmp_path, rows, gold=str(tmp_path / "pairs.jsonl"))
    assert (found.judges[0].figures["comparisons"], found.judges[0].figures["agreement"]["value"], found.without_gold) == (2, 0.0, 2)
    found = measured(tmp_path, rows, gold=str(tmp_path / "lists.jsonl"))
    assert (found.judges[0].figures["comparisons"], found.judges[0].figures["agreement"]["value"]) == (1, 1.0)


def test_judges_with_each_other_and_as_a_jury(tmp_path: Path) -> None:
    rows = [
        pair(1, *both("a", "first", "second"), *both("b", "first", "second"), *both("c", "second", "first")),
        pair(2, *both("a", "second", "first"), *both("b", "first", "second"), *both("c", "first", "second")),
        pair(3, *both("a", "first", "second"), *both("b", "first", "first")),
    ]
    result = measured(tmp_path, rows, jury="majority")
    assert {j.judge: j.figures["agreement"]["value"] for j in result.judges} == {
        "a": pytest.approx(2 / 3),
        "b": pytest.approx(2.5 / 3),
        "c": pytest.approx(1 / 2),
        # 2 : 1, 2 : 1, and one vote and a tie: divided
        "jury (majority)": pytest.approx(2.5 / 3),
    }
    between = {tuple(b["judges"]): b["agreement"]["value"] for b in result.between}
    assert between == {("a", "b"): pytest.approx((1 + 0 + 0.5) / 3), ("a", "c"): 0.0, ("b", "c"): pytest.approx(1 / 2)}


def test_lengths_are_characters_of_all_turns(tmp_path: Path) -> None:
    rows = [
        pair(1, note("j", [C, R], "first"), chosen="x" * 50, rejected="y" * 19),  # longer by 31, right
        pair(2, note("j", [C, R], "second"), chosen="é" * 31, rejected="z" * 62),  # longer by 31 characters, not bytes; wrong
        pair(3, note("j", [C, R], "first"), chosen="x" * 40, rejected="y" * 10),  # longer by 30 only
    ]
    n = measured(tmp_path, rows).judges[0].figures["length"]
    assert (n["prefers_longer"]["value"], n["prefers_longer"]["n"]) == (1.0, 2)
    assert n["longest_wins"]["value"] == pytest.approx(2 / 3)
    assert (n["gold_is_shorter"]["value"], n["gold_is_longer"]["value"]) == (0.0, 1.0)


def test_comparisons_of_one_prompt_are_one_cluster(tmp_path: Path) -> None:
    """Four comparisons of each of two prompts, all right in one and all wrong in the other, are worth two."""
    rows = [pair(n, note("j", [C, R], said), rejected=f"bad {k}") for n, said in ((1, "first"), (2, "second")) for k in range(4)]
    f = measured(tmp_path, rows).judges[0].figures["agreement"]
    # Σ(4 − 2)² + (0 − 2)² = 8, · 2/1; independent: 8/7 · 8 · 0.25 = 16/7; 8/(16/(16/7)) = 8/7 comparisons
    z2, n = 1.959963984540054**2, 8 / 7
    half = sqrt(z2) * sqrt(0.25 / n + z2 / (4 * n * n)) / (1 + z2 / n)
    assert (f["value"], f["n"], f["high"]) == (0.5, 8, pytest.approx(0.5 + half))


def test_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no judge has compared.*annotators there: human p0; --judge NAME"):
        measured(tmp_path, [pair(1, *people("first"))])
    with pytest.raises(UsageError, match="prefdata label asks a judge"):
        measured(tmp_path, [pair(1)])
    with pytest.raises(UsageError, match=r"no annotator is called k; annotators there: judge j"):
        measured(tmp_path, [pair(1, note("j", [C, R], "first"))], judge="k")
    with pytest.raises(UsageError, match=r"1 comparisons were judged, but --gold human has no verdict on any; try --gold source"):
        measured(tmp_path, [pair(1, note("j", [C, R], "first"))], gold="human")
    binary = {"prompt": turns("q", "user"), "completion": turns("a"), "label": True}
    with pytest.raises(UsageError, match="binary records have one answer each"):
        measured(tmp_path, [binary])
    (tmp_path / "gold.jsonl").write_text(json.dumps(listed(1, a=None, b=None)) + "\n")
    with pytest.raises(UsageError, match="no record says which answer is better"):
        measured(tmp_path, [pair(1, note("j", [C, R], "first"))], gold=str(tmp_path / "gold.jsonl"))
    with pytest.raises(InputError):
        measured(tmp_path, [pair(1, note("j", [C, R], "first"))], gold=str(tmp_path / "none.jsonl"))


def test_pairs_that_a_judge_decided_are_no_gold(tmp_path: Path) -> None:
    rows = [pair(1, *both("j", "first", "second"))]
    measured(tmp_path, rows)
    manifest = tmp_path / "labelled.jsonl.manifest.json"
    manifest.write_text(json.dumps({"command": "label", "options": {"decide": "hard"}}))
    with pytest.raises(UsageError, match="would agree with themselves"):
        measured(tmp_path, rows)
    manifest.write_text(json.dumps({"command": "label", "options": {"decide": "none"}}))
    assert measured(tmp_path, rows).judges[0].figures["agreement"]["value"] == 1.0


def command(*arguments: str) -> Any:
    """The command in this process, with `stdout`, `stderr` and `exit_code`."""
    argv = ["eval", "judge", *arguments]
    return CliRunner().invoke(build(argv), argv)


def test_the_command(tmp_path: Path) -> None:
    rows = [pair(n, *both("j", "first", "second" if n else "first")) for n in range(4)]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = command(str(data))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("j\n  agreement    87.5 % (")
    assert "both orders  75.0 % (" in done.stdout
    done = command(str(data), "--json", "-o", str(tmp_path / "report.json"))
    found = json.loads(done.stdout)
    assert found["judges"][0]["agreement"]["value"] == 0.875
    assert json.loads((tmp_path / "report.json").read_text()) == found
    done = command(str(data), "--min-agreement", "0.9")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "j: agreement below 0.9")
    assert command(str(data), "--min-agreement", "0.875", "-q").stdout == ""
    done = command(str(data), "--gold", "human")
    assert (done.exit_code, done.stderr.startswith("error: ")) == (2, True)
    assert command(str(tmp_path / "none.jsonl")).exit_code == 3
    assert command(str(data), "--by", "shoe-size").exit_code == 2


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    data = tmp_path / "labelled.jsonl"
    data.write_text(json.dumps(pair(1, *both("j", "first", "second"))) + "\n{\n")
    done = command(str(data))
    assert done.exit_code == 1
    assert "1 rows cannot be used (" in done.stdout


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    data = tmp_path / "labelled.jsonl"
    data.write_text(json.dumps(pair(1, *both("j\x1b[2J", "first", "second"))) + "\n")
    done = command(str(data))
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "eval-judge.md").read_text(encoding="utf-8")
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        argv = line.split()[1:]
        done = CliRunner().invoke(build(argv), argv)
        assert done.exit_code == 0, done.output
    assert done.stdout == page.partition("```text\n")[2].partition("```")[0]


OUTCOMES = st.sampled_from(["first", "second", "tie", "invalid"])


@given(st.lists(st.tuples(OUTCOMES, OUTCOMES, st.booleans()), min_size=1, max_size=12))
def test_a_list_of_two_is_as_good_as_a_pair(tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str, bool]]) -> None:
    """The same calls on the same texts: as pairs, and as lists in which the better one stands first or second."""
    folder = tmp_path_factory.mktemp("kinds")
    pairs, lists = [], []
    good, bad = name_of("good"), name_of("bad answer")
    for n, (straight, turned, first) in enumerate(calls):
        pairs.append(pair(n, *both("j", straight, turned), rejected="bad answer"))
        notes = [note("j", [good, bad], straight), note("j", [bad, good], turned)]
        scores = {"good": 1.0, "bad answer": 0.0} if first else {"bad answer": 0.0, "good": 1.0}
        lists.append(listed(n, *notes, **scores))
    a, b = measured(folder, pairs), measured(folder, lists)
    assert a.judges[0].why == b.judges[0].why
    one, other = a.judges[0].figures, b.judges[0].figures
    assert json.dumps(one["calibration"] and one["calibration"]["raw"]["bins"]) == json.dumps(
        other["calibration"] and other["calibration"]["raw"]["bins"]
    )
    for name in ("comparisons", "undecided", "said_tie", "agreement", "accuracy", "position"):
        assert one[name] == other[name]
    assert one["kappa"]["value"] == pytest.approx(other["kappa"]["value"]) if one["kappa"]["value"] is not None else True
