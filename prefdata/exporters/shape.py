"""What a record has that a target may have no place for: system texts, several turns, tools, ties, soft labels."""

from __future__ import annotations

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.target import Form
from prefdata.io.columns import TOOL_FIELDS

ANSWERS = {"pair": ("chosen", "rejected"), "binary": ("completion",), "listwise": ()}


def has_system() -> pl.Expr:
    return pl.col("prompt").list.first().struct.field("role") == "system"


def asked() -> pl.Expr:
    """The turns of the prompt without the system turn."""
    return pl.col("prompt").list.slice(has_system().cast(pl.Int64))


def _uses_tools(df: pl.DataFrame, column: str) -> pl.Expr:
    inner = df.schema[column].inner  # type: ignore[attr-defined]
    fields = [f.name for f in inner.fields if f.name in TOOL_FIELDS]
    turn = pl.element().struct
    used = pl.any_horizontal(turn.field("role") == "tool", *[turn.field(f).is_not_null() for f in fields])
    return pl.col(column).list.eval(used).list.any()


def skip(df: pl.DataFrame, kind: str, form: Form, o: ExportOptions) -> pl.Expr:
    """The code of the first reason for which a form cannot express a record, else null."""
    answers = ANSWERS[kind]
    cases: list[tuple[str, pl.Expr]] = []
    if kind == "pair" and "p_chosen" in df.columns:
        if "tie" not in form.can:
            cases.append(("tie", pl.col("p_chosen") == 0.5))
        if o.soft == "skip" and "soft-label" not in form.can:
            cases.append(("soft-label", pl.col("p_chosen") < 1))
    if "system" not in form.can and o.system == "skip":
        cases.append(("system-prompt", has_system()))
    if "tools" not in form.can:
        cases.append(("tool-calls", pl.any_horizontal(_uses_tools(df, c) for c in ("prompt", *answers))))
        if "tools" in df.columns and o.tools == "skip":
            cases.append(("tools", pl.col("tools").is_not_null()))
    if "multi-turn" not in form.can:
        cases.append(("multi-turn", asked().list.len() > 1))
    if "answer-turns" not in form.can and answers:
        cases.append(("answer-turns", pl.any_horizontal(pl.col(c).list.len() > 1 for c in answers)))
    if form.refuse is not None:
        cases.append(("", form.refuse(df, o)))
    parts = [pl.when(when).then(pl.lit(code)) if code else when for code, when in cases]
    return pl.coalesce(*parts, pl.lit(None, pl.String)).alias("_skip")


def merged(df: pl.DataFrame, form: Form, o: ExportOptions) -> pl.DataFrame:
    """The frame with system texts in front of the first user text, where the form has no place for them and the user wants it."""
    if "system" in form.can or o.system != "merge":
        return df
    first = pl.col("prompt").list.get(1, null_on_oob=True)
    text = pl.concat_str(pl.col("prompt").list.first().struct.field("content"), first.struct.field("content"), separator="\n\n")
    with_text = pl.concat_list(first.struct.with_fields(text.alias("content")))
    whole = pl.concat_list(with_text, pl.col("prompt").list.slice(2))
    return df.with_columns(pl.when(has_system()).then(whole).otherwise(pl.col("prompt")).alias("prompt"))


def lost(df: pl.DataFrame, form: Form) -> dict[str, int]:
    """How many of the records lose a soft label or a margin because the form has no place for it."""
    out = {}
    if "p_chosen" in df.columns and "soft-label" not in form.can:
        out["soft-label"] = df.select(((pl.col("p_chosen") < 1) & (pl.col("p_chosen") > 0.5)).sum()).item()
    if "margin" in df.columns and "margin" not in form.can:
        out["margin"] = df["margin"].is_not_null().sum()
    return {k: n for k, n in out.items() if n}


def text(column: str, place: str = "first") -> pl.Expr:
    """The text of the first (or last) turn of a column."""
    turn = pl.col(column).list.first() if place == "first" else pl.col(column).list.last()
    return turn.struct.field("content")


def plain(column: str) -> pl.Expr:
    """Turns as {role, content} alone."""
    turn = pl.element().struct
    return pl.col(column).list.eval(pl.struct(turn.field("role"), turn.field("content")))
