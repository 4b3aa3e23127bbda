"""Batch files: every open request once, and whatever comes back, in whatever order and state, only replies become replies."""

from __future__ import annotations

import json
import random
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefdata.conversion.run import convert
from prefdata.errors import InputError, UsageError
from prefdata.io.journal import Journal, Stored
from prefdata.judges.judge import load
from prefdata.judges.options import JudgeOptions, LabelOptions
from prefdata.judges.plan import plan_of
from prefdata.judges.run import label
from prefdata.judges.subject import subject_of
from prefdata.llm.batch import Exported, Imported, export_batch, import_batch
from prefdata.llm.mock_completion import completion
from prefdata.llm.mock_judges import reply
from prefdata.llm.mock_prompt import asked
from prefdata.llm.mock_server import serving
from prefdata.llm.plan import Plan, Unanswered, answer
from prefdata.llm.request import Reply, Request, request


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(str(tmp_path / "out.journal")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "out.batch")


def ask(words: str, model: str = "m", sample: int = 0) -> Request:
    return request(model, [{"role": "user", "content": words}], 16, sample=sample)


def steps(*requests: list[Request]) -> Callable[[], Plan[list[str]]]:
    """A plan whose steps do not depend on replies."""

    def plan() -> Plan[list[str]]:
        said = []
        for step in requests:
            said += [r.text for r in (yield step)]
        return said

    return plan


def revising(words: str) -> Plan[str]:
    """A critique, then a revision that quotes it, and a note that depends on neither."""
    (critique,) = yield [ask(f"critique {words}")]
    revision, _ = yield [ask(f"revise {words} by {critique.text}"), ask(f"note {words}")]
    return revision.text


def retrying(words: str) -> Plan[str]:
    """A second try when the first answer says nothing."""
    (first,) = yield [ask(words)]
    if first.code == "dry" or first.text == "yes":
        return first.text
    (second,) = yield [ask(words, sample=1)]
    return second.text


def written(folder: str) -> list[dict[str, Any]]:
    paths = sorted(Path(folder).glob("requests-*.jsonl"))
    return [json.loads(line) for p in paths for line in p.read_text(encoding="utf-8").splitlines()]


def words_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["body"]["messages"][-1]["content"] for row in rows]


def said(text: str | None, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    return {"model": "m-2025", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage, **more}


def result(custom_id: str, status: int = 200, body: Any = None, error: Any = None) -> dict[str, Any]:
    return {
        "id": "batch_req_1",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": "r", "body": body},
        "error": error,
    }


def put(folder: str, *rows: Any, name: str = "output.jsonl") -> None:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows]
    (Path(folder) / name).write_bytes(b"".join(lines))


def test_every_open_request_once(journal: Journal, folder: str) -> None:
    """Steps that only wait for a warm cache are written together; equal requests of several plans once."""
    plans = [steps([ask("a")], [ask("b"), ask("c")]), steps([ask("a")], [ask("d", sample=1)]), steps([ask("d")])]
    found = export_batch(plans, journal, folder)
    rows = written(folder)
    assert words_of(rows) == ["a", "b", "c", "d", "d"]
    assert [r["custom_id"] for r in rows] == [r.id for r in (ask("a"), ask("b"), ask("c"), ask("d", sample=1), ask("d"))]
    for row in rows:
        assert list(row) == ["custom_id", "method", "url", "body"]
        assert (row["method"], row["url"]) == ("POST", "/v1/chat/completions")
        assert row["body"] == {"max_tokens": 16, "messages": row["body"]["messages"], "model": "m"}
    assert (found.requests, found.plans, found.finished, found.later) == (5, 3, 0, 0)
    assert found.most_tokens_out == 5 * 16
    about = json.loads((Path(folder) / "batch.json").read_text())
    assert about["files"] == [{"name": "requests-0001.jsonl", "model": "m", "requests": 5, "bytes": found.files[0].bytes}]
    assert (Path(folder) / "requests-0001.jsonl").stat().st_size == found.files[0].bytes
    assert found.lines()[0].startswith("batch: 5 requests, about ")
    assert "another round" not in "".join(found.lines())


def test_azure_has_its_own_path(journal: Journal, folder: str) -> None:
    export_batch([steps([ask("a")])], journal, folder, provider="azure")
    assert written(folder)[0]["url"] == "/chat/completions"


