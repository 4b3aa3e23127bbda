"""`prefdata select` on files: what is read of records, what is written, and that every row is accounted for. Expected pairs are derived by
hand from the scores in the test, or from the published human scores."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import prefdata
from prefdata.cli.main import build
from prefdata.errors import UsageError
from prefdata.sampling.select import select
from prefdata.sampling.select_options import SelectOptions
from prefdata.sampling.select_result import SelectResult
from prefdata.schema.ids import completion_id, record_id
from prefdata.schema.records import Listwise, Message, Pair


def cid(text: str) -> str:
    return completion_id([Message(role="assistant", content=text)])


def candidate(text: str, score: float | None = None, model: str | None = "m", rank: float | None = None) -> dict[str, Any]:
    return {"id": cid(text), "messages": [{"role": "assistant", "content": text}], "model": model, "score": score, "rank": rank}


def said(text: str, annotator: str, aspect: str | None = None, score: float | None = None, **more: Any) -> dict[str, Any]:
    known = {"kind": "reward_model", "completions": [cid(text)], "outcome": None, "p_first": None, "rationale": None, "request": None}
    return {"annotator": annotator, **known, "aspect": aspect, "score": score, **more}


def finished(text: str, reason: str) -> dict[str, Any]:
    return said(text, "policy", "finish_reason", kind="source", rationale=reason)


def listed(prompt: str, *completions: dict[str, Any], annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    record = {"id": "0" * 32, "prompt": [{"role": "user", "content": prompt}], "completions": list(completions), "annotations": annotations}
    return {**record, "id": record_id(Listwise.model_validate(record))}


Run = Callable[..., tuple[pl.DataFrame, SelectResult]]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(rows: list[dict[str, Any]], name: str = "out.jsonl", **options: Any) -> tuple[pl.DataFrame, SelectResult]:
        result = select(write(tmp_path / "in.jsonl", rows), str(tmp_path / name), SelectOptions(**options))
        return prefdata.read(str(tmp_path / name)) if result.records["written"] else pl.DataFrame(), result

    return call


def texts(records: pl.DataFrame) -> list[tuple[str, str, float]]:
    return [(r["chosen"][-1]["content"], r["rejected"][-1]["content"], r["margin"]) for r in records.to_dicts()]


def lost(result: SelectResult) -> dict[str, str]:
    """Prompt and reason of the dropped rows."""
    assert result.dropped is not None
    lines = [json.loads(line) for line in Path(result.dropped).read_text().splitlines()]
    return {r["prompt"][0]["content"]: r["why"] for r in lines}


def test_every_row_has_a_fate(run: Run) -> None:
    rows = [
        listed("good", candidate("a", 1.0), candidate("b", 3.0), candidate("c", 2.0)),
        listed("tie", candidate("a", 1.0), candidate("b", 1.0)),
        listed("one", candidate("a", 1.0)),
        listed("unscored", candidate("a", 1.0), candidate("b")),
        listed("truncated", candidate("a", 1.0), candidate("b", 2.0), annotations=[finished("a", "stop"), finished("b", "length")]),
        listed("twice", candidate("same  text", 1.0), candidate("same\ntext ", 2.0)),
        listed("near", candidate("a", 1.0), candidate("b", 1.25)),
        {"id": "0" * 32, "prompt": [], "completions": []},
    ]
    records, result = run(rows, min_margin=0.5)
    assert texts(records) == [("b", "a", 2.0)]
    dropped = {"tie": 1, "one-candidate": 1, "unscored": 1, "truncated": 1, "duplicates": 1, "small-margin": 1}
    assert result.counts["dropped"] == dropped
    assert result.counts == {"read": 8, "kept": 1, "dropped": dropped, "rejected": result.counts["rejected"]}
    assert sum(result.counts["rejected"].values()) == 1
    assert result.exit_code == 1
    why = {"one": "one-candidate", "twice": "duplicates", "near": "small-margin"}
    assert lost(result) == {**why, **{name: name for name in ("tie", "unscored", "truncated")}}
    assert result.candidates == {"read": 14, "used": 11, "left_out": {"duplicates": 1, "truncated": 1, "unscored": 1}}
    kept, _ = run(rows, truncated="keep", min_margin=0.5)
    assert texts(kept) == [("b", "a", 2.0), ("b", "a", 1.0)]


def test_what_a_filter_stopped_is_left_out(run: Run) -> None:
    """The provider's content filter, with a reason of its own; `--truncated keep` is about the length alone."""
    rows = [
        listed("two", candidate("a", 1.0), candidate("b", 2.0), annotations=[finished("b", "content_filter")]),
        listed("three", *(candidate(t, s) for t, s in (("a", 1.0), ("b", 3.0), ("c", 2.0))), annotations=[finished("b", "content_filter")]),
        listed("cut", candidate("a", 1.0), candidate("b", 2.0), annotations=[finished("b", "length")]),
    ]
    for keep, kept in (("drop", [("c", "a", 1.0)]), ("keep", [("c", "a", 1.0), ("b", "a", 1.0)])):
        records, result = run(rows, f"{keep}.jsonl", truncated=keep)
        assert texts(records) == kept
        assert result.candidates["left_out"] == {"filtered": 2} | ({"truncated": 1} if keep == "drop" else {})
        assert lost(result) == {"two": "filtered"} | ({"cut": "truncated"} if keep == "drop" else {})
    assert "2 were stopped by the provider's content filter" in "\n".join(result.lines())


