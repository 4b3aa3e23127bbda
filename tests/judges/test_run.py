"""`prefdata label` from records to records, against a real server on the loopback."""

from __future__ import annotations

import gzip
import json
from math import exp
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.errors import BudgetError, InputError, UsageError
from prefdata.judges.result import served_warnings
from prefdata.llm.estimate import Estimate
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import serving
from tests.judges.labelling import binary, lines_of, listwise, made, pair, qualities, rows_of, run, store, truthful, words
from tests.llm.server import Server

PAIRS = [(5, 1), (1, 4), (3, 3), (2, 5), (4, 3)]


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    return store(tmp_path / "pairs.jsonl", [pair(n, *q, margin=2.0) for n, q in enumerate(PAIRS)])


def test_annotations_are_appended(pairs: str, tmp_path: Path) -> None:
    """Both orders of every pair, by the judge and the model, with the answers as they were shown; nothing else changes."""
    out = tmp_path / "out.jsonl"
    with serving(judge=truthful) as server:
        result = run(pairs, out, server.url)
        assert server.stats.requests == 10
    before, after = rows_of(pairs), rows_of(out)
    assert [{k: v for k, v in r.items() if k != "annotations"} for r in after] == before
    first, second = after[1]["annotations"]
    assert (first["annotator"], first["kind"]) == ("pairwise-v1:mock", "judge")
    assert (first["completions"], first["outcome"]) == (["chosen", "rejected"], "second")
    assert (second["completions"], second["outcome"]) == (["rejected", "chosen"], "first")
    assert first["p_first"] + second["p_first"] == pytest.approx(1)
    assert [a["outcome"] for a in after[2]["annotations"]] == ["tie", "tie"]
    assert (result.kind, result.exit_code) == ("pair", 0)
    assert result.counts == {"read": 5, "kept": 5, "dropped": {}, "rejected": {}}
    assert result.report["comparisons"] == {"decided": 4, "tie": 1}
    assert result.report["source"] == {"agrees": 2, "disagrees": 2, "tie": 1}
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    assert (manifest["calls"], manifest["tokens"]["out"]) == (10, 10)
    assert manifest["judges"][0]["model"] == "mock"


def test_hard_pairs_turn_round(pairs: str, tmp_path: Path) -> None:
    """What the judge prefers is chosen. A pair that turns has a new id, no margin, and its annotations call the answers by new names."""
    with serving(judge=truthful) as server:
        result = run(pairs, tmp_path / "out.jsonl", server.url, decide="hard")
    before, after = rows_of(pairs), rows_of(tmp_path / "out.jsonl")
    assert result.counts == {"read": 5, "kept": 4, "dropped": {"tie": 1}, "rejected": {}}
    kept, turned = after[0], after[1]
    assert (kept["id"], kept["chosen"], kept["margin"]) == (before[0]["id"], before[0]["chosen"], 2.0)
    assert (turned["chosen"], turned["rejected"], turned["margin"]) == (before[1]["rejected"], before[1]["chosen"], None)
    assert turned["id"] not in {r["id"] for r in before}
    assert [(a["completions"], a["outcome"]) for a in turned["annotations"]] == [
        (["rejected", "chosen"], "second"),
        (["chosen", "rejected"], "first"),
    ]
    assert "p_chosen" not in turned
    undecided = lines_of(result.undecided)
    assert [(r["id"], r["why"], len(r["annotations"])) for r in undecided] == [(before[2]["id"], "tie", 2)]
    said = lines_of(result.disagreements)
    assert [(r["id"], r["source"], r["judge"]) for r in said] == [(before[i]["id"], "first", "second") for i in (1, 3)]


