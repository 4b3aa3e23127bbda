"""Runs of generate against servers on this machine: what is sent, what is written, and what a stop in the middle changes (nothing)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.errors import BudgetError, UsageError
from prefdata.llm.mock_server import serving
from tests.judges.scripted import Body, Scripted, cut, scripted
from tests.sampling.generating import about, balanced, checked, id_of, lines, prompts, repeats, run, sampled, texts, written


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(sampled) as found:
        yield found


def test_a_record_for_every_prompt(tmp_path: Path, server: Scripted) -> None:
    """103 prompts, 103 records in their order, with all that was sampled, where it came from and how it ended."""
    data = written(tmp_path / "p.jsonl", prompts(103))
    result = run(data, tmp_path / "out.jsonl", policy="m", n=3, base_url=server.url)
    assert (result.counts, result.exit_code) == ({"read": 103, "kept": 103, "dropped": {}, "rejected": {}}, 0)
    balanced(result)
    rows = checked(tmp_path / "out.jsonl")
    assert [r["prompt"] for r in rows] == [r["prompt"] for r in prompts(103)]
    said = {sampled(b): b for b in server.seen}
    assert len(said) == len(server.seen) == 309
    for row in rows:
        assert [said[t]["messages"] for t in texts(row)] == [row["prompt"]] * 3
        assert {c["model"] for c in row["completions"]} == {"m"}
        assert about(row, "finish_reason") == {c["id"]: "stop" for c in row["completions"]}
        assert {(a["annotator"], a["kind"]) for a in row["annotations"]} == {("m", "source")}
    assert not repeats([b["seed"] for b in server.seen])  # no two prompts share their draws
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert (manifest["policies"][0]["name"], manifest["policies"][0]["n"]) == ("m", 3)
    assert manifest["answers"]["m"]["candidates"] == 309
    assert prefdata.read(str(tmp_path / "out.jsonl")).height == 103


def test_the_same_bytes_at_any_concurrency(tmp_path: Path, server: Scripted) -> None:
    data = written(tmp_path / "p.jsonl", prompts(30))
    found = set()
    for concurrency in (1, 7, 64):
        out = tmp_path / f"{concurrency}.jsonl"
        run(data, out, policy="m", n=4, base_url=server.url, concurrency=concurrency)
        found.add(out.read_bytes())
    run(data, tmp_path / "again.jsonl", policy="m", n=4, offline=True, journal=str(tmp_path / "7.jsonl.journal"))
    found.add((tmp_path / "again.jsonl").read_bytes())
    assert len(found) == 1
    assert len(server.seen) == 3 * 120


def test_policies_with_settings_of_their_own(tmp_path: Path, server: Scripted) -> None:
    """Each policy's settings are sent, what it does not say is as on the command line; system texts join, records keep the prompt."""
    file = tmp_path / "policies.yaml"
    file.write_text(
        "policies:\n"
        "  - {policy: m, name: cold, temperature: 0, n: 5}\n"
        "  - {policy: m, name: warm, temperature: 0.8, top_p: 0.9, top_k: 40, max_tokens: 7, system: Be brief., stop: [END, ;], n: 2}\n"
        "  - {policy: other}\n"
    )
    data = written(tmp_path / "p.jsonl", prompts(3))
    result = run(data, tmp_path / "out.jsonl", policies=str(file), n=3, base_url=server.url, seed=7)
    rows = checked(tmp_path / "out.jsonl")
    assert Counter((b["model"], b["temperature"]) for b in server.seen) == {("m", 0): 3, ("m", 0.8): 6, ("other", 1): 9}
    warm = [b for b in server.seen if b["temperature"] == 0.8]
    assert {(b["top_p"], b["top_k"], b["max_tokens"], tuple(b["stop"])) for b in warm} == {(0.9, 40, 7, ("END", ";"))}
    assert {b["messages"][0]["content"] for b in warm} == {"Be brief.", "Be brief.\n\nBe kind."}
    assert [m["role"] for m in warm[-1]["messages"]][:2] == ["system", "user"]
    cold = next(b for b in server.seen if b["temperature"] == 0)
    assert not {"seed", "top_p", "top_k", "stop"} & set(cold)
    for row, given in zip(rows, prompts(3), strict=True):
        assert row["prompt"] == given["prompt"]
        assert Counter(c["model"] for c in row["completions"]) == {"cold": 1, "warm": 2, "other": 3}
    assert result.warnings == ["cold: at temperature 0 all 5 answers would be the same; one is asked for"]
    assert result.policies[1]["system"] == "Be brief."


