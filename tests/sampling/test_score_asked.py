"""prefdata score with servers on loopback, judges and graders."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.llm.estimate import Estimate
from prefdata.llm.mock_server import serving
from prefdata.sampling.score import score as run
from prefdata.sampling.score_options import ScoreOptions
from tests.judges.labelling import listwise as qualities
from tests.judges.labelling import truthful
from tests.sampling.scoring import about, lists, listwise, made, rows_of, score, store, turns

Body = dict[str, Any]
Answer = tuple[int, Any]


class Server:
    """What a reward server was asked."""

    def __init__(self, url: str) -> None:
        self.url, self.asked = url, list[tuple[str, Body]]()


@contextmanager
def reward_server(answer: Callable[[str, Body], Answer]) -> Iterator[Server]:
    """A real server; `answer` gets the path and the body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((self.path, body))
            status, said = answer(self.path, body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def quality(text: str) -> float:
    """What the servers here think of an answer: its number of words, with a quarter that a float keeps."""
    return len(text.split()) + 0.25


def of_vllm(path: str, body: Body) -> Answer:
    """The shapes of vLLM's three interfaces."""
    frame = {
        "id": "x",
        "object": "list",
        "created": 1,
        "model": "rm",
        "usage": {"prompt_tokens": 9, "total_tokens": 9, "completion_tokens": 0},
    }
    assert body["use_activation"] is False
    if path == "/score":
        return 200, frame | {"data": [{"index": 0, "object": "score", "score": quality(body["text_2"])}]}
    text = body["messages"][-1]["content"] if "messages" in body else body["input"].rpartition(">")[2]
    if path == "/classify":
        return 200, frame | {"data": [{"index": 0, "label": "LABEL_0", "probs": [quality(text)], "num_classes": 1}]}
    assert path == "/pooling"
    return 200, frame | {"data": [{"index": 0, "object": "pooling", "data": [quality(text)]}]}


@pytest.mark.parametrize("api", ["score", "classify", "pooling"])
def test_the_shapes_of_vllm(api: str, tmp_path: Path) -> None:
    rows = lists(12)
    data, out = store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    with reward_server(of_vllm) as server:
        result = score(data, out, reward_server=f"{server.url}/v1", reward_api=api, model="rm", concurrency=8)
        assert result.exit_code == 0
        assert Counter(path for path, _ in server.asked) == {f"/{api}": sum(len(r["completions"]) for r in rows)}
        for r in rows_of(out):
            for c in r["completions"]:
                assert c["score"] == quality(c["messages"][0]["content"])
        one = server.asked[0][1]
        assert one["model"] == "rm"
        if api == "score":
            assert one["text_1"].startswith("why ")
        else:
            assert [m["role"] for m in one["messages"]] == ["user", "assistant"]
        asked = len(server.asked)
        assert score(data, out, reward_server=server.url, reward_api=api, model="rm").up_to_date
        score(data, out, reward_server=server.url, reward_api=api, model="rm", force=True)
        assert len(server.asked) == asked  # the journal has all replies
    request = rows_of(out)[0]["annotations"][0]
    assert (request["annotator"], request["kind"], len(request["request"])) == ("rm:rm", "reward_model", 64)


def test_several_outputs_of_a_server_and_several_servers(tmp_path: Path) -> None:
    def two(path: str, body: Body) -> Answer:
        return 200, {"data": [{"index": 0, "label": "a", "probs": [2.0, 4.0], "num_classes": 2}]}

    data = store(tmp_path / "in.jsonl", lists(20))
    with reward_server(two) as a, reward_server(two) as b:
        score(data, tmp_path / "out.jsonl", reward_server=f"{a.url},{b.url}", aspect_weights="0=1,1=-0.5")
        assert a.asked
        assert b.asked
    for r in rows_of(tmp_path / "out.jsonl"):
        assert {c["score"] for c in r["completions"]} == {0.0}
        host = r["annotations"][0]["annotator"]
        assert set(about(r, host, "1").values()) == {4.0}


def test_what_a_server_fails_at_is_invalid(tmp_path: Path) -> None:
    """A refusal, no number, one beyond all floats, several, a broken reply and an overload: each its reason, the others their scores."""

    def odd(path: str, body: Body) -> Answer:
        text = body["messages"][-1]["content"]
        answers: dict[str, Answer] = {
            "long": (400, {"error": {"message": "This model's maximum context length is 8 tokens", "code": 400}}),
            "none": (200, {"data": [{"index": 0, "probs": None}]}),
            "infinite": (200, b'{"data": [{"index": 0, "probs": [1e999]}]}'),
            "text": (200, {"data": [{"index": 0, "probs": ["1.0"]}]}),
            "bool": (200, {"data": [{"index": 0, "probs": [True]}]}),
            "two": (200, {"data": [{"index": 0, "probs": [1.0]}, {"index": 1, "probs": [2.0]}]}),
            "broken": (200, b"<html>"),
            "down": (503, b""),
        }
        return answers.get(text.split()[0], (200, {"data": [{"index": 0, "probs": [1.5]}]}))

    kinds = ["fine", "long", "none", "infinite", "text", "bool", "two", "broken", "down"]
    data = store(tmp_path / "in.jsonl", [*lists(5), listwise(9, kinds)])
    with reward_server(odd) as server:
        options = {"reward_server": server.url, "model": "rm", "retries": 0, "concurrency": 1}
        result = score(data, tmp_path / "out.jsonl", **options)
        assert result.exit_code == 1
        last = rows_of(tmp_path / "out.jsonl")[-1]
        assert [c["score"] for c in last["completions"]] == [1.5] + [None] * 8
        why = {a["completions"][0]: a["rationale"] for a in last["annotations"] if a["outcome"] == "invalid"}
        found = [why.get(c["id"]) for c in last["completions"]]
        lost = ["no-reply: broken-json", "no-reply: overloaded"]
        assert found == [None, "context-length", "no-score", "no-reply: broken-json", "no-score", "no-score", "no-score", *lost]
        assert result.passing >= 2
        asked = len(server.asked)
        again = score(data, tmp_path / "out.jsonl", **options)
        assert not again.up_to_date  # what may pass is asked again, and nothing else
        assert len(server.asked) - asked == result.passing


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with reward_server(lambda path, body: (404, {"detail": "Not Found"})) as server, pytest.raises(UsageError, match="does not know what"):
        score(store(tmp_path / "in.jsonl", lists(3)), tmp_path / "o.jsonl", reward_server=server.url)
    assert not (tmp_path / "o.jsonl").exists()
    with pytest.raises(UsageError, match="no address of a server"):
        score(str(tmp_path / "in.jsonl"), tmp_path / "o.jsonl", reward_server="localhost")


def test_the_template_of_a_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tests.train import tiny

    tiny.tokenizer(["a"]).save_pretrained(tmp_path / "words")
    with reward_server(lambda path, body: (200, {"data": [{"index": 0, "probs": [1.0]}]})) as server:
        score(
            store(tmp_path / "in.jsonl", [listwise(0, ["dog"])]),
            tmp_path / "o.jsonl",
            reward_server=server.url,
            tokenizer=str(tmp_path / "words"),
        )
    body = server.asked[0][1]
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "words")
    assert body["input"] == words.apply_chat_template([*turns("why 0", "user"), *turns("dog 0")], tokenize=False)
    assert body["add_special_tokens"] is False