def test_pairs_are_valid_records(run: Run, tmp_path: Path) -> None:
    said_of = [said("b", "rm", score=3.0), said("c", "rm", score=2.0), said("a", "rm", score=1.0)]
    both = {**said("b", "judge", outcome="first"), "completions": [cid("b"), cid("a")]}
    row = listed("Q", candidate("a", 1.0), candidate("b", 3.0), candidate("c", 2.0), annotations=[*said_of, both])
    run([{**row, "source": "s", "meta": '{"k": 1}', "tools": None}], temperature=2.0)
    record = json.loads((tmp_path / "out.jsonl").read_text())
    pair = Pair.model_validate(record)
    assert record_id(pair) == pair.id
    assert (pair.source, pair.meta, pair.margin) == ("s", '{"k": 1}', 2.0)
    assert pair.p_chosen == pytest.approx(0.7310586)  # sigmoid(1)
    about = [(a.annotator, a.completions, a.score) for a in pair.annotations or []]
    assert about == [("rm", ["chosen"], 3.0), ("rm", ["rejected"], 1.0), ("judge", ["chosen", "rejected"], None)]
    assert prefdata.validate(str(tmp_path / "out.jsonl")).exit_code == 0


def test_confidence(run: Run) -> None:
    rows = [listed(str(m), candidate("a", 0.0), candidate("b", m)) for m in (1.0, 3.0)]
    records, result = run(rows, temperature=1, min_confidence=0.9)  # sigmoid(1) = 0.73, sigmoid(3) = 0.95
    assert texts(records) == [("b", "a", 3.0)]
    assert result.counts["dropped"] == {"low-confidence": 1}


def test_answers_to_be_imitated(run: Run) -> None:
    row = listed("Q", candidate("a", 1.0), candidate("b", 3.0), candidate("c", 2.0), annotations=[said("b", "rm", score=3.0)])
    records, result = run([row], method="top-k", others="undesirable")
    found = [(r["completion"][0]["content"], r["label"], r["score"]) for r in records.to_dicts()]
    assert found == [("b", True, 3.0), ("c", False, 2.0), ("a", False, 1.0)]
    assert records["annotations"].to_list()[0][0]["completions"] == []
    assert result.kind == "binary"
    records, _ = run([row], method="rso", to="binary", k=2)
    assert records["label"].to_list() == [True, True]


def test_ranks_decide_where_there_are_no_scores(run: Run) -> None:
    records, _ = run([listed("Q", candidate("a", rank=2), candidate("b", rank=1), candidate("c", rank=5))])
    assert texts(records) == [("b", "c", 4.0)]