def test_soft_pairs(pairs: str, tmp_path: Path) -> None:
    """p_chosen is σ of the log-odds (1 a point), and half of P(tie) = 0.02; a tie is written when it is asked for."""
    with serving(judge=truthful) as server:
        soft = run(pairs, tmp_path / "soft.jsonl", server.url, decide="soft", ties="soft")
        assert soft.counts["kept"] == 5
    expected = [0.01 + 0.98 / (1 + exp(-abs(a - b))) if a != b else 0.5 for a, b in PAIRS]
    rows = rows_of(tmp_path / "soft.jsonl")
    assert [r["p_chosen"] for r in rows] == pytest.approx(expected, abs=1e-6)
    assert rows[2]["chosen"][0]["content"] == "quality 3 c"


def test_a_judge_that_looks_at_the_place_only(pairs: str, tmp_path: Path) -> None:
    with serving(judge="first") as server:
        result = run(pairs, tmp_path / "out.jsonl", server.url, decide="soft")
    assert result.counts["dropped"] == {"flip": 5}
    assert result.report["judges"]["pairwise-v1:mock"]["first_shown"]["share"] == 1.0
    assert result.report["judges"]["pairwise-v1:mock"]["consistent"]["share"] == 0.0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert {r["why"] for r in lines_of(result.undecided)} == {"flip"}


def test_a_list_becomes_pairs(tmp_path: Path) -> None:
    """Three candidates are compared in all pairs; annotations of a pair are those about its two."""
    data = store(tmp_path / "lists.jsonl", [listwise(0, [2, 5, 2], [9.0, 1.0, 5.0])])
    with serving(judge=truthful) as server:
        kept = run(data, tmp_path / "same.jsonl", server.url)
        assert server.stats.requests == 6
        result = run(data, tmp_path / "pairs.jsonl", server.url, decide="hard", journal=str(tmp_path / "same.jsonl.journal"))
        assert server.stats.requests == 6
    assert kept.kind == "listwise"
    row = rows_of(tmp_path / "same.jsonl")[0]
    assert [c["score"] for c in row["completions"]] == [9.0, 1.0, 5.0]
    assert len(row["annotations"]) == 6
    assert kept.report["source"] == {"disagrees": 2, "tie": 1}
    made = rows_of(tmp_path / "pairs.jsonl")
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in made] == [
        ("quality 5 candidate 1", "quality 2 candidate 0"),
        ("quality 5 candidate 1", "quality 2 candidate 2"),
    ]
    assert [[a["completions"] for a in r["annotations"]] for r in made] == [
        [["rejected", "chosen"], ["chosen", "rejected"]],
        [["chosen", "rejected"], ["rejected", "chosen"]],
    ]
    assert result.records == {"written": 2, "skipped": {"tie": 1}}
    assert result.counts == {"read": 1, "kept": 1, "dropped": {}, "rejected": {}}


def test_scores_of_a_list(tmp_path: Path) -> None:
    """A judge that scores leaves the scores of the source alone; best and worst make the pair, with P(better) from log-probs."""
    data = store(tmp_path / "lists.jsonl", [listwise(0, [2, 9, 6], [3.0, None, None]), listwise(1, [4, 4])])
    with serving(judge=truthful) as server:
        run(data, tmp_path / "same.jsonl", server.url, judge="rubric")
        again: dict[str, Any] = {"judge": "rubric", "journal": str(tmp_path / "same.jsonl.journal")}
        result = run(data, tmp_path / "p.jsonl", server.url, decide="hard", pairs="best-worst", **again)
        assert server.stats.requests == 5
    row = rows_of(tmp_path / "same.jsonl")[0]
    assert [c["score"] for c in row["completions"]] == [3.0, None, None]
    assert [round(a["score"]) for a in row["annotations"]] == [2, 9, 6]
    made = rows_of(tmp_path / "p.jsonl")
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in made] == [("quality 9 candidate 1", "quality 2 candidate 0")]
    assert result.counts["dropped"] == {"tie": 1}


