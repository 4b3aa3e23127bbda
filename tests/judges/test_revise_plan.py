"""The conversation about one answer: what the model is shown, what is taken of its replies, and what a round leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.errors import UsageError
from prefdata.judges.constitution import Constitution, load
from prefdata.judges.revise_options import ReviseOptions
from prefdata.judges.revise_plan import Prompt, Revised, Reviser, plan_of, reviser
from prefdata.llm.plan import Unanswered, answer, rehearse
from prefdata.llm.request import OK, Reply, Request

Body = dict[str, Any]
PAIRS = [{"id": f"k{i}", "critique": f"Look for fault {i}.", "revision": f"Mend fault {i}."} for i in range(3)]
OWN = Constitution.model_validate({"name": "own", "version": 2, "about": "Own.", "critique": PAIRS})
ASK = Prompt("r1", [{"role": "user", "content": "How do I get a stain out?"}], draft="Bleach it.")


def by(constitution: Constitution = OWN, **options: Any) -> Reviser:
    return reviser("m", constitution, ReviseOptions(model="m", **options))


def wire(content: str | None, finish: str | None = "stop", **message: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]})


def drive(prompt: Prompt, reviser_: Reviser, said: Callable[[Body, int], Any]) -> tuple[Revised, list[Body]]:
    """Run a plan; `said` gives the text, the body or the refusal code of the reply to the n-th request."""
    bodies: list[Body] = []

    def find(asked: Sequence[Request]) -> list[Reply | None]:
        out: list[Reply | None] = []
        for r in asked:
            bodies.append(orjson.loads(r.body))
            found = said(bodies[-1], len(bodies) - 1)
            raw, code = (found, OK) if isinstance(found, bytes) else (wire(found), OK)
            if isinstance(found, tuple):
                raw, code = b"", found[0]
            out.append(Reply(r.key, code, raw))
        return out

    done = answer(plan_of(prompt, reviser_), find, lambda r: "not-asked")
    assert not isinstance(done, Unanswered)
    return done, bodies


def script(*texts: Any) -> Callable[[Body, int], Any]:
    return lambda _body, n: texts[n]


def test_a_round() -> None:
    """Critique and revision, in the words of the pair that was drawn; the revision's request goes on where the critique's ended."""
    done, (first, second) = drive(ASK, by(), script("It ruins carpets.", "Use cold water."))
    (step,) = done.steps
    pair = next(p for p in PAIRS if p["id"] == step.pair)
    assert (done.draft, done.why, done.drafted) == ("Bleach it.", None, ())
    assert (step.round, step.outcome) == (1, "revised")
    assert (step.critique.text, step.revision and step.revision.text) == ("It ruins carpets.", "Use cold water.")
    assert [m["role"] for m in first["messages"]] == ["system", "user"]
    assert f"CritiqueRequest: {pair['critique']}" in first["messages"][-1]["content"]
    assert second["messages"][:2] == first["messages"]
    assert second["messages"][2] == {"role": "assistant", "content": "It ruins carpets."}
    assert second["messages"][3]["content"].startswith(f"RevisionRequest: {pair['revision']}\n")
    assert (first["temperature"], first["max_tokens"], second["max_tokens"]) == (1.0, 512, 1024)


def test_the_draft_is_asked_for_with_the_prompt_alone() -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi", "name": None}]
    done, bodies = drive(Prompt("r", turns), by(), script(" Hello.\n", "Cold.", "Good to see you."))
    assert bodies[0]["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert "tools" not in bodies[0]
    assert (done.draft, len(done.drafted)) == ("Hello.", 1)


def test_material_is_dropped_after_each_revision() -> None:
    """Three rounds: what a later round sees of the earlier ones is the last good text."""
    replies = ["CRITIQUE-1", "REVISION-1", "CRITIQUE-2", "REVISION-2", "CRITIQUE-3", "REVISION-3"]
    done, bodies = drive(ASK, by(rounds=3), script(*replies))
    assert [s.outcome for s in done.steps] == ["revised"] * 3
    seen = [json.dumps(b["messages"]) for b in bodies]
    shown = [{w for w in ("Bleach it.", *replies) if w in text} for text in seen]
    assert shown == [
        {"Bleach it."},
        {"Bleach it.", "CRITIQUE-1"},
        {"REVISION-1"},
        {"REVISION-1", "CRITIQUE-2"},
        {"REVISION-2"},
        {"REVISION-2", "CRITIQUE-3"},
    ]
    assert all("How do I get a stain out?" in text for text in seen)


def test_a_failed_round_leaves_the_answer_as_it_was() -> None:
    """Round 2 gives a critique in place of a revision, twice: round 3 begins with the revision of round 1."""
    bad = "The assistant's response is harmful."
    done, bodies = drive(ASK, by(rounds=3), script("C1", "REVISION-1", "C2", bad, bad, "C3", "REVISION-3"))
    assert [s.outcome for s in done.steps] == ["revised", "critique", "revised"]
    assert "REVISION-1" in bodies[5]["messages"][-1]["content"]
    assert bad not in json.dumps(bodies[5])
    assert [s.revision and s.revision.text for s in done.good] == ["REVISION-1", "REVISION-3"]
    assert len(done.steps[1].revision.requests) == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("The answer fails to warn.", "critique"),
        ("Bleach  it.", "unchanged"),
        ("", "empty"),
        (None, "empty"),
        (wire("Use cold", "length"), "cut-off"),
        (wire("Use cold water.", "content_filter"), "content-filter"),
        (wire(None, "tool_calls", tool_calls=[{"id": "1"}]), "tool-call"),
        (wire(None, refusal="I will not."), "refusal"),
        ("I cannot rewrite this.", "declined"),
        ("<think>Hm. The", "thoughts"),
        ("Here is the revised answer:", "empty"),
        ("In the revised version there is no bleach. Use water.", "talk"),
    ],
)
def test_what_is_no_revision(reply: Any, outcome: str) -> None:
    """It is asked for once more with a changed seed, and then there is no revision."""
    done, bodies = drive(ASK, by(), script("Some critique.", reply, reply))
    assert (done.steps[0].outcome, done.good) == (outcome, [])
    assert (bodies[1]["seed"], bodies[2]["seed"]) == (0, 1)
    saved, _ = drive(ASK, by(), script("Some critique.", reply, "Use cold water."))
    assert [s.outcome for s in saved.steps] == ["revised"]


def test_going_back_is_no_revision() -> None:
    """A text that a record had before is not written again as a better one."""
    done, _ = drive(ASK, by(rounds=2, resample=0), script("C1", "Use cold water.", "C2", "Bleach it."))
    assert [s.outcome for s in done.steps] == ["revised", "unchanged"]


def test_critiques_that_are_none() -> None:
    for reply, why in (
        ("", "empty"),
        (wire("It is", "length"), "cut-off"),
        ("Bleach it.", "copy"),
        (("content-filter",), "content-filter"),
    ):
        done, _ = drive(ASK, by(resample=0), script(reply))
        assert (done.steps[0].outcome, done.steps[0].revision) == (f"critique-{why}", None)


def test_drafts_that_are_none() -> None:
    for reply, why in (("", "empty"), (wire("It is", "length"), "cut-off"), (("context-length",), "context-length")):
        done, _ = drive(Prompt("r", ASK.turns), by(resample=0), script(reply))
        assert (done.why, done.steps, len(done.drafted)) == (f"draft-{why}", (), 1)


def test_refusals_of_the_server_are_not_asked_again() -> None:
    done, bodies = drive(ASK, by(resample=5), script("C", ("bad-request",)))
    assert (done.steps[0].outcome, len(bodies)) == ("bad-request", 2)


def test_second_tries_are_warmer() -> None:
    _, bodies = drive(ASK, by(temperature=0.0), script("C", "", "Use cold water."))
    assert [(b["temperature"], b.get("seed")) for b in bodies] == [(0.0, None), (0.0, None), (0.7, 1)]


def test_worked_examples_stand_in_front() -> None:
    """The same messages before every review, ending as the model's own conversation does; --examples says how many."""
    c = load("default")
    _, bodies = drive(ASK, by(c), script("C", "Use cold water."))
    start = bodies[0]["messages"][:-1]
    assert [m["role"] for m in start] == ["system", *["user", "assistant", "user", "assistant"] * len(c.examples)]
    for e, (review, critique, rewrite, revision) in zip(c.examples, (start[i : i + 4] for i in range(1, len(start), 4)), strict=True):
        pair = next(p for p in c.critique if p.id == e.pair)
        assert e.prompt in review["content"]
        assert e.draft in review["content"]
        assert pair.critique in review["content"]
        assert pair.revision in rewrite["content"]
        assert (critique["content"], revision["content"]) == (e.critique, e.revision)
    other = Prompt("r2", [{"role": "user", "content": "Else?"}], draft="No.")
    assert drive(other, by(c), script("C", "Yes."))[1][1]["messages"][: len(start)] == start
    assert len(drive(ASK, by(c, examples=1), script("C", "Use cold water."))[1][0]["messages"]) == 6
    assert len(drive(ASK, by(c, examples=0), script("C", "Use cold water."))[1][0]["messages"]) == 2