def test_names_are_unique_and_carry_the_iteration(tmp_path: Path, server: Scripted) -> None:
    """The same policy twice is one: it is asked once. Another iteration asks anew under the same name of the model."""
    data = written(tmp_path / "p.jsonl", prompts(4))
    journal = str(tmp_path / "journal")
    first = run(data, tmp_path / "1.jsonl", policy="m,m", n=2, base_url=server.url, iteration=1, journal=journal)
    assert list(first.answers) == ["m@1", "m@1#2"]
    assert len(server.seen) == 8
    assert first.answers["m@1#2"]["duplicates"] == 8
    assert first.warnings == ["m@1#2 is m@1 with the same settings: its answers are the same"]
    second = run(data, tmp_path / "2.jsonl", policy="m", n=2, base_url=server.url, iteration=2, journal=journal)
    assert len(server.seen) == 16
    assert (second.run["reused"], second.policies[0]["iteration"]) == (0, 2)
    assert {c["model"] for r in checked(tmp_path / "2.jsonl") for c in r["completions"]} == {"m@2"}


def faulty(body: Body) -> Any:
    """Question 0 gets nothing but faults, 1 a few, 3 always the same."""
    text, again = body["messages"][-1]["content"], body["seed"] % 4
    if text.startswith("Question 0:"):
        return 400, {"error": {"message": "flagged", "code": "content_filter"}}
    if text.startswith("Question 1:"):
        said = {"content": None, "refusal": "No."}, {"content": " \n"}, {"content": "x", "tool_calls": [{"function": {}}]}
        ends = [{"index": 0, "message": {"role": "assistant", **m}, "finish_reason": "stop"} for m in said]
        return cut("half an ans") if again == 3 else (200, {"choices": [ends[again]]})
    if text.startswith("Question 3:"):
        return "always the same"
    return f" {sampled(body)}\n"


def test_what_is_no_answer_is_no_candidate(tmp_path: Path) -> None:
    """Dropped answers are counted by reason, equal ones are one candidate with all that is known, cut ones are kept and say so."""
    rows = [*prompts(5), {"prompt": [{"role": "user", "content": "  "}]}]
    data = written(tmp_path / "p.jsonl", rows)
    with scripted(faulty) as server:
        result = run(data, tmp_path / "out.jsonl", policy="m", n=40, base_url=server.url)
    balanced(result)
    assert result.counts == {"read": 6, "kept": 4, "dropped": {"content-filter": 1}, "rejected": {"PD105": 1}}
    assert result.exit_code == 1
    said = result.answers["m"]
    assert said["dropped"]["content-filter"] == 40
    assert set(said["dropped"]) == {"content-filter", "refusal", "empty", "tool-call"}
    assert said["finish"]["length"] > 1
    by = {r["prompt"][-1]["content"].split(":")[0]: r for r in checked(tmp_path / "out.jsonl")}
    assert texts(by["Question 1"]) == ["half an ans"]
    assert set(about(by["Question 1"], "finish_reason").values()) == {"length"}
    same = by["Question 3"]
    assert (len(same["completions"]), len(same["annotations"])) == (1, 40)
    assert len({a["request"] for a in same["annotations"]}) == 40
    assert all(t.startswith(" SAMPLE-") and t.endswith("\n") for t in texts(by["Question 4"]))  # as the model wrote it
    (lost,) = lines(result.dropped)
    assert (lost["prompt"], lost["why"]) == (rows[0]["prompt"], "content-filter")
    assert lines(result.rejects)[0]["line"] == 6


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def test_tool_calls_are_answers_where_there_are_tools(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]
    }
    data = written(tmp_path / "p.jsonl", [{"prompt": "Look!", "tools": json.dumps([TOOL])}])
    with scripted(lambda body: (200, answer)) as server:
        run(data, tmp_path / "out.jsonl", policy="m", n=1, base_url=server.url)
    assert server.seen[0]["tools"] == [TOOL]
    (row,) = checked(tmp_path / "out.jsonl")
    assert row["completions"][0]["messages"][0]["tool_calls"] == [call]
    assert list(about(row, "finish_reason").values()) == ["tool_calls"]
    assert prefdata.read(str(tmp_path / "out.jsonl")).height == 1


