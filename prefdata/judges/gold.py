"""Which of two answers is better according to the records themselves: +1 for the first of the two, -1 for the second, 0 for a tie, None
where nothing is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prefdata.judges.statement import Row

SIGN = {"first": 1, "second": -1, "tie": 0}


def of_source(row: Row, i: int, j: int) -> int | None:
    """The record's own verdict: chosen (a tie where p_chosen is 1/2), ranks (lower is better), else scores."""
    if "chosen" in row:
        better = 0 if row.get("p_chosen") == 0.5 else 1
        return better if i == 0 else -better
    a, b = row["completions"][i], row["completions"][j]
    for name, direction in (("rank", -1), ("score", 1)):
        if a.get(name) is not None and b.get(name) is not None:
            return direction * (int(a[name] > b[name]) - int(a[name] < b[name]))
    return None


def of_people(row: Row, names: tuple[str, ...], i: int, j: int) -> int | None:
    """What more than half of the people say who have annotated the record."""
    return majority(sign for _, sign in votes(row, names, i, j))


def votes(row: Row, names: tuple[str, ...], i: int, j: int) -> Iterator[tuple[str, int]]:
    """What people said about two answers: who, and the verdict. Statements about one aspect count only where there are no others."""
    both = {names[i], names[j]}
    said = [
        a
        for a in row.get("annotations") or ()
        if a["kind"] == "human" and a["outcome"] in SIGN and len(a["completions"]) == 2 and {*a["completions"]} == both
    ]
    for a in [a for a in said if a["aspect"] is None] or said:
        yield a["annotator"], SIGN[a["outcome"]] * (1 if a["completions"][0] == names[i] else -1)


def majority(signs: Iterable[int]) -> int | None:
    """What more than half say; a tie where no side has more than half, None where nobody says anything."""
    said = list(signs)
    if not said:
        return None
    return next((side for side in (1, -1) if 2 * said.count(side) > len(said)), 0)