def test_binary_records_are_scored(tmp_path: Path) -> None:
    data = store(tmp_path / "b.jsonl", [binary(0, 3), binary(1, 8)])
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "out.parquet", server.url, judge="rubric")
        with pytest.raises(UsageError, match="binary records have one"):
            run(data, tmp_path / "o.jsonl", server.url, judge="pairwise")
        with pytest.raises(UsageError, match="give no pairs"):
            run(data, tmp_path / "o.jsonl", server.url, judge="rubric", decide="hard")
    assert [round(r["annotations"][0]["score"]) for r in rows_of(tmp_path / "out.parquet")] == [3, 8]
    assert result.report["judges"]["rubric-v1:mock"]["calls"] == {"score": 2}


def test_the_same_command_does_nothing_or_goes_on(pairs: str, tmp_path: Path) -> None:
    """A budget of three calls stops it without an output; the same command without the limit asks for the rest, once."""
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    with serving(judge=truthful) as server:
        with pytest.raises(BudgetError, match=r"the same command goes on from there\n.*--offline"):
            run(pairs, out, server.url, budget_calls=3)
        assert server.stats.requests == 3
        assert not out.exists()
        result = run(pairs, out, server.url)
        assert (server.stats.requests, server.stats.repeated) == (10, 0)
        assert (result.run["calls"], result.spent["calls"]) == (7, 10)
        again = run(pairs, out, server.url)
        assert again.up_to_date
        assert server.stats.requests == 10
        run(pairs, out, server.url, force=True)
        assert server.stats.requests == 10
        run(pairs, whole, server.url)
    assert out.read_bytes() == whole.read_bytes()
    assert again.report == result.report


def test_offline_writes_what_there_is(pairs: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with serving(judge=truthful) as server, pytest.raises(BudgetError):
        run(pairs, out, server.url, budget_calls=4, concurrency=1)
    result = run(pairs, out, "http://127.0.0.1:9/v1", offline=True)
    assert result.counts == {"read": 5, "kept": 2, "dropped": {"no-reply:not-asked": 3}, "rejected": {}}
    assert result.exit_code == 1
    assert "the same command asks for them again" in "\n".join(result.lines())
    with serving(judge=truthful) as server:
        after = run(pairs, out, server.url)
    assert after.counts["kept"] == 5
    assert after.undecided is None
    assert not Path(f"{out}.undecided.jsonl").exists()


def test_rows_without_a_reply(pairs: str, tmp_path: Path) -> None:
    """A server that fails for one record: its row goes to the side file with the reason, and is asked for again."""
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"contains": ["question 3"], "status": 500, "reply": "broken"}) + "\n")
    out = tmp_path / "out.jsonl"
    with serving(script=str(script), judge="longest") as server:
        result = run(pairs, out, server.url, retries=0)
    assert result.exit_code == 1
    (code,) = result.counts["dropped"]
    assert code.startswith("no-reply:")
    (row,) = lines_of(result.undecided)
    assert (row["prompt"][0]["content"], row["why"]) == ("question 3", code)
    with serving(judge="longest") as server:
        assert run(pairs, out, server.url).counts["kept"] == 5
        assert server.stats.requests == 2


def test_unreadable_replies_are_no_labels(pairs: str, tmp_path: Path) -> None:
    """Words are asked for once more, then they are an annotation `invalid`, never a verdict."""
    with serving(judge=words(lambda asked: "A good one")) as server:
        result = run(pairs, tmp_path / "out.jsonl", server.url)
        assert server.stats.requests == 20
        hard = run(pairs, tmp_path / "hard.jsonl", server.url, decide="hard", journal=str(tmp_path / "out.jsonl.journal"))
        assert server.stats.requests == 20
    assert {a["outcome"] for r in rows_of(tmp_path / "out.jsonl") for a in r["annotations"]} == {"invalid"}
    assert result.report["judges"]["pairwise-v1:mock"]["invalid"] == {"no-verdict": 10}
    assert hard.counts["dropped"] == {"no-verdict": 5}
    assert all(len(r["annotations"]) == 2 for r in lines_of(hard.undecided))