def test_files_have_limits_and_one_model_each(journal: Journal, folder: str) -> None:
    plans = [steps([ask(f"{i}", "one"), ask(f"{i}", "two")]) for i in range(10)]
    found = export_batch(plans, journal, folder, most_requests=4)
    assert [(f.model, f.requests) for f in found.files] == [("one", 4), ("two", 4), ("one", 4), ("two", 4), ("one", 2), ("two", 2)]
    for f in found.files:
        lines = (Path(folder) / f.name).read_text().splitlines()
        assert {json.loads(line)["body"]["model"] for line in lines} == {f.model}
        assert len(lines) == f.requests
    size = len((Path(folder) / "requests-0005.jsonl").read_bytes()) // 2
    found = export_batch(plans, journal, folder, most_bytes=3 * size)
    assert [f.requests for f in found.files if f.model == "one"] == [3, 3, 3, 1]
    assert all(f.bytes <= 3 * size for f in found.files)
    assert len(list(Path(folder).glob("requests-*.jsonl"))) == 8
    assert sum(f.requests for f in found.files) == len({r["custom_id"] for r in written(folder)}) == 20


def test_rounds(journal: Journal, folder: str) -> None:
    """What depends on a reply is written in the next round, with the reply in it, and never with a stand-in."""
    plans = [partial(revising, w) for w in ("x", "y")]
    found = export_batch(plans, journal, folder)
    assert words_of(written(folder)) == ["critique x", "note x", "critique y", "note y"]
    assert found.later == 2
    assert "another round is needed: 2 requests depend on these answers" in found.lines()
    put(folder, *[result(r["custom_id"], body=said(f"too {w}")) for r, w in zip(written(folder)[:3], ("long", "x", "dry"), strict=True)])
    got = import_batch(folder, journal)
    assert (got.read, got.stored, got.open) == (3, 3, 1)

    found = export_batch(plans, journal, folder)
    assert words_of(written(folder)) == ["revise x by too long", "revise y by too dry", "note y"]
    assert (found.later, found.finished) == (0, 0)
    put(folder, *[result(r["custom_id"], body=said("done")) for r in written(folder)], name="second.jsonl")
    got = import_batch(folder, journal)
    assert (got.read, got.stored, got.known, got.unknown, got.open, got.exit_code) == (6, 3, 3, 0, 0, 0)

    found = export_batch(plans, journal, folder)
    assert (found.requests, found.finished, found.files) == (0, 2, [])
    assert written(folder) == []
    assert "without --batch writes the output" in found.lines()[0]
    assert [_answer(p(), journal) for p in plans] == ["done", "done"]


def _answer(plan: Plan[Any], journal: Journal) -> Any:
    def find(requests: list[Request]) -> list[Reply | None]:
        return [s and Reply(r.key, *s) for r, s in zip(requests, journal.find([r.key for r in requests]), strict=True)]

    return answer(plan, find, lambda r: journal.why(r.key))


def test_second_tries_come_in_the_next_round(journal: Journal, folder: str) -> None:
    plans = [partial(retrying, w) for w in ("x", "y")]
    found = export_batch(plans, journal, folder)
    assert words_of(written(folder)) == ["x", "y"]
    put(folder, *[result(r["custom_id"], body=said(t)) for r, t in zip(written(folder), ("yes", "hm"), strict=True)])
    import_batch(folder, journal)
    found = export_batch(plans, journal, folder)
    assert [r["custom_id"] for r in written(folder)] == [ask("y", sample=1).id]
    assert found.finished == 1


def subjects(n: int) -> list[dict[str, Any]]:
    def turns(text: str) -> list[dict[str, Any]]:
        return [{"role": "assistant", "content": text}]

    return [
        {
            "id": f"{i:032x}",
            "prompt": [{"role": "user", "content": f"q{i}"}],
            "chosen": turns("a" * (i + 2)),
            "rejected": turns(f"b{i % 3}" * 2),
        }
        for i in range(n)
    ]


def mock(body: dict[str, Any]) -> dict[str, Any]:
    return completion(body, b"", reply("longest", asked(body)))


