"""Whatever the texts: a score lies in its range or there is a reason, and it is the same every time."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.graders.run import Graded, grade_rows, load_grader
from tests.graders.rows import row

CHECKS = [
    load_grader({"type": "string_check", "input": "{{ sample.output_text }}", "reference": "{{ item.ref }}", "operation": op})
    for op in ("eq", "ne", "like", "ilike")
]
RANK = load_grader({"type": "rank_position", "reference": "{{ item.ref }}"})
LINES = load_grader({"type": "rank_position", "reference": "{{ item.ref }}", "format": "lines"})
BOTH = load_grader(
    {
        "type": "multi",
        "graders": {"same": CHECKS[0].given, "has": CHECKS[3].given, "place": RANK.given},
        "calculate_output": "max(0, min(1, (same + has) / 2)) * 1",
        "invalid_grade": 0,
    }
)
TEXTS = (
    st.text(max_size=30)
    | st.lists(st.text(max_size=5), max_size=5).map(json.dumps)
    | st.sampled_from(["null", "[1]", '{"a": NaN}', "\ud800"])
)


@settings(max_examples=200)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_in_range_and_the_same_again(pairs: list[tuple[str, str]]) -> None:
    rows: list[dict[str, Any]] = [row(said, ref=wanted) for said, wanted in pairs]
    for grader in (*CHECKS, RANK, LINES, BOTH):
        found = grade_rows(grader, rows)
        assert grade_rows(grader, rows) == found
        assert grade_rows(grader, rows[::-1]) == found[::-1]
        for g in found:
            assert (g.score is None) == (g.why is not None)
            assert g.score is None or 0 <= g.score <= 1


@given(TEXTS, TEXTS)
def test_eq_and_ne_are_opposites(said: str, wanted: str) -> None:
    eq, ne = (grade_rows(g, [row(said, ref=wanted)])[0] for g in CHECKS[:2])
    assert eq == Graded(float(said == wanted))
    assert ne == Graded(float(said != wanted))


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=2), min_size=1, max_size=8, unique=True), st.integers(0, 7))
def test_the_place_in_the_list(items: list[str], place: int) -> None:
    place %= len(items)
    assert grade_rows(RANK, [row(json.dumps(items), ref=items[place])]) == [Graded(1 / (1 + place))]
    assert grade_rows(LINES, [row("\n".join(f"{i}. {x}" for i, x in enumerate(items, 1)), ref=items[place])]) == [Graded(1 / (1 + place))]