def test_any_order_of_replies_gives_the_same_bytes(tmp_path: Path) -> None:
    """Concurrency, latency and the form of the input change nothing in the output."""
    rows = [pair(n, n % 5 + 1, (3 * n) % 5 + 1) for n in range(60)]
    data = store(tmp_path / "a.jsonl", rows)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(Path(data).read_bytes()))
    outs = []
    ways: list[dict[str, Any]] = [{"concurrency": 1}, {"concurrency": 64}, {"concurrency": 5, "order": "both"}]
    for i, way in enumerate(ways):
        with serving(judge=truthful, latency=0.002 * i) as server:
            source = str(packed) if i == 2 else data
            run(source, tmp_path / f"o{i}.parquet", server.url, **way)
        outs.append((tmp_path / f"o{i}.parquet").read_bytes())
    assert outs[0] == outs[1] == outs[2]


def test_what_cannot_be_used_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = pair(0, 5, 1)
    path.write_text(json.dumps(good) + "\n{broken\n" + json.dumps({**good, "rejected": good["chosen"]}) + "\n")
    with serving(judge=truthful) as server:
        result = run(str(path), tmp_path / "out.jsonl", server.url)
    assert (result.counts["read"], result.counts["kept"], set(result.counts["rejected"])) == (3, 1, {"PD201", "bad-json"})
    assert [r["line"] for r in lines_of(result.rejects)] == [2, 3]
    assert result.exit_code == 1


def test_limit_and_missing_ids(tmp_path: Path) -> None:
    rows = [{k: v for k, v in pair(n, 5, 1).items() if k != "id"} for n in range(9)]
    data = store(tmp_path / "in.jsonl", rows)
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "out.jsonl", server.url, limit=4)
        assert server.stats.requests == 8
    assert result.counts["read"] == 4
    assert [r["id"] for r in rows_of(tmp_path / "out.jsonl")] == [pair(n, 5, 1)["id"] for n in range(4)]


def test_dry_run_counts_and_writes_nothing(pairs: str, tmp_path: Path) -> None:
    """Ten calls; the money lies between answers of one token and of max_tokens (4)."""
    out = tmp_path / "out.jsonl"
    options: dict[str, Any] = {"model": "m", "judge": "pairwise", "price_in": 1.0, "price_out": 10.0}
    found = prefdata.label(pairs, str(out), dry_run=True, **options)
    assert isinstance(found, Estimate)
    assert (found.calls, found.most_tokens_out) == (10, 40)
    least, most = found.usd or (0, 0)
    assert most - least == pytest.approx(30 * 10 / 1e6)
    assert least == pytest.approx((found.tokens_in + 10 * 10) / 1e6)
    assert {p.name for p in tmp_path.iterdir()} == {"pairs.jsonl"}
    with serving(judge=truthful) as server:
        run(pairs, out, server.url, model="m")
        real = server.stats.tokens_in
    assert 0.5 < found.tokens_in / real < 2
    after = prefdata.label(pairs, str(out), dry_run=True, **options)
    assert isinstance(after, Estimate)
    assert (after.calls, after.stored) == (0, 10)


def test_all_mistakes_in_one_message(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"text": "x"}\n')
    with pytest.raises(UsageError) as e:
        prefdata.label(str(foreign), str(tmp_path / "out.txt"), judge="pairwise,nobody", ties="soft", min_agreement=0.5)
    message = str(e.value)
    for part in ("--model", "nobody", "not a prefdata file", "--ties soft", "--min-agreement", "out.txt"):
        assert part in message
    with pytest.raises(UsageError, match="KEY_THAT_IS_NOWHERE is not set"):
        prefdata.label(
            store(tmp_path / "p.jsonl", [pair(0, 2, 1)]), str(tmp_path / "o.jsonl"), model="m", api_key_env="KEY_THAT_IS_NOWHERE"
        )