def test_missing_replies_are_asked_for_again(tmp_path: Path) -> None:
    """A prompt with some of its answers is written with them; the same command asks for the others alone, and then is done."""
    data = written(tmp_path / "p.jsonl", prompts(8))
    broken = True

    def shaky(body: Body) -> Any:
        down = broken and (body["seed"] % 3 == 0 or body["messages"][-1]["content"].startswith("Question 5"))
        return (500, {"error": "down"}) if down else sampled(body)

    options: dict[str, Any] = {"policy": "m", "n": 6, "retries": 0, "concurrency": 2}
    with scripted(shaky) as server:
        first = run(data, tmp_path / "out.jsonl", base_url=server.url, **options)
        lost, asked = first.unanswered, len(server.seen)
        assert (first.exit_code, first.counts["dropped"]) == (1, {"no-reply:server-error": 1})
        assert 6 < lost < 48
        balanced(first)
        checked(tmp_path / "out.jsonl")
        broken = False
        second = run(data, tmp_path / "out.jsonl", base_url=server.url, **options)
        assert (len(server.seen) - asked, second.exit_code, second.dropped) == (lost, 0, None)
        assert not Path(f"{tmp_path}/out.jsonl.dropped.jsonl").exists()
        third = run(data, tmp_path / "out.jsonl", base_url=server.url, **options)
        assert (third.up_to_date, third.answers, len(server.seen)) == (True, second.answers, asked + lost)


def test_dry_run_budget_and_offline(tmp_path: Path, server: Scripted) -> None:
    data = written(tmp_path / "p.jsonl", prompts(10))
    options: dict[str, Any] = {
        "policy": "m",
        "n": 3,
        "base_url": server.url,
        "max_tokens": 100,
        "price_in": 1,
        "price_out": 2,
        "concurrency": 1,
    }
    dry = run(data, tmp_path / "out.jsonl", dry_run=True, **options)
    assert (dry.calls, dry.most_tokens_out, server.seen) == (30, 3000, [])
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(BudgetError, match="--offline"):
        run(data, tmp_path / "out.jsonl", budget_calls=12, **options)
    assert len(server.seen) == 12
    result = run(data, tmp_path / "out.jsonl", offline=True, **options)
    assert (result.counts["kept"], result.counts["dropped"], result.unanswered) == (4, {"no-reply:not-asked": 6}, 18)
    assert run(data, tmp_path / "out.jsonl", dry_run=True, **options).calls == 18


PAIR = {
    "id": "0" * 32,
    "prompt": [{"role": "user", "content": "Why?"}],
    "chosen": [{"role": "assistant", "content": "Because."}],
    "rejected": [{"role": "assistant", "content": "No."}],
    "p_chosen": 0.9,
    "source": "set",
    "annotations": [
        {"annotator": "j", "kind": "judge", "completions": ["rejected", "chosen"], "outcome": "second"},
        {"annotator": "r", "kind": "human", "completions": ["rejected"], "score": 2.0},
    ],
}


def test_completions_that_are_there_join(tmp_path: Path) -> None:
    """Those of pairs with the source's preference and what was said of them, by ids; one that a policy writes as well is one candidate."""
    data = written(tmp_path / "p.jsonl", [PAIR])
    with scripted(lambda body: "No.") as server:
        run(data, tmp_path / "out.jsonl", policy="m", n=2, base_url=server.url, keep_completions=True)
        run(data, tmp_path / "without.jsonl", policy="m", n=2, base_url=server.url)
    (row,) = checked(tmp_path / "out.jsonl")
    yes, no = id_of("Because."), id_of("No.")
    assert [(c["id"], c["model"]) for c in row["completions"]] == [(yes, None), (no, None)]
    said = [(a["annotator"], a["completions"], a["outcome"], a["p_first"], a["score"]) for a in row["annotations"]]
    assert said[:3] == [
        ("set", [yes, no], "first", 0.9, None),
        ("j", [no, yes], "second", None, None),
        ("r", [no], None, None, 2.0),
    ]
    assert [s[:2] for s in said[3:]] == [("m", [no]), ("m", [no])]
    assert row["source"] == "set"
    (alone,) = checked(tmp_path / "without.jsonl")
    assert [(c["id"], c["model"]) for c in alone["completions"]] == [(no, "m")]
    assert {a["annotator"] for a in alone["annotations"]} == {"m"}