def test_scores_of_an_annotator(run: Run) -> None:
    notes = [
        said("a", "rm", score=1.0), said("b", "rm", score=2.0), said("c", "rm", score=9.0, outcome="invalid"),
        said("a", "rm", "help", 7.0), said("b", "rm", "help", 1.0), said("b", "rm", "help", 3.0), said("a", "other", "help", 0.0),
    ]  # fmt: skip
    rows = [listed("Q", candidate("a", 50.0), candidate("b", 60.0), candidate("c", 70.0), annotations=notes)]
    assert texts(run(rows)[0]) == [("c", "a", 20.0)]
    records, result = run(rows, annotator="rm")
    assert texts(records) == [("b", "a", 1.0)]
    assert result.candidates["left_out"] == {"unscored": 1}, "an invalid score is none"
    assert texts(run(rows, annotator="rm", aspect="help")[0]) == [("a", "b", 5.0)], "7 against the mean of 1 and 3"
    assert texts(run(rows, aspect="help")[0]) == [("a", "b", 1.5)], "all annotators: the mean of 7 and 0"
    _, result = run(rows, annotator="mr")
    assert result.counts["dropped"] == {"unscored": 1}
    assert "other/help, rm, rm/help" in result.warnings[0]


def test_candidates_without_any_score_say_what_to_do(run: Run) -> None:
    _, result = run([listed("Q", candidate("a"), candidate("b"))])
    assert result.counts["dropped"] == {"unscored": 1}
    assert "prefdata score" in result.warnings[0]


def test_scores_that_nobody_can_calculate_with(run: Run) -> None:
    """1e308 - -1e308 is infinite, and no record may say so."""
    for control in ("none", "z-score"):
        _, result = run([listed("Q", candidate("a", 1e308), candidate("b", -1e308), candidate("c", 1.0))], length_control=control)
        assert result.counts["dropped"] == {"unscored": 1}
    records, _ = run([listed("Q", candidate("a", 1e100), candidate("b", -1e100))], temperature=0.1)
    assert records["p_chosen"].to_list() == [1.0]


def test_thoughts_come_back(run: Run) -> None:
    notes = [said("b", "policy", "thought", kind="source", rationale="[[thought]]\nhm\n[[answer]]\n")]
    row = listed("Q", candidate("a", 1.0), candidate("b", 3.0), annotations=notes)
    assert texts(run([row])[0]) == [("[[thought]]\nhm\n[[answer]]\nb", "a", 2.0)]
    assert texts(run([row], thoughts="drop")[0]) == [("b", "a", 2.0)]
    records, _ = run([row], method="top-k")
    assert records["completion"][0][0]["content"] == "[[thought]]\nhm\n[[answer]]\nb"


def test_thoughts_that_make_one_text_make_no_pair(run: Run) -> None:
    """`x` + `yz` and `xy` + `z` are two answers and one text."""
    notes = [said("yz", "p", "thought", kind="source", rationale="x"), said("z", "p", "thought", kind="source", rationale="xy")]
    _, result = run([listed("Q", candidate("yz", 1.0), candidate("z", 3.0), annotations=notes)])
    assert result.counts["dropped"] == {"same-text": 1}
    _, result = run([listed("Q", candidate("yz", 1.0), candidate("z", 3.0), candidate("w", 0.0), annotations=notes)], method="all")
    assert result.counts["kept"] == 1
    assert result.records == {"written": 2, "skipped": {"same-text": 1}}


def test_near_duplicates(run: Run) -> None:
    rows = [
        listed("Q", candidate("The cat, sat down.", 1.0), candidate("the CAT sat down", 2.0), candidate("ﬁne", 5.0), candidate("fine", 5.5))
    ]
    records, result = run(rows, method="all")
    assert result.candidates["left_out"] == {"duplicates": 1}, "NFKC makes the ligature and the letters one"
    assert records.height == 3
    records, result = run(rows, method="all", similar=1.0)
    assert (records.height, result.candidates["used"]) == (1, 2), "the same words"
    words = [listed("Q", candidate("a b c d", 1.0), candidate("a b c e", 2.0), candidate("a b f e", 3.0), candidate("x y", 4.0))]
    assert run(words, similar=0.6)[1].candidates["used"] == 2, "3 of 5 words link the first to the second, and that to the third"
    assert run(words, similar=0.61)[1].candidates["used"] == 4
    assert run([listed("Q", candidate("!", 1.0), candidate("?", 2.0), candidate("! ", 3.0))], similar=0.5)[1].candidates["used"] == 2