def test_principles_are_drawn_for_each_step() -> None:
    """By seed, record and round: other rounds and records get others, the same ones get the same."""
    fixed = script(*[t for k in range(16) for t in (f"C{k}", f"REVISION-{k}")])
    one, _ = drive(ASK, by(rounds=16), fixed)
    again, _ = drive(ASK, by(rounds=16), fixed)
    assert {s.pair for s in one.steps} == {"k0", "k1", "k2"}
    assert [s.pair for s in one.steps] == [s.pair for s in again.steps]
    assert [s.pair for s in one.steps] != [s.pair for s in drive(ASK, by(rounds=16, seed=1), fixed)[0].steps]
    two = Prompt("r2", ASK.turns, draft=ASK.draft)
    assert [s.pair for s in one.steps] != [s.pair for s in drive(two, by(rounds=16), fixed)[0].steps]


HOSTILE = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    | st.sampled_from(["{request}", "{{answer}}", "\n<<<end 0123456789ab>>>\n", "CritiqueRequest: ", "\r\n"])
).map("".join)


@settings(max_examples=300)
@given(HOSTILE, HOSTILE.filter(str.strip))
def test_texts_stay_inside_their_fences(prompt: str, draft: str) -> None:
    """Whatever a prompt or a draft contains: it stands whole between two lines that stand nowhere else in the message, and our words follow
    behind as they are."""
    asked = Prompt("r", [{"role": "user", "content": prompt}], draft=draft)
    done, bodies = drive(asked, by(resample=0), script("Some critique of it.", "Use cold water, in any case."))
    words = bodies[0]["messages"][-1]["content"]
    token = words.split(">>>", 1)[0].removeprefix("<<<conversation ")
    pair = next(p for p in PAIRS if p["id"] == done.steps[0].pair)
    begin = f"<<<conversation {token}>>>\n{prompt}\n<<<end {token}>>>\n\n<<<answer {token}>>>\n{draft}\n<<<end {token}>>>\n\n"
    assert words.startswith(f"{begin}CritiqueRequest: {pair['critique']}\n\n")
    assert words.count(token) == 4


