"""Runs of revise against a server on this machine: what is sent, what is written, and what a stop in the middle changes (nothing)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prefdata.errors import BudgetError, UsageError
from prefdata.judges.constitution import load
from prefdata.judges.revise import revise
from prefdata.judges.revise_options import ReviseOptions
from prefdata.judges.revise_result import ReviseResult
from prefdata.llm.batch import Exported, Imported
from prefdata.llm.estimate import Estimate
from prefdata.schema.ids import record_id
from prefdata.schema.records import KINDS
from tests.judges.scripted import Body, Scripted, asks_for, cut, plain, scripted

PROMPTS = [{"prompt": f"Question {i}: {{answer}} <<<end>>>?"} for i in range(6)]
CRITIC = "The assistant's response is unkind."


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def lines(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


class Runner:
    """Runs revise in a folder against a server."""

    def __init__(self, folder: Path, server: Scripted) -> None:
        self.folder, self.server = folder, server
        self.data = written(folder / "prompts.jsonl", PROMPTS)

    def __call__(self, out: str = "out.jsonl", data: str | None = None, **options: Any) -> Any:
        given = ReviseOptions(**{"model": "m", "base_url": self.server.url, **options})
        return revise([data or self.data], str(self.folder / out), given)

    def read(self, name: str) -> list[dict[str, Any]]:
        return lines(self.folder / name)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with scripted() as server:
        yield Runner(tmp_path, server)


def test_pairs(run: Runner) -> None:
    """The last revision over the draft, with an annotation for every round; everything is a valid record."""
    result = run(rounds=2)
    assert isinstance(result, ReviseResult)
    assert (result.counts["read"], result.counts["kept"], result.exit_code) == (6, 6, 0)
    assert Counter(asks_for(b) for b in run.server.seen) == {"draft": 6, "critique": 12, "revision": 12}
    pairs = run.read("out.jsonl")
    steps = run.read("out.jsonl.steps.jsonl")
    assert [p["prompt"] for p in pairs] == [[{"role": "user", "content": p["prompt"]}] for p in PROMPTS]
    ids = {k.id for k in load("default").critique}
    for i, pair in enumerate(pairs):
        record = KINDS["pair"].model_validate(pair)
        assert record_id(record) == pair["id"]
        draft, one, two = steps[3 * i : 3 * i + 3]
        assert (draft["round"], one["round"], two["round"]) == (0, 1, 2)
        assert (pair["rejected"][0]["content"], pair["chosen"][0]["content"]) == (draft["draft"], two["revision"])
        assert [(a["aspect"], a["rationale"], a["request"]) for a in pair["annotations"]] == [
            (s["principle"], s["critique"], s["requests"][-1]) for s in (one, two)
        ]
        assert {(a["annotator"], a["kind"], a["outcome"], *a["completions"]) for a in pair["annotations"]} == {
            ("reviser-v1:m", "judge", "first", "chosen", "rejected")
        }
        assert set(json.loads(pair["meta"])["revise"]["principles"]) <= ids
    assert result.steps == {"revised": 12}
    assert sum(n for found in result.principles.values() for n in found.values()) == 12


def test_the_server_sees_no_material_of_earlier_rounds(run: Runner) -> None:
    """Of three rounds: a critique's request has the last text only, a revision's that and its own critique."""
    run(rounds=3, limit=1, concurrency=1)
    assert [asks_for(b) for b in run.server.seen] == ["draft", *["critique", "revision"] * 3]
    texts = [plain(b) for b in run.server.seen]
    shown = [[t for t in texts if t.rstrip(".") in json.dumps(b["messages"])] for b in run.server.seen]
    draft, c1, r1, c2, r2, c3, _ = texts
    assert shown == [[], [draft], [draft, c1], [r1], [r1, c2], [r2], [r2, c3]]


def test_few_shot_examples_come_first(run: Runner) -> None:
    """Every review of every record begins with the same messages, byte for byte."""
    run()
    reviews = [b["messages"] for b in run.server.seen if asks_for(b) != "draft"]
    n = 1 + 4 * len(load("default").examples)
    assert {json.dumps(m[:n]) for m in reviews} == {json.dumps(reviews[0][:n])}
    assert {len(m) - n for m in reviews} == {1, 3}


def faulty(body: Body) -> Any:
    """Revisions of question 1 are critiques, of 2 cut off, of 3 empty, of 4 the draft; 5 gets a good one at the second try."""
    text = json.dumps(body["messages"])
    if asks_for(body) != "revision":
        return plain(body)
    for i, said in {1: CRITIC, 2: cut("Use wa"), 3: "", 5: CRITIC if body["seed"] == 0 else plain(body)}.items():
        if f"Question {i}" in text:
            return said
    return text[text.index("DRAFT-") :][:15] if "Question 4" in text else plain(body)


def test_what_is_no_revision_is_no_pair(tmp_path: Path) -> None:
    with scripted(faulty) as server:
        run = Runner(tmp_path, server)
        result = run()
        assert result.counts["dropped"] == {"critique": 1, "cut-off": 1, "empty": 1, "unchanged": 1}
        assert (result.counts["read"], result.counts["kept"], result.exit_code) == (6, 2, 0)
        assert Counter(asks_for(b) for b in server.seen) == {"draft": 6, "critique": 6, "revision": 11}
    undecided = run.read("out.jsonl.undecided.jsonl")
    assert [u["why"] for u in undecided] == ["critique", "cut-off", "empty", "unchanged"]
    assert [u["prompt"][0]["content"][:10] for u in undecided] == [f"Question {i}" for i in (1, 2, 3, 4)]
    assert CRITIC not in (tmp_path / "out.jsonl").read_text()
    steps = [s for s in run.read("out.jsonl.steps.jsonl") if s["round"]]
    assert [s["outcome"] for s in steps] == ["revised", "critique", "cut-off", "empty", "unchanged", "revised"]
    assert [len(s["requests"]) for s in steps] == [2, 3, 3, 3, 3, 3]
    assert steps[1]["revision"] == CRITIC
    assert any("a critique stands in place of the revision" in line for line in result.lines())


def test_answers_to_imitate_and_lists(run: Runner) -> None:
    """sft: every revision that is one, labelled true; steps: all texts, later ones rank higher. Both from replies that are there."""
    pairs = run(rounds=3)
    sent = len(run.server.seen)
    journal = str(run.folder / "out.jsonl.journal")
    sft = run("sft.jsonl", rounds=3, emit="sft", journal=journal)
    lists = run("lists.jsonl", rounds=3, emit="steps", journal=journal)
    assert len(run.server.seen) == sent
    assert (pairs.records["written"], sft.records["written"], lists.records["written"]) == (6, 18, 6)
    assert (pairs.kind, sft.kind, lists.kind) == ("pair", "binary", "listwise")
    rows, steps = run.read("sft.jsonl"), [s for s in run.read("sft.jsonl.steps.jsonl") if s["round"]]
    assert [(r["completion"][0]["content"], r["label"]) for r in rows] == [(s["revision"], True) for s in steps]
    assert [json.loads(r["meta"])["revise"]["rounds"] for r in rows[:3]] == [[1], [2], [3]]
    for kind, name in (("binary", "sft.jsonl"), ("listwise", "lists.jsonl")):
        for row in run.read(name):
            assert record_id(KINDS[kind].model_validate(row)) == row["id"]
    one = run.read("lists.jsonl")[0]
    assert [c["rank"] for c in one["completions"]] == [4.0, 3.0, 2.0, 1.0]
    assert [c["model"] for c in one["completions"]] == ["m"] * 4
    ids = [c["id"] for c in one["completions"]]
    assert [a["completions"] for a in one["annotations"]] == [[ids[1], ids[0]], [ids[2], ids[1]], [ids[3], ids[2]]]


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user" if i % 2 else "assistant", "content": t} for i, t in enumerate(texts)]


def test_drafts_of_records(run: Runner) -> None:
    """The answer of the records is the draft; what is known of the record stays, its annotations are about other texts and go."""
    ask = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    rows = [
        {"prompt": ask, "chosen": turns("Because."), "rejected": turns("Dunno."), "source": "s", "split": "test", "meta": '{"a": 1}'},
        {"prompt": ask, "chosen": turns("Well.", "What?", "So."), "rejected": turns("No."), "source": "s", "split": "test", "meta": "[2]"},
    ]
    rows[0]["annotations"] = [{"annotator": "x", "kind": "human", "completions": ["chosen", "rejected"], "outcome": "first"}]
    data = written(run.folder / "pairs.jsonl", rows)
    result = run(data=data, draft="chosen")
    assert result.counts["dropped"] == {"several-turns": 1}
    (pair,) = run.read("out.jsonl")
    assert pair["rejected"] == turns("Because.")
    assert (pair["source"], pair["split"], pair["prompt"]) == ("s", "test", ask)
    assert json.loads(pair["meta"])["a"] == 1
    assert [a["annotator"] for a in pair["annotations"]] == ["reviser-v1:m"]
    assert {asks_for(b) for b in run.server.seen} == {"critique", "revision"}
    other = run("other.jsonl", data=data, draft="rejected", emit="steps")
    assert other.records["written"] == 2
    assert [c["model"] for c in run.read("other.jsonl")[1]["completions"]] == [None, "m"]
    assert json.loads(run.read("other.jsonl")[1]["meta"])["meta"] == [2]


def test_drafts_of_binary_and_listwise_records(run: Runner) -> None:
    ask = [{"role": "user", "content": "Why?"}]
    binary = written(run.folder / "binary.jsonl", [{"prompt": ask, "completion": turns("Because."), "label": False}])
    assert run(data=binary, draft="completion").records["written"] == 1
    one, two = ({"messages": turns(t)} for t in ("Because.", "Dunno."))
    lists = written(run.folder / "lists.jsonl", [{"prompt": ask, "completions": c} for c in ([one], [one, two])])
    assert run("l.jsonl", data=lists, draft="completion").counts["dropped"] == {"no-answer": 1}


def test_tools_and_their_turns(run: Runner) -> None:
    """Turns keep their tool fields, in Parquet too."""
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    ask = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ]
    tools = '[{"type": "function", "function": {"name": "look"}}]'
    data = written(run.folder / "prompts.jsonl", [{"prompt": ask, "tools": tools}, {"prompt": [{"role": "user", "content": "Hi"}]}])
    run("out.parquet", data=data)
    df = pl.read_parquet(run.folder / "out.parquet")
    assert df.columns == ["id", "prompt", "chosen", "rejected", "tools", "meta", "annotations"]
    assert df["prompt"][0].to_list()[1]["tool_calls"] == [call]
    assert df["tools"].to_list() == [tools, None]
    assert [b.get("tools") for b in run.server.seen if asks_for(b) == "draft"].count(json.loads(tools)) == 1


def test_dry_runs_send_and_write_nothing(run: Runner) -> None:
    found = run(rounds=3, dry_run=True)
    assert isinstance(found, Estimate)
    assert (found.calls, found.plans) == (6 * 7, 6)
    assert found.most_tokens_out == 6 * (4 * 1024 + 3 * 512)
    assert run.server.seen == []
    assert [p.name for p in run.folder.iterdir()] == ["prompts.jsonl"]


def test_a_dry_run_goes_on_from_the_journal(run: Runner) -> None:
    run(rounds=1)
    found = run(rounds=3, dry_run=True)
    assert (found.calls, found.stored) == (6 * 4, 6 * 3)


def test_the_same_again_does_nothing(run: Runner) -> None:
    first = run()
    sent = len(run.server.seen)
    again = run()
    assert (first.up_to_date, again.up_to_date, len(run.server.seen)) == (False, True, sent)
    assert {**again.as_dict(), "up_to_date": False} == first.as_dict()
    other = run(rounds=2)
    assert (other.up_to_date, len(run.server.seen)) == (False, sent + 12)
    assert run(rounds=2, force=True).run["calls"] == 0


def test_side_files_that_are_gone_come_again(run: Runner) -> None:
    run()
    for name in ("out.jsonl.steps.jsonl", "out.jsonl.manifest.json"):
        wanted, sent = everything(run.folder), len(run.server.seen)
        (run.folder / name).unlink()
        assert (run().up_to_date, len(run.server.seen)) == (False, sent)
        assert everything(run.folder) == wanted
        assert (run.folder / name).exists()


def test_a_missing_folder_is_told_before_anything_is_asked(run: Runner) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        run("nowhere/out.jsonl")
    assert run.server.seen == []


def everything(folder: Path, out: str = "out.jsonl") -> dict[str, bytes]:
    names = (out, f"{out}.steps.jsonl", f"{out}.undecided.jsonl")
    return {n.replace(out, "OUT"): (folder / n).read_bytes() for n in names if (folder / n).exists()}


def test_a_spent_budget_loses_nothing(run: Runner) -> None:
    """Ten calls at a time: at the end the same files as of one run, and no request twice."""
    run("whole.jsonl", rounds=2)
    wanted, sent = everything(run.folder, "whole.jsonl"), len(run.server.seen)
    run.server.seen.clear()
    for budget in range(10, sent, 10):
        with pytest.raises(BudgetError):
            run(rounds=2, budget_calls=budget)
        assert not (run.folder / "out.jsonl").exists()
    run(rounds=2)
    assert everything(run.folder) == wanted
    assert len(run.server.seen) == sent


def test_concurrency_changes_nothing(run: Runner) -> None:
    results = []
    for n in (1, 3, 64):
        run(f"{n}.jsonl", rounds=2, concurrency=n)
        results.append(everything(run.folder, f"{n}.jsonl"))
    assert results[0] == results[1] == results[2]


def test_offline_writes_what_it_has(run: Runner) -> None:
    with pytest.raises(BudgetError):
        run(budget_calls=10)
    result = run(offline=True)
    dropped = result.counts["dropped"]
    assert set(dropped) == {"no-reply:not-asked"}
    assert result.counts["kept"] + dropped["no-reply:not-asked"] == 6
    assert (result.unanswered, result.exit_code) == (dropped["no-reply:not-asked"], 1)
    assert run().run["calls"] == 8


def test_batches_in_waves(run: Runner) -> None:
    """Requests that depend on replies come in later files; the output is that of a run without batches."""
    run("whole.jsonl")
    wanted = everything(run.folder, "whole.jsonl")
    sent = len(run.server.seen)
    sizes = []
    while True:
        found = run(batch="export")
        assert isinstance(found, Exported)
        if not found.requests:
            break
        sizes.append(found.requests)
        folder = Path(found.folder)
        results = []
        for row in (r for f in found.files for r in lines(folder / f.name)):
            status, body = run.server.answer(row["body"])
            results.append({"custom_id": row["custom_id"], "response": {"status_code": status, "body": body}, "error": None})
        written(folder / f"results-{len(sizes)}.jsonl", results)
        assert isinstance(run(batch="import"), Imported)
    assert sizes == [6, 6, 6]
    del run.server.seen[sent:]
    run()
    assert everything(run.folder) == wanted
    assert len(run.server.seen) == sent


def command(folder: Path, url: str, *options: str) -> list[str]:
    program = [sys.executable, "-m", "prefdata.cli.main", "revise", "prompts.jsonl", "-o", "out.jsonl"]
    return [*program, "--model", "m", "--base-url", url, "--rounds", "2", "--concurrency", "4", *options]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL while the server works on its n-th request, again and again: the file is that of a quiet run, and no more requests are
    repeated than were in flight."""
    (tmp_path / "calm").mkdir()
    with scripted() as server:
        calm = Runner(tmp_path / "calm", server)
        calm(rounds=2)
        wanted, sent = everything(tmp_path / "calm"), len(server.seen)

    process: list[subprocess.Popen[bytes]] = []
    kill_at = {7, 15, 24}

    def say(body: Body) -> Any:
        if len(server.seen) in kill_at:
            kill_at.discard(len(server.seen))
            os.kill(process[-1].pid, signal.SIGKILL)
        return plain(body)

    with scripted(say) as server:
        written(tmp_path / "prompts.jsonl", PROMPTS)
        codes = []
        for _ in range(4):
            process.append(subprocess.Popen(command(tmp_path, server.url), cwd=tmp_path, stderr=subprocess.PIPE))
            process[-1].communicate(timeout=60)
            codes.append(process[-1].returncode)
        assert codes == [-signal.SIGKILL] * 3 + [0]
        assert everything(tmp_path) == wanted
        assert sent <= len(server.seen) <= sent + 3 * 4