def test_a_judge_by_batch_says_the_same(journal: Journal, folder: str) -> None:
    """The statements of a whole judge, its replies out of two files in any order, are those of a server asked directly."""
    judge = load("pairwise")
    plans = [partial(plan_of, judge, subject_of(row), "m", "", JudgeOptions()) for row in subjects(30)]
    found = export_batch(plans, journal, folder)
    rows = written(folder)
    assert (len(rows), found.later) == (60, 0)  # both orders in one round
    results = [result(r["custom_id"], body=mock(r["body"])) for r in rows]
    random.Random(1).shuffle(results)
    put(folder, *results[:25], name="a.jsonl")
    put(folder, *results[25:], name="b.jsonl")
    got = import_batch(folder, journal, price_in=1.0, price_out=2.0)
    assert (got.stored, got.open, got.exit_code) == (60, 0, 0)
    direct = [answer(p(), lambda rs: [Reply(r.key, "ok", json.dumps(mock(json.loads(r.body))).encode()) for r in rs], str) for p in plans]
    assert [_answer(p(), journal) for p in plans] == direct
    tokens_in, tokens_out = (sum(r["response"]["body"]["usage"][k] for r in results) for k in ("prompt_tokens", "completion_tokens"))
    spent = journal.spent()
    assert spent[:3] == got.usage[:3]
    assert (spent.calls, spent.tokens_in, spent.tokens_out) == (60, tokens_in, tokens_out)
    assert spent.usd == pytest.approx(got.usage.usd) == pytest.approx((tokens_in + 2 * tokens_out) / 1e6)


ERRORS: list[tuple[dict[str, Any], str, bool]] = [
    (result("", 400, {"error": {"code": "context_length_exceeded", "message": "too long"}}), "context-length", True),
    (result("", 400, {"error": {"code": "content_filter", "message": "filtered"}}), "content-filter", True),
    (result("", 400, {"error": {"message": "bad parameter"}}), "bad-request", True),
    (result("", 400, None, {"object": "error", "message": "maximum context length is 8", "code": 400}), "context-length", True),
    (result("", 429, {"error": {"message": "slow down"}}), "rate-limited", False),
    (result("", 429, {"error": {"code": "insufficient_quota", "message": "pay"}}), "no-quota", False),
    (result("", 500, {"error": {"message": "oops"}}), "server-error", False),
    (result("", 503, None, {"message": "overloaded"}), "overloaded", False),
    (result("", 401, {"error": {"message": "who?"}}), "wrong-key", False),
    (result("", 404, {"error": {"message": "no such model"}}), "not-found", False),
    (result("", 200, {"choices": None}), "no-choices", False),
    (result("", 200, "text"), "no-choices", False),
    (result("", 200, None), "no-choices", False),
    ({"custom_id": "", "response": None, "error": {"code": "batch_expired", "message": "too late"}}, "batch-expired", False),
    ({"custom_id": "", "response": None, "error": {"code": "batch_cancelled", "message": "stopped"}}, "batch-cancelled", False),
    ({"custom_id": "", "response": None, "error": {"code": 7}}, "server-error", False),
    ({"custom_id": "", "response": {"status_code": 500, "message": "Internal Server Error"}, "error": None}, "server-error", False),
    ({"custom_id": "", "response": None, "error": "broken"}, "server-error", False),
]


@pytest.mark.parametrize(("row", "code", "stays"), ERRORS, ids=range(len(ERRORS)))
def test_errors(row: dict[str, Any], code: str, stays: bool, journal: Journal, folder: str) -> None:
    """Refusals are results of a row; everything else is noted and asked again."""
    plan = steps([ask("a")])
    export_batch([plan], journal, folder)
    put(folder, {**row, "custom_id": ask("a").id}, name="errors.jsonl")
    got = import_batch(folder, journal)
    stored = journal.find([ask("a").key])[0]
    if stays:
        assert stored is not None
        assert stored.code == code
        assert (got.stored, got.refused, got.exit_code) == (1, {code: 1}, 0)
        assert export_batch([plan], journal, folder).requests == 0
    else:
        assert stored is None
        assert journal.why(ask("a").key) == code
        assert (got.stored, got.failed, got.open, got.exit_code) == (0, {code: 1}, 1, 1)
        assert any(f"failed, {code}: 1 (" in line for line in got.lines())
        assert export_batch([plan], journal, folder).requests == 1
        assert isinstance(_answer(plan(), journal), Unanswered)
    assert journal.spent().tokens_in == 0


