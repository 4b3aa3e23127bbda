"""Charts: what is drawn lies where the values say, texts are texts, and odd values neither break nor vanish silently."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.report import svg

TAG = "{http://www.w3.org/2000/svg}"
RANGES = st.tuples(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9)).filter(lambda r: r[1] > 1e-6 * abs(r[0]))


def points(path: str) -> list[tuple[float, float]]:
    return [tuple(map(float, p.split())) for p in path[1:].split("L")]  # type: ignore[misc]


def drawn(text: str, name: str) -> list[list[tuple[float, float]]]:
    """The points of all paths of a class."""
    return [points(p.get("d", "")) for p in ET.fromstring(text).iter(f"{TAG}path") if name in (p.get("class") or "").split()]


def test_a_curve_is_where_its_values_are() -> None:
    text = svg.curve({"loss": ([0, 50, 100], [1.0, 0.5, 0.0])}, "Loss", "step", "loss")
    ((a, b, c),) = drawn(text, "line")
    # 3 % of room at each side: x 0 lies 3/106 into a width of 640 − 68 − 16, y 0 as far above the bottom at 360 − 46
    assert a == pytest.approx((68 + 556 * 3 / 106, 58 + 256 * 3 / 106), abs=0.06)
    assert b == pytest.approx((68 + 556 / 2, 58 + 256 / 2), abs=0.06)
    assert c == pytest.approx((68 + 556 * 103 / 106, 314 - 256 * 3 / 106), abs=0.06)


def test_a_histogram_has_shares_of_each_series() -> None:
    """Four chosen in the upper half, two rejected in the lower: one bin each, full height."""
    text = svg.histogram({"chosen": [1, 1, 1, 1], "rejected": [0, 0]}, "Rewards", "reward", bins=2)
    chosen, rejected = drawn(text, "area")
    ground, top = 314.0, 58 + 256 * 0.05 / 1.05
    assert [y for _, y in chosen] == pytest.approx([ground, ground, ground, top, top, ground], abs=0.06)
    assert [y for _, y in rejected] == pytest.approx([ground, top, top, ground, ground, ground], abs=0.06)


def test_intervals_and_points_of_bars() -> None:
    text = svg.bars([("a", 0.5, 0.25, 0.75), ("b", 1.0, 0.5, 1.0)], "Accuracy", "accuracy")
    width = 640 - 16 - 220
    assert [[x for x, _ in line] for line in drawn(text, "line")] == [[220 + width / 4, 220 + 3 * width / 4], [220 + width / 2, 624.0]]
    assert [float(c.get("cx", "")) for c in ET.fromstring(text).iter(f"{TAG}circle")] == [220 + width / 2, 624.0]


def test_names_are_texts() -> None:
    hostile = "</title><script>alert('1')</script>&\"<b>"
    text = svg.curve({hostile: ([0, 1], [0, 1]), "b": ([0, 1], [1, 0])}, hostile, hostile, hostile, diagonal=True, dots=True)
    root = ET.fromstring(text)
    assert {e.tag.removeprefix(TAG) for e in root.iter()} <= {"svg", "title", "style", "text", "path", "rect", "g", "circle"}
    assert sum(hostile in (e.text or "") for e in root.iter()) == 4  # <title>, the title, both axes; the legend shows its beginning
    assert hostile[:27] + "…" in [e.text for e in root.iter()]


def test_what_is_no_number_is_left_out() -> None:
    text = svg.scatter({"a": ([0, 1, np.nan, 3], [0, np.inf, 2, 3])}, "t", "x", "y", level=1)
    assert text.count("<circle") == 2
    for empty in (
        svg.curve({}, "t", "x", "y"),
        svg.histogram({"a": [np.nan]}, "t", "x"),
        svg.bars([], "t", "x"),
        svg.scatter({}, "t", "x", "y"),
    ):
        ET.fromstring(empty)
        assert "nan" not in empty.partition("</style>")[2]
    ET.fromstring(svg.histogram({"a": [3, 3, 3]}, "t", "x", level=3))


def test_many_points_stay_a_small_file() -> None:
    x = np.arange(100_000)
    assert len(svg.curve({"a": (x, np.sin(x))}, "t", "x", "y")) < 40_000
    ((first, *_),) = drawn(svg.curve({"a": (x, x % 2)}, "t", "x", "y"), "line")
    assert first[1] == pytest.approx(58 + 128, abs=0.06)  # means, not every n-th: all lie in the middle
    assert svg.scatter({"a": (x, x)}, "t", "x", "y").count("<circle") == 2000


@given(RANGES)
def test_ticks_are_few_round_and_inside(given: tuple[float, float]) -> None:
    low, high = given[0], given[0] + given[1]
    found = svg.ticks(low, high)
    assert 2 <= len(found) <= 7
    room = 1e-8 * (high - low)
    assert all(low - room <= t <= high + room for t in found)


def test_a_chart_for_a_page_names_no_address() -> None:
    text = svg.curve({"a": ([0], [0])}, "t", "x", "y")
    assert re.findall("https?://", text) == ["http://"]  # the namespace, which files need
    assert "http" not in svg.inline(text)
