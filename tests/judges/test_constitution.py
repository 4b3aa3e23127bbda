"""Constitutions: what ships, the JSON shapes of the paper's repository, draws, and wrong files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import UsageError
from prefdata.judges.constitution import Constitution, as_manifest, draw, draw_pair, load, only
from prefdata.shipped import names

VALUES = {"harmlessness", "helpfulness", "honesty", "anti-preachiness"}


def made(**changed: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "version": 1,
        "about": "Mine.",
        "comparison": [{"id": f"c{i}", "text": f"Which answer is better ({i})?", "about": "honesty"} for i in range(4)],
        "critique": [{"id": f"k{i}", "critique": f"Look for {i}.", "revision": f"Rewrite {i}."} for i in range(3)],
        **changed,
    }


def test_the_default_is_broad_enough() -> None:
    c = load("default")
    assert "default" in names("constitutions")
    assert len(c.comparison) >= 16
    assert len(c.critique) >= 16
    for part in (c.comparison, c.critique):
        assert min(Counter(p.about for p in part).values()) >= 4  # type: ignore[attr-defined]
        assert {p.about for p in part} == VALUES  # type: ignore[attr-defined]
    texts = [p.text for p in c.comparison] + [t for k in c.critique for t in (k.critique, k.revision)]
    assert len(set(texts)) == len(texts)
    assert len(c.examples) >= 3
    assert all(p.text.startswith(("Which answer", "Suppose", "A child", "Where ")) and "answer" in p.text for p in c.comparison)


def test_lists_of_the_paper(tmp_path: Path) -> None:
    """Texts that begin with a line break and end in ' Options:'; the layout is not part of the principle."""
    file = tmp_path / "RLMadisonInstructions.json"
    file.write_text(json.dumps(["\nWhich is kinder? Options:", "\nChoose the one with Options: in it. Options:", *["\nX. Options:"] * 8]))
    c = load(str(file))
    assert c.name == "rlmadisoninstructions"
    assert [p.text for p in c.comparison[:3]] == ["Which is kinder?", "Choose the one with Options: in it.", "X."]
    assert [p.id for p in c.comparison][::9] == ["p01", "p10"]
    assert c.critique == []
    with pytest.raises(UsageError, match="no critique pairs"):
        draw_pair(c, 0, "r", "round 1")


def test_objects_of_the_paper(tmp_path: Path) -> None:
    file = tmp_path / "pairs.json"
    bare = {"prompt": ["Find harm."], "edit_request": "Remove harm."}
    laid_out = {
        "prompt": ["\n\nCritiqueRequest: Find harm.\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Remove harm.\n\nRevision:",
    }
    several = {"prompt": ["Find harm.", "Find lies."], "edit_request": "Remove both."}
    file.write_text(json.dumps({"harmful0": laid_out, "harmful1": bare, "other": several}))
    c = load(str(file))
    assert [(k.id, k.critique, k.revision) for k in c.critique] == [
        ("harmful0", "Find harm.", "Remove harm."),
        ("harmful1", "Find harm.", "Remove harm."),
        ("other.1", "Find harm.", "Remove both."),
        ("other.2", "Find lies.", "Remove both."),
    ]
    with pytest.raises(UsageError, match="no comparison principles"):
        draw(c, 0, "r", "0:1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("3", "a constitution in JSON is"),
        ('["a", 1]', "entry 2"),
        ("[]", "has 'comparison' principles"),
        ('[" Options:"]', "at least 1 character"),
        ('{"a": {"prompt": "p", "edit_request": "e"}}', "the entry 'a'"),
        ('{"a": {"prompt": [], "edit_request": "e"}}', "the entry 'a'"),
        ('{"a": {"prompt": ["p"]}}', "the entry 'a'"),
        ('{"a b": {"prompt": ["p"], "edit_request": "e"}}', "critique.0.id"),
    ],
)
def test_wrong_json(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(content)
    with pytest.raises(UsageError) as e:
        load(str(file))
    assert words in str(e.value)
    assert str(file) in str(e.value)


def test_own_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(made()))
    assert load(str(file)) == Constitution.model_validate(made())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"comparison": [], "critique": []}, "has 'comparison' principles"),
        ({"comparison": [{"id": "a", "text": "x"}] * 2}, "used twice"),
        ({"comparison": [{"id": "a", "text": "x", "abuot": "honesty"}]}, "'about'"),
        ({"comparison": [{"id": "a", "text": "x", "about": "speed"}]}, "harmlessness"),
        ({"examples": [{"pair": "z", "prompt": "p", "draft": "d", "critique": "c", "revision": "r"}]}, "no critique pair is called ['z']"),
        ({"version": 0}, "version"),
    ],
)
def test_wrong_yaml(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(made(**changed)))
    with pytest.raises(UsageError) as e:
        load(str(file))
    assert words in str(e.value)


def test_missing_files() -> None:
    for name in ("nowhere.json", "nowhere.yaml", "nowhere"):
        with pytest.raises(UsageError, match="nowhere"):
            load(name)


def test_draws_are_uniform() -> None:
    """20,000 draws of 21 principles: chi-square has 20 degrees of freedom, and exceeds 45.3 once in a thousand times."""
    c = load("default")
    n = Counter(draw(c, 7, f"{i:032x}", "0:1").id for i in range(20_000))
    expected = 20_000 / len(c.comparison)
    assert len(n) == len(c.comparison) == 21
    assert sum((k - expected) ** 2 / expected for k in n.values()) < 45.3


def test_draws_of_one_record_are_independent() -> None:
    """Rounds 1 and 2 get the same one of 4 principles in a quarter of the records: 1,000 of 4,000, give or take 4 x 27.4."""
    c = Constitution.model_validate(made(critique=[{"id": f"k{i}", "critique": "a", "revision": "b"} for i in range(4)]))
    same = sum(draw_pair(c, 0, str(i), "round 1") == draw_pair(c, 0, str(i), "round 2") for i in range(4_000))
    assert abs(same - 1_000) < 110


def test_draws_stay_what_they_are() -> None:
    """Pinned: another value here means that replies in everybody's journals are asked for again."""
    c = Constitution.model_validate(made())
    assert [draw(c, 0, f"{i:032x}", "0:1").id for i in range(8)] == ["c3", "c2", "c2", "c3", "c2", "c3", "c0", "c0"]
    assert [draw_pair(c, 3, "r", f"round {k}").id for k in (1, 2, 3, 4)] == ["k1", "k1", "k0", "k0"]