def test_no_file_is_two_things(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is both"):
        run(pairs, pairs, "http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="is both"):
        run(pairs, tmp_path / "out.jsonl", "http://127.0.0.1:9/v1", journal=pairs)
    with pytest.raises(InputError):
        run(pairs, tmp_path / "out.jsonl", "http://127.0.0.1:9/v1", offline=True)


def test_every_principle_is_accounted_for(tmp_path: Path) -> None:
    """One principle per pair, the same in both orders; wins, flips and tokens add up to those of the run."""
    data = store(tmp_path / "p.jsonl", [pair(n, *PAIRS[n % 5]) for n in range(40)])
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "out.jsonl", server.url, judge="constitution", price_in=1.0, price_out=2.0)
    principles = result.report["principles"]
    rows = rows_of(tmp_path / "out.jsonl")
    assert all(len({a["aspect"] for a in r["annotations"]}) == 1 for r in rows)
    assert set(principles) == {a["aspect"] for r in rows for a in r["annotations"]}
    assert sum(p["comparisons"] for p in principles.values()) == 40
    assert sum(p["disagrees"] for p in principles.values()) == result.report["source"]["disagrees"] == 16
    judged = result.report["judges"]["constitution-v1:mock"]
    assert sum(p["tokens_in"] for p in principles.values()) == judged["tokens_in"] == result.spent["tokens_in"]
    assert sum(p["usd"] for p in principles.values()) == pytest.approx(result.spent["usd"])


def test_a_record_that_does_not_fit_the_judge(pairs: str, tmp_path: Path) -> None:
    """It is never sent. In a jury the others judge it."""
    rows = [json.loads(line) for line in Path(pairs).read_text().splitlines()]
    rows[0]["meta"] = json.dumps({"reference": "quality 5"})
    data = store(tmp_path / "some.jsonl", rows)
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "out.jsonl", server.url, judge="reference")
        assert server.stats.requests == 2
        jury = run(data, tmp_path / "jury.jsonl", server.url, judge="reference,pairwise", journal=str(tmp_path / "out.jsonl.journal"))
        assert server.stats.requests == 2 + 10
    assert result.counts == {"read": 5, "kept": 1, "dropped": {"no-reference": 4}, "rejected": {}}
    assert {r["why"] for r in lines_of(result.undecided)} == {"no-reference"}
    assert result.exit_code == 0
    assert jury.counts["kept"] == 5
    assert jury.report["comparisons"] == {"decided": 4, "tie": 1}


def test_swapped_records_give_the_same_pairs(tmp_path: Path) -> None:
    """Records with chosen and rejected exchanged: every verdict changes sides, and the decided pairs are the same."""
    straight = [pair(n, *q) for n, q in enumerate(PAIRS)]
    swapped = [made("pair", {"prompt": r["prompt"], "chosen": r["rejected"], "rejected": r["chosen"]}) for r in straight]
    found = []
    for name, rows in (("straight", straight), ("swapped", swapped)):
        with serving(judge=truthful) as server:
            run(store(tmp_path / f"{name}.jsonl", rows), tmp_path / f"{name}-out.jsonl", server.url, decide="soft")
        found.append(rows_of(tmp_path / f"{name}-out.jsonl"))
    assert len(found[0]) == 4
    for a, b in zip(*found, strict=True):
        assert (a["id"], a["chosen"], a["rejected"]) == (b["id"], b["chosen"], b["rejected"])
        assert a["p_chosen"] == pytest.approx(b["p_chosen"], abs=1e-12)