def test_a_judge(tmp_path: Path) -> None:
    """The judges of label: the score is what they say, and what is dear is asked once."""
    rows = [qualities(n, [1, 5, 3 + n % 3]) for n in range(6)]
    data, out = store(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    with serving(judge=truthful) as server:
        options: dict[str, Any] = {"judge": "rubric", "model": "mock", "base_url": server.url}
        assert isinstance(run(data, str(out), ScoreOptions(**options, dry_run=True)), Estimate)
        assert server.stats.requests == 0
        result = score(data, out, **options)
        assert result.exit_code == 0
        assert server.stats.requests == result.run["calls"] == 18
        for n, r in enumerate(rows_of(out)):
            low, high, other = (c["score"] for c in r["completions"])
            assert low < high
            assert (other > low) and (n % 3 == 2 or other < high)
            assert {a["kind"] for a in r["annotations"]} == {"judge"}
        assert score(data, out, **options).up_to_date


def test_aspects_of_a_judge(tmp_path: Path) -> None:
    data = store(tmp_path / "in.jsonl", [qualities(0, [1, 5])])
    with serving(judge=truthful) as server:
        options: dict[str, Any] = {"judge": "multi-aspect", "model": "mock", "base_url": server.url}
        score(data, tmp_path / "mean.jsonl", **options)
        row = rows_of(tmp_path / "mean.jsonl")[0]
        named = {a["aspect"] for a in row["annotations"]} - {None}
        assert len(named) > 1
        one = sorted(named)[0]
        score(data, tmp_path / "one.jsonl", aspect_weights={one: 2.0}, **options)
        row = rows_of(tmp_path / "one.jsonl")[0]
        who = row["annotations"][0]["annotator"]
        assert [c["score"] for c in row["completions"]] == [2 * v for v in about(row, who, one).values()]


def test_graders(tmp_path: Path) -> None:
    """A documented grader, and a user's that fails: the failure is no number, and no zero."""
    (tmp_path / "exact.json").write_text(
        json.dumps(
            {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", "reference": "{{item.answer}}", "operation": "eq"}
        )
    )
    (tmp_path / "own.py").write_text(
        "def grade(sample, item):\n    text = sample['output_text']\n    if 'cat' in text: raise ValueError(text)\n    return len(text)\n"
    )
    row = listwise(0, ["dog", "cat", "fox"], meta=json.dumps({"answer": "fox 2"}))
    data = store(tmp_path / "in.jsonl", [row, listwise(1, ["fox"], meta=json.dumps({"answer": "x"}))])
    result = score(data, tmp_path / "out.jsonl", grader=str(tmp_path / "exact.json"))
    assert result.exit_code == 0
    found = rows_of(tmp_path / "out.jsonl")
    assert [c["score"] for c in found[0]["completions"]] == [0.0, 0.0, 1.0]
    assert {a["kind"] for a in found[0]["annotations"]} == {"rule"}
    with pytest.raises(UsageError, match="allow-code"):
        score(data, tmp_path / "own.jsonl", grader=f"{tmp_path}/own.py:grade")
    result = score(data, tmp_path / "own.jsonl", grader=f"{tmp_path}/own.py:grade", allow_code=True)
    found = rows_of(tmp_path / "own.jsonl")
    assert [c["score"] for c in found[0]["completions"]] == [5.0, None, 5.0]
    assert result.scores["scorers"]["grader:grade"]["invalid"] == {"raised": 1}
    assert score(data, tmp_path / "own.jsonl", grader=f"{tmp_path}/own.py:grade", allow_code=True).up_to_date


def test_an_answer_that_was_cut_off_is_not_graded(tmp_path: Path) -> None:
    (tmp_path / "exact.json").write_text(
        json.dumps({"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", "reference": "fox 0", "operation": "eq"})
    )
    row = listwise(0, ["fox", "fox"])
    end = {
        "annotator": "p",
        "kind": "source",
        "completions": [row["completions"][0]["id"]],
        "aspect": "finish_reason",
        "rationale": "length",
    }
    score(store(tmp_path / "in.jsonl", [row | {"annotations": [end]}]), tmp_path / "out.jsonl", grader=str(tmp_path / "exact.json"))
    found = rows_of(tmp_path / "out.jsonl")[0]
    assert [c["score"] for c in found["completions"]] == [None, 0.0]


def test_a_grader_does_not_see_the_other_answer(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def grade(sample, item):\n    return float('fox' in str(item)) + 2 * ('fox' in sample['output_text'])\n"
    )
    pair = made("pair", {"prompt": turns("why", "user"), "chosen": turns("fox"), "rejected": turns("dog")})
    data, out = store(tmp_path / "in.jsonl", [pair]), tmp_path / "out.jsonl"
    score(data, out, grader=f"{tmp_path}/own.py:grade", allow_code=True)
    assert about(rows_of(out, "pair")[0], "grader:grade") == {"chosen": 2.0, "rejected": 0.0}


def test_a_judge_and_a_grader_together(tmp_path: Path) -> None:
    """Scorers of several kinds: standardised, then their minimum."""
    (tmp_path / "long.json").write_text(
        json.dumps(
            {"type": "string_check", "name": "c2", "input": "{{sample.output_text}}", "reference": "candidate 2", "operation": "ilike"}
        )
    )
    data = store(tmp_path / "in.jsonl", [qualities(n, [1, 3, 5]) for n in range(3)])
    with serving(judge=truthful) as server:
        score(
            data, tmp_path / "o.jsonl", judge="rubric", model="m", base_url=server.url, grader=str(tmp_path / "long.json"),
            aggregate="min", standardise="prompt",
        )  # fmt: skip
    for r in rows_of(tmp_path / "o.jsonl"):
        low, middle, high = (c["score"] for c in r["completions"])
        assert low < middle < high
        assert set(about(r, "ensemble", "disagreement")) == {c["id"] for c in r["completions"]}


def test_the_command_line(tmp_path: Path) -> None:
    import subprocess
    import sys

    row = made("binary", {"prompt": turns("why", "user"), "completion": turns("fox"), "label": True})
    data = store(tmp_path / "in.jsonl", [row])
    (tmp_path / "g.json").write_text(
        json.dumps({"type": "string_check", "name": "g", "input": "{{sample.output_text}}", "reference": "fox", "operation": "eq"})
    )
    base = [sys.executable, "-m", "prefdata.cli.main", "score", data, "--grader", str(tmp_path / "g.json")]
    done = subprocess.run([*base, "-o", str(tmp_path / "o.jsonl")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert "candidates: 1, of which 1 have a score" in done.stderr
    done = subprocess.run([*base, "-o", "-", "-q"], capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout)["score"] == 1.0
