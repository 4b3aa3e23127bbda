"""What is asked, in which order, and what is asked again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.judges.annotations import annotations_of
from prefdata.judges.constitution import Constitution, Principle
from prefdata.judges.constitution import load as load_constitution
from prefdata.judges.fit import fit
from prefdata.judges.judge import Judge, load
from prefdata.judges.options import JudgeOptions
from prefdata.judges.plan import comparisons, plan_of
from prefdata.judges.reasons import UNFIT
from prefdata.judges.statement import Statement
from prefdata.judges.subject import subject_of
from prefdata.llm.plan import rehearse
from prefdata.llm.request import Reply, Request
from prefdata.schema.records import Annotation
from tests.judges.oracles import oracle
from tests.judges.reading import Body, Server, answers, binary, completion, drive, listwise, pair, shown, turn

PAIRWISE, COT, RUBRIC, LIST, CHECK, MULTI, REFERENCE, PRINCIPLED = (
    load(n) for n in ("pairwise", "pairwise-cot", "rubric", "listwise", "checklist", "multi-aspect", "reference", "constitution")
)
OURS = load_constitution("default")


def asked(judge: Judge, row: dict[str, Any], principles: Constitution | None = None, **options: Any) -> list[dict[str, Any]]:
    """The bodies of all requests when everything is answered at once."""
    return [json.loads(r.body) for r in rehearse(plan_of(judge, subject_of(row), "m", "", JudgeOptions(**options), principles))]


def orders(judge: Judge, row: dict[str, Any], **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(answers(b)) for b in asked(judge, row, **options)]


def test_a_request() -> None:
    body = asked(PAIRWISE, pair("yes", "no"))[0]
    assert {k: body[k] for k in ("model", "max_tokens", "temperature", "logprobs", "top_logprobs")} == {
        "model": "m", "max_tokens": 4, "temperature": 0.0, "logprobs": True, "top_logprobs": 20,
    }  # fmt: skip
    assert "seed" not in body
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert shown(body) == {"prompt": "Why is the sky blue?", "answer A": "yes", "answer B": "no"}
    assert body["messages"][1]["content"].endswith("\nAnswer:")
    # vLLM #4795: logprobs without top_logprobs is refused
    assert "logprobs" not in asked(PAIRWISE, pair("yes", "no"), logprobs="off")[0]
    assert "top_logprobs" not in asked(COT, pair("yes", "no"))[0]


def test_orders() -> None:
    row = pair("yes", "no")
    assert orders(PAIRWISE, row) == [("yes", "no"), ("no", "yes")]
    assert orders(PAIRWISE, row, order="given") == [("yes", "no")]
    drawn = Counter(orders(PAIRWISE, pair(f"yes{k}", f"no{k}"), order="random")[0][0][:2] for k in range(400))
    assert 150 < drawn["no"] < 250  # RewardBench draws from an unseeded generator: here it is the record's hash, the same in every run
    assert orders(PAIRWISE, row, order="random") == orders(PAIRWISE, row, order="random")
    assert len({orders(PAIRWISE, row, order="random", seed=s)[0] for s in range(20)}) == 2


def test_lists() -> None:
    row = listwise("a", "b", "c", "a")
    assert orders(PAIRWISE, row, order="given") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert orders(PAIRWISE, row, order="given", pairs="adjacent") == [("a", "b"), ("b", "c")]
    assert orders(PAIRWISE, row, order="given", pairs="best-worst") == orders(PAIRWISE, row, order="given")
    assert len(orders(PAIRWISE, row)) == 6
    assert orders(RUBRIC, row) == [("a",), ("b",), ("c",)]
    assert orders(LIST, row) == [("a", "b", "c"), ("c", "b", "a")]
    assert orders(LIST, row, order="given") == [("a", "b", "c")]
    drawn = {orders(LIST, row, order="random", seed=s)[0] for s in range(60)}
    assert len(drawn) == 6
    assert comparisons(subject_of(row), JudgeOptions(pairs="adjacent")) == [(0, 1), (1, 2)]
    assert list(shown(asked(LIST, row)[0])) == ["prompt", "answer 1", "answer 2", "answer 3"]  # numbered from 1 in every order


def test_votes_are_requests_of_their_own() -> None:
    requests = rehearse(plan_of(PAIRWISE, subject_of(pair("yes", "no")), "m", "p", JudgeOptions(votes=3, temperature=0.7)))
    assert len({r.key for r in requests}) == 6
    assert {r.pool for r in requests} == {"p"}
    assert [json.loads(r.body)["seed"] for r in requests] == [0, 1, 2, 0, 1, 2]
    assert {json.loads(r.body)["temperature"] for r in requests} == {0.7}


def test_votes_need_a_temperature() -> None:
    with pytest.raises(UsageError, match=r"--votes 3 at temperature 0.*--temperature 0\.7"):
        asked(PAIRWISE, pair("yes", "no"), votes=3)


def test_one_request_warms_the_prefix_cache() -> None:
    """The first goes out alone; the others share all that comes before the answers with it."""
    plan = plan_of(PAIRWISE, subject_of(listwise("a", "b", "c")), "m", "", JudgeOptions())
    first = next(plan)
    rest = plan.send([Reply(r.key, "dry") for r in first])
    assert (len(first), len(rest)) == (1, 5)
    texts = [json.loads(r.body)["messages"][1]["content"] for r in (*first, *rest)]
    start = texts[0].index("<<<answer A")
    assert {t[:start] for t in texts} == {texts[0][:start]}


def test_principles_come_last_and_are_those_of_both_orders() -> None:
    """One principle per comparison, whatever the order; another comparison of the list, another record or seed draws anew."""
    row = listwise("a", "b", "c")
    said: list[Statement] = drive(
        plan_of(PRINCIPLED, subject_of(row), "m", "", JudgeOptions(), OURS), oracle(PRINCIPLED, {"a": 3, "b": 2, "c": 1})
    )
    by_pair: dict[frozenset[int], set[str | None]] = {}
    for s in said:
        by_pair.setdefault(frozenset(s.shown), set()).add(s.aspect)
    assert {len(x) for x in by_pair.values()} == {1}
    assert {a["aspect"] for a in annotations_of(said, subject_of(row))} <= {p.id for p in OURS.comparison}
    text = asked(PRINCIPLED, row, OURS)[0]["messages"][1]["content"]
    principle = next(p for p in OURS.comparison if p.id == said[0].aspect)
    assert text.index(principle.text) > text.index("<<<answer B")

    def drawn(k: int, seed: int = 0) -> str:
        return str(asked(PRINCIPLED, pair(f"yes{k}", "no"), OURS, seed=seed)[0]["messages"][1]["content"].split("The principle: ")[1])

    # each comparison of a list draws for itself, and the order of the list counts for nothing
    lists = [listwise(*(f"{x}{k}" for x in "abc")) for k in range(10)]
    for row in lists:
        turned = {**row, "completions": row["completions"][::-1]}
        assert Counter(drawn_in(row)) == Counter(drawn_in(turned))
    assert max(len({principle for *_, principle in drawn_in(row)}) for row in lists) == 3

    counts = Counter(drawn(k) for k in range(640))
    assert len(counts) == len(OURS.comparison)
    assert max(counts.values()) < 4 * 640 / len(counts)
    assert len({drawn(0, seed) for seed in range(40)}) > 5


def drawn_in(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """The answers of each comparison (sorted) with its principle."""
    bodies = asked(PRINCIPLED, row, OURS, order="given")
    return [(*sorted(map(str, answers(b))), b["messages"][1]["content"].split("The principle: ")[1]) for b in bodies]


def test_a_principle_is_no_template() -> None:
    constitution = Constitution(name="x", version=1, about="", comparison=[Principle(id="p", text="Not {first} or {{second}} {")])
    assert "Not {first} or {{second}} {" in asked(PRINCIPLED, pair("yes", "no"), constitution)[0]["messages"][1]["content"]


def test_principles_need_a_constitution() -> None:
    with pytest.raises(UsageError, match="--constitution"):
        asked(PRINCIPLED, pair("yes", "no"))


def scripted(*replies: bytes) -> tuple[Server, list[Body]]:
    """A server that says one thing after the other, and what it was asked."""
    said, seen = iter(replies), []

    def server(body: Body) -> bytes:
        seen.append(body)
        return next(said)

    return server, seen


def run(judge: Judge, row: dict[str, Any], replies: Iterable[bytes], **options: Any) -> tuple[list[Statement], list[Body]]:
    server, seen = scripted(*replies)
    return drive(plan_of(judge, subject_of(row), "m", "", JudgeOptions(**options)), server), seen


def test_second_tries() -> None:
    """The same request says the same at temperature 0: a second try is warmer, with another seed and key. What was good is kept."""
    said, seen = run(PAIRWISE, pair("yes", "no"), [completion("Hm."), completion("B"), completion("A")])
    assert [s.verdict.outcome for s in said] == ["first", "second"]
    assert [b["temperature"] for b in seen] == [0.0, 0.0, 0.7]
    assert [b.get("seed") for b in seen] == [None, None, 1]
    assert seen[2]["messages"] == seen[0]["messages"]
    assert len({s.request for s in said}) == 2


def test_second_tries_end() -> None:
    bad = completion("Hm.")
    said, seen = run(PAIRWISE, pair("yes", "no"), [bad] * 8, resample=3)
    assert len(seen) == 8
    assert [s.verdict.why for s in said] == ["no-verdict", "no-verdict"]
    assert len(run(PAIRWISE, pair("yes", "no"), [bad] * 2, resample=0)[1]) == 2
    # what a server refuses once it refuses again, and a refusal to judge is an answer
    assert len(run(PAIRWISE, pair("yes", "no"), [completion(None, refusal="No.")] * 2)[1]) == 2


def test_second_tries_of_votes_are_other_samples() -> None:
    """No try repeats the key of a vote, or its reply would be taken from the journal."""
    keys: list[bytes] = []
    plan = plan_of(PAIRWISE, subject_of(pair("yes", "no")), "m", "", JudgeOptions(votes=2, resample=2, temperature=0.7))
    found: list[Request] = next(plan)
    with pytest.raises(StopIteration):
        while True:
            keys += [r.key for r in found]
            found = plan.send([Reply(r.key, "ok", completion("Hm.")) for r in found])
    assert len(keys) == len(set(keys)) == 12


def test_cut_off_replies_get_more_room() -> None:
    cut, whole = completion("because", finish="length"), completion("x\nAnswer: A")
    said, seen = run(COT, pair("yes", "no"), [cut, whole, whole])
    assert [b["max_tokens"] for b in seen] == [1024, 1024, 2048]
    assert [s.verdict.outcome for s in said] == ["first", "first"]


def test_dry_runs_count_first_tries() -> None:
    assert (
        len(rehearse(plan_of(PAIRWISE, subject_of(listwise("a", "b", "c")), "m", "", JudgeOptions(votes=2, resample=5, temperature=1))))
        == 12
    )


def test_structured_requests() -> None:
    body = asked(MULTI, pair("yes", "no"), structured="json_schema")[0]
    assert body["response_format"]["type"] == "json_schema"
    assert "logprobs" not in body  # log-probs of JSON are of masked tokens, and where the label stands differs between servers
    assert body["max_tokens"] > 48
    assert body["messages"][1]["content"].rstrip("}").endswith('"helpfulness":1')
    # in the request itself, where servers read the order
    form = asked(LIST, listwise("a", "b"), structured="json_schema")[0]["response_format"]
    assert list(form["json_schema"]["schema"]["properties"]) == ["rationale", "ranking"]


def test_room_for_every_criterion() -> None:
    row = binary("yes", meta=json.dumps({"checklist": [f"c{k}" for k in range(50)]}))
    assert asked(CHECK, row)[0]["max_tokens"] >= 50 * 6


def test_criteria_keep_to_their_lines() -> None:
    row = binary("yes", meta=json.dumps({"checklist": ["is short\n2. yes", {"text": "names\u2028a source", "weight": 2}]}))
    assert shown(asked(CHECK, row)[0])["criteria"] == "1. is short 2. yes\n2. names a source"


def test_checklist_scores_by_hand() -> None:
    """Σ w·pass / Σ w⁺ of weights 1, 2 and -1: (1 + 0 - 1)/3, and 2/3."""
    row = pair("yes", "no", meta=json.dumps({"checklist": ["a", {"text": "b", "weight": 2}, {"text": "c", "weight": -1}]}))
    said, _ = run(CHECK, row, [completion("1: yes\n2: no\n3: yes"), completion("1: no\n2: yes\n3: no")])
    assert [s.verdict.score for s in said] == [0, pytest.approx(2 / 3)]


@pytest.mark.parametrize(
    ("judge", "row", "why"),
    [
        (PAIRWISE, binary("yes"), "one-candidate"),
        (LIST, listwise("yes"), "one-candidate"),
        (PAIRWISE, listwise("yes", "yes"), "identical-candidates"),
        (LIST, listwise(*map(str, range(27))), "too-many-candidates"),
        (LIST, listwise(*map(str, range(26))), None),
        (LIST, listwise(*["a"] * 20, *map(str, range(10))), None),
        (REFERENCE, pair("yes", "no"), "no-reference"),
        (REFERENCE, pair("yes", "no", meta='{"reference": " "}'), "no-reference"),
        (REFERENCE, pair("yes", "no", meta='{"reference": ["r"]}'), "no-reference"),
        (REFERENCE, pair("yes", "no", meta="[]"), "no-reference"),
        (REFERENCE, pair("yes", "no", meta="{"), "no-reference"),
        (REFERENCE, pair("yes", "no", meta='{"reference": "r"}'), None),
        (CHECK, binary("yes"), "no-checklist"),
        (CHECK, binary("yes", meta='{"checklist": []}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": "be kind"}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": ["a", ""]}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": ["a", {"weight": 1}]}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": [{"text": "a", "weight": "2"}]}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": [{"text": "a", "weight": true}]}'), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": [{"text": "a", "weight": -1}]}'), "bad-checklist"),
        (CHECK, binary("yes", meta=json.dumps({"checklist": ["a"] * 101})), "bad-checklist"),
        (CHECK, binary("yes", meta='{"checklist": ["a"]}'), None),
        (RUBRIC, binary("yes"), None),
        # RewardBench gives conversations with more than four messages 0.5 without a word
        (PAIRWISE, pair("yes", "no", [turn("a", "user"), turn("b"), turn("c", "user"), turn("d"), turn("e", "user")]), None),
    ],
)
def test_records_that_cannot_be_asked_about(judge: Judge, row: dict[str, Any], why: str | None) -> None:
    """They have a reason, and nothing is sent."""
    assert fit(judge, subject_of(row)) == why
    assert why is None or why in UNFIT
    assert bool(asked(judge, row)) == (why is None)


def test_annotations() -> None:
    """Each names what was judged in the order shown, and fits the schema."""
    row = pair("good", "bad")
    for judge, n in ((PAIRWISE, 2), (RUBRIC, 2), (MULTI, 8), (LIST, 2)):
        said = drive(plan_of(judge, subject_of(row), "m", "", JudgeOptions()), oracle(judge, {"good": 5, "bad": 2}))
        made = annotations_of(said, subject_of(row))
        assert len(made) == n
        for a in made:
            assert Annotation.model_validate(a).annotator == judge.annotator("m")
            assert len(a["request"]) == 64
    first, second = annotations_of(
        drive(plan_of(PAIRWISE, subject_of(row), "m", "", JudgeOptions()), oracle(PAIRWISE, {"good": 5, "bad": 2})), subject_of(row)
    )
    assert (first["completions"], first["outcome"]) == (["chosen", "rejected"], "first")
    assert (second["completions"], second["outcome"]) == (["rejected", "chosen"], "second")
    assert first["p_first"] == pytest.approx(1 - second["p_first"])


def test_annotations_of_lists_and_failures() -> None:
    row = listwise("a", "b", "c")
    ids = [c["id"] for c in row["completions"]]
    said, _ = run(LIST, row, [completion("So.\nRanking: 2 > 1 = 3")], order="given")
    made = annotations_of(said, subject_of(row))
    assert [(a["completions"], a["outcome"]) for a in made] == [
        ([ids[0], ids[1]], "second"), ([ids[0], ids[2]], "tie"), ([ids[1], ids[2]], "first"),
    ]  # fmt: skip
    assert [a["rationale"] for a in made] == ["So.", None, None]
    said, _ = run(LIST, row, [completion("So.")], order="given", resample=0)
    assert [(a["completions"], a["outcome"]) for a in annotations_of(said, subject_of(row))] == [(ids, "invalid")]
    said, _ = run(MULTI, binary("a"), [completion("instruction-following: 4\ntruthfulness: N/A\nhonesty: 1\nhelpfulness: 2")])
    made = annotations_of(said, subject_of(binary("a")))
    assert [(a["aspect"], a["score"], a["outcome"], a["completions"]) for a in made] == [
        ("instruction-following", 4, None, []),
        ("truthfulness", None, "abstain", []),
        ("honesty", 1, None, []),
        ("helpfulness", 2, None, []),
    ]
    row = binary("a", meta='{"checklist": ["x", "y"]}')
    said, _ = run(CHECK, row, [completion("1: yes\n2: no")])
    assert [(a["aspect"], a["score"]) for a in annotations_of(said, subject_of(row))] == [(None, 0.5), ("1", 1), ("2", 0)]
