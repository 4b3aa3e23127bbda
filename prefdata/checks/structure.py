"""PD1: is the row a record? The wording of PD101 and of the role rules is the model's own."""

from __future__ import annotations

from prefdata.checks.facts import Facts, first_of
from prefdata.checks.rule import Rule
from prefdata.checks.view import Hits, View
from prefdata.schema.ids import add_ids


def stale_id(v: View) -> list[Hits]:
    if "id" not in v.df.columns:
        return []
    return v.rows((add_ids(v.df, v.kind, {c: v.turns(c).arrow for c in v.columns})["id"] != v.df["id"]).fill_null(False).to_numpy(), "id")


def duplicate_id(f: Facts) -> list[Hits]:
    first = first_of(f["id"])
    at = (first != range(len(f))).nonzero()[0]
    return [Hits(at, others=first[at])] if len(at) else []


RULES = (
    Rule(
        code="PD101",
        name="schema",
        severity="error",
        message="a field is missing or its value is not allowed",
        reason="Trainers fail on such rows, or train on something else.",
        bad='{"prompt": [], "chosen": null, …}',
        good='{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Hello"}], …}',
        fix="see 'prefdata schema KIND' for the fields",
    ),
    Rule(
        code="PD102",
        name="unknown-field",
        severity="warning",
        message="the file has columns that no record has",
        reason="A misspelt column (chosen_ for chosen) is silently ignored by everything that reads the file.",
        bad='{"id": "…", "chosen_response": "…"}',
        good='{"id": "…", "chosen": […]}',
        fix="rename the column, or put the value into meta",
    ),
    Rule(
        code="PD103",
        name="prompt-roles",
        severity="error",
        message="the roles of the prompt are out of order",
        reason="When turns do not alternate, chat templates raise, or render a conversation that never happened.",
        bad='"prompt": [{"role": "assistant", …}, {"role": "assistant", …}]',
        good='"prompt": [{"role": "system", …}, {"role": "user", …}]',
        fix="merge or remove the doubled turn at the source",
        field="prompt",
    ),
    Rule(
        code="PD104",
        name="answer-roles",
        severity="error",
        message="an answer does not begin and end with an assistant turn",
        reason="The loss is computed on the answer: a user turn in its place trains the model to speak for the user.",
        bad='"chosen": [{"role": "user", …}]',
        good='"chosen": [{"role": "assistant", …}]',
        fix="move the user turn into the prompt",
    ),
    Rule(
        code="PD105",
        name="blank-text",
        severity="error",
        message="a turn is blank",
        reason="A blank answer is a missing answer; after tokenising nothing is left to compare.",
        bad='{"role": "assistant", "content": " "}',
        good='{"role": "assistant", "content": "Hello."}',
        fix="drop the row",
    ),
    Rule(
        code="PD106",
        name="duplicate-id",
        severity="warning",
        message="the same content occurs before",
        reason="Repeated records count twice in training and leak between splits.",
        bad="two rows with the same prompt, chosen and rejected",
        good="one of them",
        fix="drop the repetition",
        across=duplicate_id,
        facts=("id",),
        safe=True,
    ),
    Rule(
        code="PD108",
        name="long-text",
        severity="error",
        message="a turn is longer than 16 MiB",
        reason="No model reads such a turn; it is a sign of rows that ran together.",
        bad='"content": "… 20 million characters …"',
        good='"content": "…"',
        fix="look for a missing line break or quote in the source",
    ),
    Rule(
        code="PD109",
        name="stale-id",
        severity="warning",
        message="the id is not the hash of the content",
        reason="Somebody edited the row after its id was made: what refers to the id now means another text.",
        bad='the answer was edited by hand, "id" was kept',
        good="prefdata convert FILE -o NEW makes the ids again",
        fix="run 'prefdata convert FILE -o NEW'",
        field="id",
        row=stale_id,
        safe=True,
    ),
)