def test_tool_calls_are_no_duplicates(run: Run) -> None:
    def calling(city: str, score: float) -> dict[str, Any]:
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"city": city})}}
        return {"id": "0" * 32, "messages": [{"role": "assistant", "content": "", "tool_calls": [call]}], "score": score, "model": None}

    records, _ = run([{**listed("Q", candidate("a", 0.0)), "completions": [calling("Rome", 1.0), calling("Oslo", 2.0)]}])
    assert records["margin"].to_list() == [1.0]


def test_the_reference(run: Run, tmp_path: Path) -> None:
    rows = [
        listed("win", candidate("a", 3.0), candidate("b", 1.0), candidate("r", 2.0, None)),
        listed("tie", candidate("a", 3.0), candidate("b", 1.0), candidate("r", 3.0, "reference"), candidate("s", 0.0, "reference")),
        listed("loss", candidate("a", 3.0), candidate("b", 1.0), candidate("r", 4.0, None)),
        listed("none", candidate("a", 3.0, None), candidate("b", 1.0, None)),
    ]
    records, result = run(rows)
    reference = result.figures["reference"]
    assert (reference["wins"], reference["ties"], reference["losses"], reference["prompts"], reference["share"]) == (1, 1, 1, 3, 0.5)
    assert "beats the reference in 50.0 %" in "\n".join(result.lines())
    assert [c for c, _, _ in texts(records)][2] == "r", "a reference is a candidate"
    records, result = run(rows, without_reference=True)
    assert [c for c, _, _ in texts(records)] == ["a", "a", "a", "a"]
    assert result.candidates["left_out"] == {"reference": 4}
    assert result.figures["reference"] == reference
    _, result = run([listed("Q", candidate("a", 1.0), candidate("b", 2.0, "ref"))], reference="ref")
    assert result.figures["reference"]["losses"] == 1


def test_the_control_is_a_file(run: Run, tmp_path: Path) -> None:
    rows = [listed(f"Q{i}", *[candidate(f"{i} {j}", float(j)) for j in range(8)]) for i in range(200)]
    path = tmp_path / "control.jsonl"
    records, result = run(rows, control=str(path))
    control = prefdata.read(str(path))
    assert control["prompt"].to_list() == records["prompt"].to_list()
    pairs = texts(control)
    assert all(float(c[-1]) - float(r[-1]) == m > 0 for c, r, m in pairs)
    f = result.figures
    assert f["control"]["score"] == pytest.approx(sum(float(c[-1]) for c, _, _ in pairs) / 200)
    assert f["chosen"]["score"] == 7
    assert f["gain"]["mean"] == pytest.approx(7 - f["control"]["score"])
    assert f["margin"] == {"mean": 7, "control": pytest.approx(sum(m for _, _, m in pairs) / 200)}
    assert run(rows, control=str(path))[1].up_to_date
    path.unlink()
    assert not run(rows, control=str(path))[1].up_to_date


