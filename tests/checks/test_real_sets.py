"""All rules on all real data sets: exact counts. `real_sets.py` writes them; every difference is to be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checks.real_sets import COUNTS, SETS, counts

EXPECTED = json.loads(COUNTS.read_text())


@pytest.mark.parametrize("name", SETS)
def test_real_set(name: str, real: Callable[[str], Path]) -> None:
    assert counts(SETS[name], real) == EXPECTED[name]