def test_turns_and_tools_are_shown() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}
    turns = [
        {"role": "user", "content": "Look it up."},
        {"role": "assistant", "content": "", "tool_calls": [call], "name": None, "tool_call_id": None},
        {"role": "tool", "content": "42", "tool_calls": None, "name": None, "tool_call_id": "1"},
    ]
    tools = '[{"type": "function", "function": {"name": "look"}}]'
    _, bodies = drive(Prompt("r", turns, tools), by(), script("It is 42.", "Curt.", "The number is 42."))
    assert bodies[0]["tools"] == json.loads(tools)
    assert bodies[0]["messages"][1] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert bodies[0]["messages"][2] == {"role": "tool", "content": "42", "tool_call_id": "1"}
    shown = bodies[1]["messages"][-1]["content"]
    assert all(w in shown for w in ("Look it up.", 'look {"q": 1}', "42", tools))
    assert "tools" not in bodies[1]


def test_dry_runs_count_one_request_for_each_step() -> None:
    assert len(rehearse(plan_of(ASK, by(rounds=3)))) == 6
    assert len(rehearse(plan_of(Prompt("r", ASK.turns), by(rounds=3)))) == 7


def test_a_missing_reply_is_no_result() -> None:
    found = answer(plan_of(ASK, by()), lambda asked: [None] * len(asked), lambda r: "timeout")
    assert isinstance(found, Unanswered)
    assert found.why == "timeout"


def test_constitutions_without_critiques_cannot_revise() -> None:
    c = Constitution.model_validate({"name": "c", "version": 1, "about": "C.", "comparison": [{"id": "a", "text": "Which?"}]})
    with pytest.raises(UsageError, match="no critique pairs"):
        by(c)
