"""README.md of an export: what the data is, where it came from, what was left out, and how to train on it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prefdata.exporters.about import About, lines
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.target import REASONS, Form, Target

if TYPE_CHECKING:
    from prefdata.exporters.run import ExportResult


def card(target: Target, form: Form, result: ExportResult, seen: About, options: ExportOptions) -> str:
    """A page of Markdown; for the hub form with the YAML block that `datasets` reads."""
    c = result.counts
    out = [*_front(form, result), f"# {options.name}", ""]
    out += [f"{c['kept']:,} rows for {target.title} ({target.version}), form `{result.form}`: {form.what}.", ""]
    out += ["| file | split | rows |", "|---|---|---|"]
    out += [f"| `{f['path']}` | {f['split']} | {f['rows']:,} |" for f in result.files if f["rows"]]
    out += ["", "## Sources", "", "| source | licence | rows |", "|---|---|---|"]
    by_source: Counter[str] = Counter()
    for (topic, value), n in seen.items():
        by_source.update({value: n} if topic == "source" else {})
    out += [f"| {_cell(s) or 'not stated'} | {_licence(s)} | {n:,} |" for s, n in by_source.most_common()]
    out += ["", "## Account", "", f"read {c['read']:,} = kept {c['kept']:,} + left out {sum(c['dropped'].values()):,}"]
    out[-1] += f" + rejected {sum(c['rejected'].values()):,}"
    reasons = {**REASONS, **target.reasons}
    out += ["", *[f"* left out, {n:,}: {code}, {reasons.get(code, code)}" for code, n in c["dropped"].items()]]
    out += [f"* rejected, {n:,}: {code}" for code, n in c["rejected"].items()]
    out += [f"* {n:,} written rows lost their {what}, for which the target has no place" for what, n in result.lost.items()]
    if form.kind == "pair":
        out += ["", "Ties (p_chosen 0.5) are " + ("written." if "tie" in form.can else "left out.")]
    out += lines(seen)
    if result.seen is not None:
        out += ["", *result.seen.section()]
    return "\n".join(out) + "\n"


def _front(form: Form, result: ExportResult) -> list[str]:
    """The YAML block of a data set card (https://huggingface.co/docs/hub/datasets-manual-configuration), where the files are Parquet."""
    if form.file != "parquet":
        return []
    splits = list(dict.fromkeys(f["split"] for f in result.files if f["rows"]))
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for s in splits:
        lines += [f"  - split: {s}", f"    path: data/{s}-*.parquet"]
    return [*lines, "---", ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")[:200]


def _licence(source: str) -> str:
    """The licence of a source that prefdata knows."""
    from prefdata.sources import SOURCES, load

    return load(source).licence if source in SOURCES else "unknown"