def test_reparse(run: Runner) -> None:
    """The journal knows the command, and makes the same files of its replies."""
    run(rounds=2)
    sent, wanted = len(run.server.seen), everything(run.folder)
    program = [sys.executable, "-m", "prefdata.cli.main", "journal", "reparse", "out.jsonl.journal", "-o", str(run.folder / "again.jsonl")]
    done = subprocess.run(program, cwd=run.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert everything(run.folder, "again.jsonl") == wanted
    assert len(run.server.seen) == sent


def test_commands(run: Runner) -> None:
    def call(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "prefdata.cli.main", "revise", *arguments]
        return subprocess.run(program, cwd=run.folder, capture_output=True, text=True, input=stdin)

    done = call("-", "-o", "-", "--model", "m", "--base-url", run.server.url, "-q", stdin='{"prompt": "Why?"}\n{"prompt": 3}\n')
    assert done.returncode == 1, done.stderr
    assert [json.loads(line)["prompt"][0]["content"] for line in done.stdout.splitlines()] == ["Why?"]
    assert {p.name for p in run.folder.iterdir()} >= {"prefdata.journal", "prefdata.steps.jsonl", "prefdata.rejects.jsonl"}
    told = call("prompts.jsonl", "-o", "x.jsonl", "--model", "m", "--base-url", run.server.url, "--json")
    assert json.loads(told.stdout)["counts"]["kept"] == 6
    assert call("prompts.jsonl", "-o", "x.jsonl").returncode == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": None}, "--model: which model"),
        ({"draft": "chosen"}, "prompts alone and have no answer"),
        ({"constitution": "nowhere"}, "nowhere"),
        ({"about": ["honesty"], "constitution": "OWN"}, "no principle about honesty"),
        ({"constitution": "COMPARES"}, "no critique pairs"),
        ({"journal": "JOURNAL"}, "is both the input"),
        ({"base_url": "ftp://x"}, "no address"),
    ],
)
def test_wrong_options(run: Runner, options: dict[str, Any], words: str) -> None:
    own = run.folder / "own.yaml"
    own.write_text("name: own\nversion: 1\nabout: x\ncritique:\n  - {id: a, critique: b, revision: c}\n")
    compares = run.folder / "compares.json"
    compares.write_text('["Which is kinder?"]')
    names = {"OWN": str(own), "COMPARES": str(compares), "JOURNAL": run.data}
    given = {k: names.get(v, v) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(UsageError, match=words):
        run(**given)
    assert run.server.seen == []


def test_own_constitutions(run: Runner) -> None:
    """A JSON of the paper's shape, and one value of ours."""
    file = run.folder / "upstream.json"
    file.write_text('{"k": {"prompt": ["\\n\\nCritiqueRequest: Find harm.\\n\\nCritique:"], "edit_request": "Mend it."}}')
    run(constitution=str(file))
    reviews = [b for b in run.server.seen if asks_for(b) == "critique"]
    assert all(len(b["messages"]) == 2 and "CritiqueRequest: Find harm.\n" in b["messages"][1]["content"] for b in reviews)
    result = run("honest.jsonl", about=["honesty"])
    assert set(result.principles) <= {k.id for k in load("default").critique if k.about == "honesty"}
    manifest = json.loads((run.folder / "honest.jsonl.manifest.json").read_text())
    assert set(manifest["constitution"]["critique"]) == {k.id for k in load("default").critique if k.about == "honesty"}
    assert manifest["options"] == {"about": ["honesty"]}


Say = Callable[[Body], Any]


def test_refusing_servers(tmp_path: Path) -> None:
    """What the server refuses is the row's result; what fails for good leaves the row without a reply, to be asked for again."""

    def say(body: Body) -> Any:
        text = json.dumps(body["messages"])
        if "Question 1" in text:
            return 400, {"error": {"message": "filtered", "code": "content_filter"}}
        if "Question 2" in text and asks_for(body) == "revision":
            return 500, {"error": {"message": "oops"}}
        return plain(body)

    with scripted(say) as server:
        run = Runner(tmp_path, server)
        result = run(retries=0, resample=3)
        assert result.counts["kept"] == 4
        assert result.counts["dropped"]["draft-content-filter"] == 1
        assert [code for code in result.counts["dropped"] if code.startswith("no-reply:")]
        assert result.exit_code == 1
        asked = len(server.seen)
        server.say = plain
        again = run(retries=0, resample=3)
        assert (again.counts["kept"], again.counts["dropped"], len(server.seen)) == (5, {"draft-content-filter": 1}, asked + 1)