def test_damage_is_named_and_changes_nothing(journal: Journal, folder: str) -> None:
    plans = [steps([ask(w)]) for w in "abc"]
    export_batch(plans, journal, folder)
    good = [result(ask(w).id, body=said(w)) for w in "ab"]
    lines = [
        b"\n",
        good[0],
        b"[1]\n",
        {"custom_id": 3},
        {"custom_id": ask("a").id},
        {"custom_id": ask("a").id, "body": {}},
        b'{"custom_id": "' + b"x" * (9 << 20) + b'"}\n',
        b"\xff\n",
        good[1],
        good[1],
        result(ask("z").id, body=said("z")),
        result("../" + ask("c").id, body=said("c")),
        result(ask("c").id.upper(), body=said("c")),
        json.dumps(result(ask("c").id, body=said("c"))).encode()[:-9],
    ]
    put(folder, *lines)
    got = import_batch(folder, journal)
    path = f"{folder}/output.jsonl"
    assert [w.removeprefix(path).split(": ")[0] for w in got.where] == [":3", ":4", ":5", ":6", ":7", ":8", ":14"]
    assert "no object with a 'custom_id'" in got.where[0]
    assert "this is a request" in got.where[3]
    assert "longer than any reply" in got.where[4]
    assert "is it complete?" in got.where[6]
    assert (got.read, got.stored, got.known, got.unknown, got.damaged, got.open) == (13, 2, 1, 3, 7, 1)
    assert got.read == got.stored + got.known + got.unknown + sum(got.failed.values()) + got.damaged
    assert got.exit_code == 1
    assert got.served == {"m-2025": 2}
    assert [s and json.loads(s.raw)["choices"][0]["message"]["content"] for s in journal.find([ask(w).key for w in "abc"])] == [
        "a",
        "b",
        None,
    ]
    again = import_batch(folder, journal)
    assert (again.stored, again.known, journal.spent().calls) == (0, 3, 2)


def test_a_later_success_counts(journal: Journal, folder: str) -> None:
    """The error file of one batch and the output of the next one, read in this order: nothing has failed."""
    export_batch([steps([ask("a")])], journal, folder)
    put(folder, result(ask("a").id, 500, {"error": {"message": "oops"}}), name="1-errors.jsonl")
    put(folder, result(ask("a").id, body=said("a")), name="2-output.jsonl")
    got = import_batch(folder, journal)
    assert (got.read, got.stored, got.known, got.failed, got.exit_code) == (2, 1, 1, {}, 0)
    assert journal.failures() == {}


def test_no_usage_costs_the_most(journal: Journal, folder: str) -> None:
    export_batch([steps([ask("a")])], journal, folder)
    put(folder, result(ask("a").id, body=said("a", usage=None)))
    got = import_batch(folder, journal)
    assert got.estimated == 1
    assert journal.spent().tokens_out == 16
    assert journal.spent().tokens_in >= len(ask("a").body)


def test_other_files_stay(journal: Journal, folder: str) -> None:
    """An export replaces what exports wrote, and nothing else; one that fails leaves no batch.json."""
    export_batch([steps([ask(str(i))]) for i in range(5)], journal, folder, most_requests=2)
    put(folder, result(ask("0").id, body=said("0")))
    export_batch([steps([ask("1")])], journal, folder)
    assert sorted(p.name for p in Path(folder).iterdir()) == ["batch.json", "output.jsonl", "requests-0001.jsonl"]

    def broken() -> Plan[None]:
        yield [ask("2")]
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        export_batch([steps([ask("1")]), broken], journal, folder)
    assert sorted(p.name for p in Path(folder).iterdir()) == ["output.jsonl", "requests-0001.jsonl"]
    assert words_of(written(folder)) == ["1"]