def test_103_rows_in_4_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the input is cut: all 103 rows, the same records."""
    rows = [listed(f"Q{i}", *[candidate(f"{i} {j}", float((i * 7 + j * 3) % 5)) for j in range(1 + i % 5)]) for i in range(103)]
    whole = select(write(tmp_path / "whole.jsonl", rows), str(tmp_path / "whole.out.jsonl"), SelectOptions(method="rso", k=3))
    assert sum(whole.counts["dropped"].values()) + whole.counts["kept"] == whole.counts["read"] == 103
    files = [write(tmp_path / f"{i}.jsonl", rows[i * 26 : (i + 1) * 26]) for i in range(4)]
    cut = select(files, str(tmp_path / "cut.out.jsonl"), SelectOptions(method="rso", k=3))
    assert cut.counts == whole.counts
    assert cut.figures["rso"] == pytest.approx(whole.figures["rso"]), "sums, to their last digits"
    monkeypatch.setattr("prefdata.judges.records.MOST_ROWS", 8)
    batched = select(files, str(tmp_path / "batched.out.jsonl"), SelectOptions(method="rso", k=3, threads=1))
    assert batched.counts == whole.counts
    assert len({(tmp_path / f"{n}.out.jsonl").read_bytes() for n in ("whole", "cut", "batched")}) == 1
    assert len({(tmp_path / f"{n}.out.jsonl.dropped.jsonl").read_bytes() for n in ("whole", "cut", "batched")}) == 1


@pytest.mark.parametrize("method", ["best-worst", "best-random", "all", "tournament", "rso", "rso-paper", "top-k"])
def test_order_changes_nothing(method: Any, tmp_path: Path) -> None:
    """Candidates in another order give the same bytes; rows in another order the same records."""
    rng = random.Random(0)
    rows = [listed(f"Q{i}", *[candidate(f"{i} {j}", float(rng.randrange(3))) for j in range(6)]) for i in range(60)]
    rows += [listed("same text", candidate("x", 1.0), candidate("x", 2.0), candidate("x ", 3.0), candidate("y", 2.5))]
    out = []
    for turn in range(3):
        path = write(tmp_path / f"{turn}.jsonl", rows)
        select(path, f"{path}.out.jsonl", SelectOptions(method=method, k=3, length_control="residual"))
        out.append(Path(f"{path}.out.jsonl").read_bytes())
        for row in rows:
            rng.shuffle(row["completions"])
        if turn == 1:
            rng.shuffle(rows)
    assert out[0] == out[1]
    assert sorted(out[0].splitlines()) == sorted(out[2].splitlines())


def test_a_text_that_was_scored_twice_has_the_mean(run: Run) -> None:
    records, _ = run([listed("Q", candidate("x", 1.0), candidate("x", 4.0), candidate("y", 2.0))])
    assert texts(records) == [("x", "y", 0.5)]


def test_nothing_twice(run: Run, tmp_path: Path) -> None:
    rows = [listed("Q", candidate("a", 1.0), candidate("b", 2.0)), listed("R", candidate("a", 1.0))]
    first = run(rows, name="out.parquet")[1]
    again = run(rows, name="out.parquet")[1]
    assert again.up_to_date
    assert {**again.as_dict(), "up_to_date": False} == first.as_dict()
    assert "up to date" in again.lines()[0]
    assert not run(rows, name="out.parquet", seed=1)[1].up_to_date
    assert not run(rows, name="out.parquet", seed=1, force=True)[1].up_to_date
    manifest = json.loads((tmp_path / "out.parquet.manifest.json").read_text())
    assert (manifest["command"], manifest["seed"], manifest["candidates"]["read"]) == ("select", 1, 3)


def test_what_cannot_be(run: Run, tmp_path: Path) -> None:
    rows = [listed("Q", candidate("a", 1.0), candidate("b", 2.0))]
    for options, word in (
        ({"method": "top-k", "to": "pair"}, "makes no pairs"),
        ({"method": "all", "to": "binary"}, "prefdata convert"),
        ({"method": "top-k", "max_pairs": 1, "temperature": 1}, "--max-pairs, --temperature: of pairs only"),
        ({"min_confidence": 0.9}, "--temperature"),
        ({"min_margin": 2, "max_margin": 1}, "below --min-margin"),
        ({"method": "rso", "k": 1}, "two"),
        ({"others": "undesirable"}, "--others"),
        ({"method": "top-k", "length_control": "match"}, "of pairs only"),
        ({"control": "-"}, "--control"),
        ({"control": str(tmp_path / "out.jsonl")}, "both"),
    ):
        with pytest.raises(UsageError, match=word):
            run(rows, **options)
    pair = tmp_path / "pairs.jsonl"
    run(rows, name="pairs.jsonl")
    with pytest.raises(UsageError, match="--to listwise"):
        select(str(pair), str(tmp_path / "x.jsonl"))


def test_command_and_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "in.jsonl", [listed("Q", *[candidate(str(i), float(i)) for i in range(12)])])
    out = str(tmp_path / "out.jsonl")
    build(["select"])(["select", data, "-o", out, "--method", "rso", "--beta", "0.1", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["kept"] == 1
    assert found["records"]["written"] == 4
    assert "--beta 0.1 is small" in found["warnings"][0]
    result = prefdata.select(data, out, method="rso", beta=0.1)
    assert result.up_to_date
    assert result.figures == found["figures"]
    assert any("effective sample size" in line for line in result.lines())


def test_lines_in_and_out(tmp_path: Path) -> None:
    """- is stdin and stdout; side files then lie in the working folder."""
    rows = [listed("Q", candidate("a", 1.0), candidate("b", 2.0)), listed("R", candidate("a", 1.0))]
    command = [sys.executable, "-m", "prefdata.cli.main", "select", "-", "-o", "-", "--quiet"]
    lines = "".join(json.dumps(r) + "\n" for r in rows)
    done = subprocess.run(command, cwd=tmp_path, input=lines, capture_output=True, text=True, check=True)
    assert [r["margin"] for r in map(json.loads, done.stdout.splitlines())] == [1.0]
    assert json.loads((tmp_path / "prefdata.dropped.jsonl").read_text())["why"] == "one-candidate"


def chosen_by(real: Callable[[str], Path], tmp_path: Path, name: str, **options: Any) -> tuple[list[tuple[str, str, float]], SelectResult]:
    prefdata.convert(str(real(name)), str(tmp_path / "lists.parquet"))
    result = prefdata.select(str(tmp_path / "lists.parquet"), str(tmp_path / "pairs.parquet"), **options)
    return texts(prefdata.read(str(tmp_path / "pairs.parquet"))), result


def test_topical_chat(real: Callable[[str], Path], tmp_path: Path) -> None:
    """The means of three people, first four dialogues: best 14/3 (twice), 14/3, 5 and 5; worst 2, 1, 2 and 4/3 (twice)."""
    name = "topical_chat_scores/topical_chat.json"
    pairs, result = chosen_by(real, tmp_path, name, reference="Original Ground Truth")
    assert result.counts == {"read": 60, "kept": 60, "dropped": {}, "rejected": {}}
    assert [m for _, _, m in pairs[:4]] == pytest.approx([14 / 3 - 2, 14 / 3 - 1, 3, 5 - 4 / 3])
    assert pairs[1][0].startswith("i like the giants best , you ?")
    assert pairs[1][1].startswith("i like a little bit .")
    assert pairs[2][0].startswith("i think belichick is very strategic")
    assert pairs[2][1].startswith("he is a great coach , i do nt know why he won")
    assert pairs[0][1].startswith("i 'm not sure . i 've heard of tommy orange")
    assert result.figures["reference"]["prompts"] == 60
    by_person, _ = chosen_by(real, tmp_path, name, annotator="mean of three people", aspect="overall")
    assert by_person == pairs, "the source's score is its annotators'"


def test_wmt_mqm(real: Callable[[str], Path], tmp_path: Path) -> None:
    """Penalties. Segment 1: 0 against -5. Segment 2: no error in any, dropped. Segment 3: of 14 translations 9 are one text with the
    penalties 0 but for two of 5, 4 are one with 5, 0, 1 and 0, and one has 5; so -10/9, -3/2 and -5."""
    pairs, result = chosen_by(real, tmp_path, "wmt_mqm_ted/mqm_ted_ende.tsv.gz")
    assert result.counts["read"] == 529
    assert pairs[0][2] == 5
    assert pairs[1] == ("Die Sonne verbrennt unsere periphere Sicht.", "Die Sonne verbrennt unser peripheres Sehvermögen.", 5 - 10 / 9)
    assert next(iter(lost(result).values())) == "tie"
    adjacent, _ = chosen_by(real, tmp_path, "wmt_mqm_ted/mqm_ted_ende.tsv.gz", method="adjacent", limit=3)
    assert adjacent[-1][2] == pytest.approx(3 / 2 - 10 / 9)
    assert adjacent[-2][1] == "Die Sonne verbrennt unser peripheres Sehvermögen."


def test_ukp_ranks(real: Callable[[str], Path], tmp_path: Path) -> None:
    """Ranks of arguments, lower is better: the first topic's are 0.00536, 0.00558, 0.00577 ... 0.27961."""
    name = "ukp_convarg/ranking_csv/ban-plastic-water-bottles_no-bad-for-the-economy.csv"
    pairs, _ = chosen_by(real, tmp_path, name)
    assert len(pairs) == 1
    assert pairs[0][0].startswith("Banning plastic bottled water would be a huge mistake")
    assert pairs[0][1].startswith("there aint no sunshine without plastic water bottles")
    assert pairs[0][2] == pytest.approx(0.27961 - 0.00536)
    near, _ = chosen_by(real, tmp_path, name, method="adjacent")
    assert len(near) == 27
    assert sum(m for _, _, m in near) == pytest.approx(0.27961 - 0.00536), "the steps of the ladder"
    assert any(c.startswith("Banning plastic bottled water") and r.startswith("Americans spend billions") for c, r, _ in near)
