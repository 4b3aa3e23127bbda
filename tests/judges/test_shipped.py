"""The shipped judges, and what a wrong YAML is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.judges.constitution import load as load_constitution
from prefdata.judges.judge import Judge, load
from prefdata.judges.options import JudgeOptions
from prefdata.judges.plan import plan_of
from prefdata.judges.reasons import INVALID, SETTLED, UNFIT
from prefdata.judges.subject import subject_of
from prefdata.llm.mock_prompt import asked
from prefdata.llm.plan import rehearse
from prefdata.shipped import folder, names
from prefdata.yaml_files import parse
from tests.judges.reading import pair

NAMES = [
    "checklist", "constitution", "direct-rlaif", "listwise", "multi-aspect", "pairwise", "pairwise-cot", "reference", "rubric",
    "self-rewarding",
]  # fmt: skip
META = json.dumps({"reference": "It scatters.", "checklist": ["one", "two"]})


def body(judge: Judge, **options: Any) -> dict[str, Any]:
    row = pair("yes", "no", meta=META)
    requests = rehearse(plan_of(judge, subject_of(row), "m", "", JudgeOptions(**options), load_constitution("default")))
    found: dict[str, Any] = json.loads(requests[0].body)
    return found


def test_names() -> None:
    assert names("judges") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_files(name: str) -> None:
    """Named like the file, and beginning with a command that runs it."""
    text = (folder("judges") / f"{name}.yaml").read_text(encoding="utf-8")
    judge = load(name)
    assert judge.name == name
    assert judge.annotator("m") == f"{name}-v{judge.version}:m"
    assert re.match(rf"# [^\n]+\n#\n#   prefdata label DATA -o OUT --judge {name} ", text)
    assert judge.about.endswith(".")
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("name", NAMES)
def test_prompts(name: str) -> None:
    """Fences are explained, what changes from record to record comes after all words that do not, and the form of the answer comes last."""
    judge = load(name)
    assert judge.system is not None
    assert "<<<" in judge.system
    assert "instructions" in judge.system
    prompt = body(judge)["messages"][1]["content"]
    form = {"compare": "Answer:", "score": "Score:", "rank": "Ranking:", "aspects": "helpfulness:", "checklist": "2: no"}[judge.ask]
    assert form in prompt.strip().split("\n")[-1]
    assert prompt.index("<<<prompt") < prompt.index("<<<answer")
    if name == "reference":
        assert prompt.index("<<<prompt") < prompt.index("<<<reference") < prompt.index("<<<answer")


@pytest.mark.parametrize("structured", ["text", "json_schema"])
@pytest.mark.parametrize("name", NAMES)
def test_another_reader_understands_them(name: str, structured: str) -> None:
    """The mock server, which reads prompts as it finds them."""
    judge = load(name)
    found = asked(body(judge, structured=structured))
    assert found.form == judge.ask
    assert found.texts[0] == "yes"
    assert len(found.texts) == (2 if judge.ask in ("compare", "rank") else 1)
    assert found.reasons == judge.reasoning or structured == "json_schema" or name == "multi-aspect"
    if judge.ask in ("score", "aspects"):
        assert found.scale == judge.scale
    if judge.ask == "aspects":
        assert list(found.names) == [a.name for a in judge.aspects]


VALID = """\
name: mine
version: 1
ask: compare
about: Mine.
prompt: |-
  {first} {second} {"json": {"a": 1}}
  Answer:
"""


def wrong(text: str | bytes, model: type[Any] = Judge) -> str:
    with pytest.raises(UsageError) as e:
        parse(model, text.encode() if isinstance(text, str) else text, "mine.yaml")
    return str(e.value)


def test_an_own_judge(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(VALID, encoding="utf-8")
    assert load(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("about: Mine.", "about: Mine.\ntop_logprob: 5"),
            "mine.yaml: line 5: there is no key 'top_logprob'; did you mean 'top_logprobs'?",
        ),
        (("about: Mine.", "about: Mine.\nqqq: 5"), "mine.yaml: line 5: there is no key 'qqq'; it may have: name, version, "),
        (
            ("about: Mine.", "about: Mine.\naspects:\n  - name: x\n    abuot: y"),
            "line 6: aspects.0.about: Field required\nmine.yaml: line 7: there is no key 'abuot'; did you mean 'about'?",
        ),
        (("version: 1", "version: 0"), "mine.yaml: line 2: version: Input should be greater than or equal to 1"),
        (("name: mine\n", ""), "mine.yaml: line 1: name: Field required"),
        (("ask: compare", "ask: vote"), "line 3: ask: Input should be 'compare', 'score', 'aspects', 'checklist' or 'rank'"),
        (("{first}", "{frist}"), "the prompt uses ['frist']; a judge that asks for 'compare' has ['first', 'principle', "),
        (("{second}", ""), "the prompt lacks ['second']"),
        (("about: Mine.", "about: Mine.\nprinciples: true"), "'principles: true' and {principle} in the prompt go together"),
        (("about: Mine.", "about: Mine.\nclamp: [0.4, 0.7]"), "the bounds of 'clamp' lie around 0.5"),
        (("about: Mine.", "about: Mine.\nrescale: [-1, 1]"), "'rescale' goes from"),
        (("about: Mine.", "about: Mine.\nscale: [5, 1]"), "the scale goes from"),
        (("about: Mine.", "about: Mine.\nabout: Yours."), "line 5: 'about' stands here for the second time, after line 4"),
        (("about: Mine.", "about: [Mine."), "is not valid YAML: line 5, column "),
        (("about: Mine.", "about: yes"), "line 4: about: Input should be a valid string"),
        (("about: Mine.", "about: !!python/object/apply:os.system [ls]"), "could not determine a constructor for the tag"),
        (("about: Mine.", "? [a, b]\n: 1"), "line 4: a key is one word"),
        (("about: Mine.", "version: 2001-99-99"), "line 4: 'version' stands here for the second time"),
        (("version: 1", "version: 2001-99-99"), "is not valid YAML"),
        (("about: Mine.", "about: &a [*a]"), "too many or too deeply nested values"),
        (("about: Mine.", "about: " + "[" * 30 + "]" * 30), "too many or too deeply nested values"),
    ],
)
def test_wrong_judges(change: tuple[str, str], message: str) -> None:
    assert change[0] in VALID
    assert message in wrong(VALID.replace(*change))


def test_hostile_files(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "too many or too deeply nested" in wrong(bomb)
    assert "too" in wrong("[" * 100_000)
    assert "is not UTF-8 (byte 0)" in wrong(b"\xff\xfe")
    assert "is not valid YAML" in wrong("name: \x00")
    assert "has to be keys with values" in wrong("")
    assert "has to be keys with values" in wrong("- a")
    assert "is not valid YAML" in wrong("name: a\n---\nname: b")
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load(str(big))
    with pytest.raises(UsageError, match=r"no such file.*pairwise"):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match=r"no judge is called 'pairwize'.*pairwise"):
        load("pairwize")
    with pytest.raises(UsageError, match=r"no such file"):
        load(str(tmp_path) + "/")


def test_values_are_not_echoed() -> None:
    """A YAML may hold what nobody should see in a log."""
    assert "sk-secret" not in wrong(VALID.replace("version: 1", "version: sk-secret"))


def test_the_page_names_every_judge_and_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
    for name in (*NAMES, *UNFIT, *INVALID, *SETTLED):
        assert f"`{name}`" in page, name
    for key in Judge.model_fields.keys() - {"name", "version", "about"}:
        assert f"`{key}`" in page, key