def test_another_model_answers(pairs: str, tmp_path: Path) -> None:
    """The warning names it. A dated version of the model that was asked for is no other."""
    with Server() as server:
        result = run(pairs, tmp_path / "out.jsonl", server.url, model="wanted")
        dated = run(pairs, tmp_path / "dated.jsonl", server.url, judge="pairwise@m-2024,rubric@n")
    assert result.report["judges"]["pairwise-v1:wanted"]["served"] == {"m": 10}
    assert result.warnings == ["pairwise-v1:wanted: wanted was asked, m answered"]
    assert dated.warnings[0] == "pairwise-v1:m-2024: m-2024 was asked, m answered"
    report = {"judges": {"j": {"served": {"m-2024-08": 3}}, "k": {"served": {"a": 1, "b": 2}}}}
    assert served_warnings(report, {"j": "m-2024", "k": "a"}) == ["k: several models answered (a 1, b 2)"]


def test_a_folder_that_does_not_exist(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        run(pairs, tmp_path / "no" / "out.jsonl", "http://127.0.0.1:9/v1", journal=str(tmp_path / "j"))


def test_votes_need_a_temperature(pairs: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--votes 3: at temperature 0 the judge 'pairwise' always says the same"):
        run(pairs, tmp_path / "out.jsonl", "http://127.0.0.1:9/v1", votes=3)


def test_gold_gate(pairs: str, tmp_path: Path) -> None:
    """A judge that agrees with 2.5 of 5 (a tie is half) is below 0.75: nothing is written, and the data are not asked about."""
    gold = store(tmp_path / "gold.jsonl", [pair(n + 100, *q) for n, q in enumerate(PAIRS)])
    out = tmp_path / "out.jsonl"
    with serving(judge=truthful) as server:
        with pytest.raises(prefdata.PrefdataError, match=r"agreement with gold 50\.0 % \(95 % interval .*below --min-agreement 0\.75") as e:
            run(pairs, out, server.url, gold=gold, min_agreement=0.75)
        assert e.value.exit_code == 1
        assert server.stats.requests == 10
        assert not out.exists()
        result = run(pairs, out, server.url, gold=gold, min_agreement=0.5)
        assert server.stats.requests == 20
        assert run(pairs, out, server.url, gold=gold, min_agreement=0.5).up_to_date
    assert result.gold is not None
    assert result.gold["agreement"]["value"] == 0.5
    assert "agreement with gold 50.0 %" in "\n".join(result.lines())


def test_votes_without_log_probs(pairs: str, tmp_path: Path) -> None:
    """Three answers in each order, all the same: p = (6 + 1/2)/7."""

    def say(asked: Asked) -> str:
        a, b = qualities(asked)
        return "A" if a > b else "B" if b > a else "tie"

    with serving(judge=words(say)) as server:
        result = run(pairs, tmp_path / "out.jsonl", server.url, votes=3, temperature=0.7, logprobs="off", decide="soft")
        assert server.stats.requests == 30
    assert [r["p_chosen"] for r in rows_of(tmp_path / "out.jsonl")] == pytest.approx([6.5 / 7] * 4)
    assert result.counts["dropped"] == {"tie": 1}


def test_batch_files(pairs: str, tmp_path: Path) -> None:
    """Exported requests hold both orders; results that come back are labelled without a request."""
    out = tmp_path / "out.jsonl"
    options: dict[str, Any] = {"model": "mock", "judge": "pairwise"}
    exported = prefdata.label(pairs, str(out), batch="export", **options)
    assert "10 requests" in exported.lines()[0]
    lines = [json.loads(x) for p in sorted((tmp_path / "out.jsonl.batch").glob("requests-*.jsonl")) for x in p.read_text().splitlines()]
    assert len(lines) == 10
    reply = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "tie"}}], "model": "mock"}
    back = [{"id": "b", "custom_id": x["custom_id"], "response": {"status_code": 200, "body": reply}, "error": None} for x in lines]
    (tmp_path / "out.jsonl.batch" / "results.jsonl").write_text("".join(json.dumps(b) + "\n" for b in reversed(back)))
    imported = prefdata.label(pairs, str(out), batch="import", **options)
    assert imported.exit_code == 0
    result = run(pairs, out, "http://127.0.0.1:9/v1", offline=True)
    assert result.report["comparisons"] == {"tie": 5}
