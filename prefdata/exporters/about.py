"""What a card says of the written records: where they come from, who judged them, and what else tells chosen from rejected."""

from __future__ import annotations

from collections import Counter

import polars as pl

About = Counter[tuple[str, str]]
"""How many records (or statements) by topic and value."""


def about(df: pl.DataFrame, kind: str) -> About:
    """Counts of a frame of records; those of several frames add up."""
    out: About = Counter()
    if not df.height:
        return out
    source = pl.col("source").fill_null("") if "source" in df.columns else pl.repeat("", pl.len(), dtype=pl.String)
    _count(out, "source", df.select(source.alias("v"))["v"])
    if "annotations" in df.columns:
        flat = df["annotations"].list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
        _count(out, "annotator", flat.select(pl.concat_str("annotator", pl.lit(" ("), "kind", pl.lit(")")).alias("v"))["v"])
    if kind == "pair":
        a, b = (_bytes(c) for c in ("chosen", "rejected"))
        sides = df.select(chosen=(a > b).sum(), rejected=(a < b).sum()).row(0, named=True)
        out.update({("longer", side): n for side, n in sides.items() if n})
    if kind == "binary":
        _count(out, "label", df.select(pl.col("label").cast(pl.String).alias("v"))["v"])
    return out


def _bytes(column: str) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().struct.field("content").str.len_bytes()).list.sum()


def _count(out: About, topic: str, values: pl.Series) -> None:
    for value, n in values.drop_nulls().value_counts().iter_rows():
        out[(topic, value)] += n


def lines(found: About) -> list[str]:
    """The annotators and the biases as Markdown; the sources have a table of their own."""
    topics: dict[str, Counter[str]] = {}
    for (topic, value), n in found.items():
        topics.setdefault(topic, Counter())[value] += n
    out = []
    if topics.get("annotator"):
        out += ["", "## Annotators", "", *[f"* {_plain(name)}: {n:,} statements" for name, n in topics["annotator"].most_common(20)]]
    if topics.get("longer") or topics.get("label"):
        out += ["", "## Balance", ""]
    if longer := topics.get("longer"):
        share = longer["chosen"] / longer.total()
        out.append(f"* The chosen answer is the longer one in {share:.1%} of {longer.total():,} pairs (by bytes; equal lengths left out).")
    if label := topics.get("label"):
        out.append(f"* {label['true'] / label.total():.1%} of {label.total():,} completions are desirable.")
    return out


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("[", "\\[")[:200]