def test_lists_and_single_completions_join(tmp_path: Path, server: Scripted) -> None:
    """Lists keep scores and ranks; generated lists can be generated for again (another policy joins the first one's)."""
    single = {"id": "0" * 32, "prompt": PAIR["prompt"], "completion": PAIR["chosen"], "label": True, "score": 3.0}
    single["annotations"] = [{"annotator": "r", "kind": "human", "completions": [], "score": 2.0}]
    data = written(tmp_path / "b.jsonl", [single])
    run(data, tmp_path / "1.jsonl", policy="m", n=2, base_url=server.url, keep_completions=True)
    run(str(tmp_path / "1.jsonl"), tmp_path / "2.jsonl", policy="other", n=3, base_url=server.url, keep_completions=True)
    (one,), (two,) = checked(tmp_path / "1.jsonl"), checked(tmp_path / "2.jsonl")
    assert [c["score"] for c in one["completions"]] == [3.0, None, None]
    assert one["annotations"][0]["completions"] == [id_of("Because.")]
    assert two["completions"][:3] == one["completions"]
    assert two["annotations"][: len(one["annotations"])] == one["annotations"]
    assert [c["model"] for c in two["completions"]] == [None, "m", "m", "other", "other", "other"]


def test_wrong_options_are_told_together(tmp_path: Path, server: Scripted) -> None:
    data = written(tmp_path / "p.jsonl", prompts(2))
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  - {policy: m}\n  - {policy: m, temperatur: 1}\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "--policy: who should answer"),
        ({"policies": str(file)}, "line 3: .*did you mean 'temperature'"),
        ({"policy": "hf:./nowhere"}, "hf:./nowhere: no such folder"),
        ({"policy": "m", "base_url": "localhost:8000"}, "no address of a server"),
    ]
    for options, words in cases:
        with pytest.raises(UsageError, match=words):
            run(data, tmp_path / "out.jsonl", **options)
    file.write_text(f"policies:\n  - {{policy: m}}\n  - {{policy: m, base_url: {server.url}/other}}\n")
    with pytest.raises(UsageError, match="on different servers"):
        run(data, tmp_path / "out.jsonl", policies=str(file), base_url=server.url)
    with pytest.raises(UsageError, match="is both the input"):
        run(data, data, policy="m", base_url=server.url)
    assert server.seen == []


def command(*args: str) -> list[str]:
    return [sys.executable, "-c", "from prefdata.cli.main import main; main()", "generate", *args]


def test_command_line(tmp_path: Path) -> None:
    """`-n`, the account as JSON and in words, and the journal's own command."""
    data = written(tmp_path / "p.jsonl", prompts(5))
    out = str(tmp_path / "out.parquet")
    with serving() as server:
        given = [data, "-o", out, "--policy", "m", "-n", "2", "--base-url", server.url, "--thoughts"]
        done = subprocess.run(command(*given, "--json"), capture_output=True, text=True)
        again = subprocess.run(command(*given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answers"]["m"]["candidates"] == 10
    assert again.stderr.splitlines()[0] == f"{out}: 5 listwise records, up to date, nothing was done (--force writes again)"
    before = Path(out).read_bytes()
    from prefdata.cli.journal_ import rerun

    assert rerun(f"{out}.journal", None).counts["kept"] == 5
    assert Path(out).read_bytes() == before


def test_killed_and_started_again(tmp_path: Path) -> None:
    """SIGKILL in the middle: the output is that of a run that was never stopped, and no reply that was stored is asked for again."""
    data = written(tmp_path / "p.jsonl", prompts(40))
    process: subprocess.Popen[bytes] | None = None

    def deadly(body: Body) -> str:
        if process is not None and len(server.seen) == 60:
            os.kill(process.pid, signal.SIGKILL)
        return sampled(body)

    with scripted(deadly) as server:
        options: dict[str, Any] = {"policy": "m", "n": 4, "base_url": server.url, "concurrency": 8}
        run(data, tmp_path / "whole.jsonl", **options)
        server.seen.clear()
        args = ["-o", str(tmp_path / "out.jsonl"), "--policy", "m", "-n", "4", "--concurrency", "8", "--base-url", server.url]
        process = subprocess.Popen(command(data, *args), stderr=subprocess.DEVNULL)
        assert process.wait() == -signal.SIGKILL
        process = None
        assert not (tmp_path / "out.jsonl").exists()
        result = run(data, tmp_path / "out.jsonl", **options)
        assert result.run["reused"] >= 60 - 8 - 1
        assert len(server.seen) <= 160 + 2 * 8
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