def test_wrong_use(journal: Journal, folder: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no request files; --batch export writes them"):
        import_batch(folder, journal)
    export_batch([steps([ask("a")])], journal, folder)
    with pytest.raises(UsageError, match="has no results: put the output and error files"):
        import_batch(folder, journal)
    with pytest.raises(InputError, match="cannot be read"):
        import_batch(folder, journal, [str(tmp_path / "none.jsonl")])
    (Path(folder) / "requests-0001.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"requests-0001.jsonl:1: not a request"):
        import_batch(folder, journal, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export_batch([], journal, str(tmp_path / "file"))


def test_results_from_elsewhere(journal: Journal, folder: str, tmp_path: Path) -> None:
    export_batch([steps([ask("a")])], journal, folder)
    put(str(tmp_path), result(ask("a").id, body=said("a")), name="here.jsonl")
    assert import_batch(folder, journal, [str(tmp_path / "here.jsonl")]).stored == 1


def test_accounts_are_json(journal: Journal, folder: str) -> None:
    found: Exported = export_batch([steps([ask("a")])], journal, folder)
    put(folder, result(ask("a").id, body=said("a")))
    got: Imported = import_batch(folder, journal)
    assert json.loads(json.dumps(found.as_dict()))["requests"] == 1
    assert json.loads(json.dumps(got.as_dict()))["usage"] == {"calls": 1, "tokens_in": 100, "tokens_out": 7, "usd": 0.0}


OUTCOMES = st.sampled_from(["ok", "refused", "failed", "unknown", "torn"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 7), OUTCOMES), max_size=24), st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_journal_does_not_depend_on_order(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, str]], rng: random.Random, files: int
) -> None:
    """Any mix of results, in any order, over any files: a request has a reply if and only if some result was one, and counts balance."""
    tmp = tmp_path_factory.mktemp("order")
    folder = str(tmp / "batch")
    with Journal(str(tmp / "journal")) as journal:
        export_batch([steps([ask(str(i))]) for i in range(8)], journal, folder)
        rows = {
            "ok": lambda i: result(ask(str(i)).id, body=said(str(i))),
            "refused": lambda i: result(ask(str(i)).id, 400, {"error": {"message": "no"}}),
            "failed": lambda i: result(ask(str(i)).id, 500, {"error": {"message": "oops"}}),
            "unknown": lambda i: result(ask(f"other {i}").id, body=said("?")),
            "torn": lambda i: b'{"custom_id": "' + ask(str(i)).id.encode() + b'", "resp\n',
        }
        rng.shuffle(drawn)
        parts = [drawn[k::files] for k in range(files)]
        for k, part in enumerate(parts):
            put(folder, *[rows[what](i) for i, what in part], name=f"{k}.jsonl")
        got = import_batch(folder, journal)
        in_order = [d for part in parts for d in part]
        for i in range(8):
            kinds = [what for j, what in in_order if j == i and what in ("ok", "refused")]
            stored = journal.find([ask(str(i)).key])[0]
            expected = None if not kinds else "ok" if kinds[0] == "ok" else "bad-request"
            assert (stored and stored.code) == expected
            if expected == "ok":
                assert stored == Stored("ok", stored.raw)
                assert json.loads(stored.raw)["choices"][0]["message"]["content"] == str(i)
        assert got.read == len(drawn) == got.stored + got.known + got.unknown + sum(got.failed.values()) + got.damaged
        assert got.open == 8 - got.stored
        assert got.damaged == sum(what == "torn" for _, what in drawn)


def test_the_page_shows_what_export_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Callable[[str], Path]) -> None:
    page = Path(__file__).parents[2] / "docs" / "batch.md"
    shown = re.search(r"^```text\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    convert([str(real("llmbar/Adversarial_Neighbor.dataset.json"))], "pairs.parquet")
    found = label("pairs.parquet", "labelled.parquet", LabelOptions(judge=["pairwise"], model="gpt-5-mini", batch="export"))
    assert found.lines() == shown[1].splitlines()


def test_label_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Callable[[str], Path]) -> None:
    """Export, import, export, run: the output is that of a run with a server, byte for byte, and nothing is sent."""
    monkeypatch.chdir(tmp_path)
    convert([str(real("llmbar/Adversarial_Neighbor.dataset.json"))], "pairs.parquet")
    options = LabelOptions(judge=["pairwise-cot", "rubric"], model="mock", limit=20)
    with serving(lambda a: "Answer: B" if "1" in a.texts[0] else reply("longest", a)) as server:  # no last line: second tries
        label("pairs.parquet", "direct.parquet", options.model_copy(update={"base_url": [server.url]}))
        direct = server.stats.requests
        for number in range(5):
            found = label("pairs.parquet", "batch.parquet", options.model_copy(update={"batch": "export"}))
            if not found.requests:
                break
            rows = [result(r["custom_id"], body=_asked(server.url, r["body"])) for r in written("batch.parquet.batch")]
            put("batch.parquet.batch", *rows, name=f"results-{number}.jsonl")
            label("pairs.parquet", "batch.parquet", options.model_copy(update={"batch": "import"}))
        assert server.stats.requests == 2 * direct
        label("pairs.parquet", "batch.parquet", options.model_copy(update={"base_url": [server.url]}))
        assert server.stats.requests == 2 * direct
    assert number == 2  # a round of second tries
    assert Path("batch.parquet").read_bytes() == Path("direct.parquet").read_bytes()


def _asked(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)