@given(st.permutations(range(4)), st.integers(0, 2**63 - 1), st.text(max_size=8))
def test_the_order_of_the_file_does_not_matter(order: list[int], seed: int, record: str) -> None:
    c = Constitution.model_validate(made())
    other = c.model_copy(update={"comparison": [c.comparison[i] for i in order]})
    assert draw(c, seed, record, "0:1") == draw(other, seed, record, "0:1")


def test_a_new_principle_takes_its_share_only() -> None:
    """Of 5,000 draws the fifth principle takes 1,000 (give or take 4 x 28.3); all others stay."""
    c = Constitution.model_validate(made())
    wider = Constitution.model_validate(made(comparison=[*made()["comparison"], {"id": "new", "text": "Which?"}]))
    changed = [(a, b) for i in range(5_000) if (a := draw(c, 0, str(i), "x").id) != (b := draw(wider, 0, str(i), "x").id)]
    assert {b for _, b in changed} == {"new"}
    assert abs(len(changed) - 1_000) < 114


def test_values_can_be_picked() -> None:
    c = only(load("default"), ["honesty"])
    assert {p.about for p in c.comparison} == {p.about for p in c.critique} == {"honesty"}
    assert {e.pair for e in c.examples} <= {k.id for k in c.critique}
    with pytest.raises(UsageError, match="it has honesty"):
        only(Constitution.model_validate(made()), ["helpfulness"])


def test_manifests_know_every_text() -> None:
    """The hash of a text changes with the text alone."""
    a, b = (as_manifest(Constitution.model_validate(made())) for _ in range(2))
    other = made()
    other["critique"][1]["revision"] += "!"
    c = as_manifest(Constitution.model_validate(other))
    assert a == b
    assert [i for i in a["critique"] if a["critique"][i] != c["critique"][i]] == ["k1"]
    assert a["comparison"] == c["comparison"]
    assert a["comparison"]["c0"] == "bde05aacfa1d9828"  # sha256 of "Which answer is better (0)?"


def test_they_are_listed() -> None:
    from prefdata.cli.list_ import TABLES

    rows = {r["name"]: r for r in TABLES["constitutions"]()}
    c = load("default")
    assert (rows["default"]["comparison"], rows["default"]["critique"]) == (len(c.comparison), len(c.critique))
    assert [p["id"] for p in rows["default"]["principles"]] == [p.id for p in (*c.comparison, *c.critique)]
