"""Views and facts of rows, for tests of rule functions."""

from __future__ import annotations

from typing import Any

import polars as pl

from prefdata.checks.facts import FACTS, Facts
from prefdata.checks.view import Hits, View
from prefdata.schema import dtypes


def view(rows: list[dict[str, Any]], kind: str = "pair") -> View:
    there = {k for r in rows for k in r}
    return View(pl.DataFrame(rows, schema={k: t for k, t in dtypes.schema(kind).items() if k in there}), kind)


def found(hits: list[Hits]) -> list[int]:
    return sorted(i for h in hits for i in h.rows.tolist())


def facts(rows: list[dict[str, Any]], kind: str = "pair") -> Facts:
    names = ("prompt", "completion", "label") if kind == "binary" else ("prompt", "chosen", "rejected")
    loosely = () if kind == "binary" else tuple(f"loose_{n}" for n in names)
    return Facts(pl.DataFrame({n: FACTS[n](view(rows, kind)) for n in (*names, *loosely)}), ["f"])
