"""Writes what is derived from the code: `schemas/*.json`, and the pages of sources, rules, findings and export targets (make docs).
Tests fail when one is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefdata.checks.rules import FAMILIES, RULES
from prefdata.exporters.target import REASONS
from prefdata.exporters.targets import TARGETS
from prefdata.exporters.targets import load as load_target
from prefdata.recipe.schema import recipe_schema
from prefdata.schema import generate
from prefdata.sources import SOURCES, load
from prefdata.sources.source import Source

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
from reference_pages import api_page, cli_page, docstring  # noqa: E402
from source_rows import ROWS  # noqa: E402

from tests.checks.real_sets import COUNTS, SETS  # noqa: E402 - the counts that the tests hold the rules to


def sources_page() -> str:
    """The page of all sources: what each reads, what it gives, and its named defects."""
    out = [
        "# Sources",
        "",
        "What `prefdata convert --from NAME` reads; `auto` goes by the columns that each entry names. Generated from the code.",
        "",
        "Kinds: a *comparison* (two answers and a verdict) becomes a pair, or a listwise record with `--to listwise`.",
        "",
        "Rows are those that the publisher states, all splits together where nothing else is said; an empty cell is a number that nobody",
        "states, or a layout that many sets share. *Defects* are the named ones, for which rows are dropped or rejected and counted.",
        "Licences are the publisher's own statement; read it before you train.",
        "",
        "| source | kind | rows | licence | defects |",
        "|---|---|---|---|---|",
        *[_source_line(name, load(name)) for name in SOURCES],
        "",
    ]
    told: set[str] = set()
    for name in SOURCES:
        s = load(name)
        also = f" (also {', '.join(s.also)})" if s.also else ""
        link = f"[{s.url.split('//')[-1]}]({s.url.removeprefix('docs/')})"
        out += [f"## {name}", "", f"{s.title}. {link}. Licence: {s.licence}.", ""]
        signature = ", ".join(f"`{c}`" for c in sorted(s.signature)) or "only with `--from`"
        grouped = " Rows are grouped: the whole set is held in memory." if s.grouped else ""
        out += [f"Recognised by: {signature}. Gives: {s.emits}{also}.{grouped}", ""]
        if s.read.__module__ not in told:
            told.add(s.read.__module__)
            out += [*docstring(sys.modules[s.read.__module__].__doc__ or ""), ""]
        if s.dimensions:
            default = f" (default `{s.dimension}`)" if s.dimension else " (no default: choose)"
            out += [f"`--dimension`{default}:", "", *[f"* `{k}`: {d.meaning}" for k, d in s.dimensions.items()], ""]
        if s.defects:
            out += ["| code | rows are | because | documented |", "|---|---|---|---|"]
            for d in s.defects:
                cite = f"[{d.cite.split('//')[-1][:60]}]({d.cite})" if d.cite.startswith("http") else d.cite
                out.append(f"| `{d.code}` | {d.action}{'ped' if d.action == 'drop' else 'ed'} | {d.reason} | {cite} |")
            out.append("")
    return "\n".join(out)


def _source_line(name: str, s: Source) -> str:
    kinds = ", ".join([s.emits, *s.also])
    codes = [f"`{d.code}`" for d in s.defects]
    shown = ", ".join(codes[:3]) + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")
    return f"| [{name}](#{name}) | {kinds} | {ROWS.get(name, '')} | {s.licence} | {shown} |"


def rules_page() -> str:
    """The catalogue of rules."""
    out = [
        "# Rules",
        "",
        "What `prefdata validate` looks for. `--select PD2` takes all rules whose codes begin so; rules marked *off* run only when they",
        "are asked for (`--extend-select`). Limits are set with `--set CODE.limit=number`. This page is generated from the code.",
        "",
    ]
    for prefix, title in FAMILIES.items():
        out += [f"## {prefix}: {title}", "", "| code | name | severity | finds |", "|---|---|---|---|"]
        for r in RULES.values():
            if r.code.startswith(prefix):
                notes = f"{'' if r.on else ' (off)'}{' (--fix)' if r.safe else ''}"
                out.append(f"| [{r.code}](#{r.code.lower()}-{r.name}) | {r.name} | {r.severity}{notes} | {r.message} |")
        out.append("")
    for r in RULES.values():
        out += [f"### {r.code} {r.name}", "", f"{r.reason} Applies to: {', '.join(r.kinds)}.", ""]
        out += [f"* bad: `{r.bad}`", f"* good: `{r.good}`", f"* fix: {r.fix}"]
        if r.limits:
            out.append(f"* limits: {', '.join(f'`{name}` = {value:g}' for name, value in r.limits.items())}")
        out.append("")
    return "\n".join(out)


def findings_page() -> str:
    """What the rules find in public sets: the counts that a test holds them to."""
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    out = [
        "# Findings in public sets",
        "",
        "What all rules, also those that are off by default, find in real data sets (or the parts of them that the tests use), checked",
        "in place. A test holds every number. What is known of a set comes from its own documentation or from an independent count.",
        "This page is generated.",
        "",
    ]
    for name, s in SETS.items():
        found = counts[name]
        out += [f"## {name}", "", f"{found['rows']:,} rows. Known: {s.known}.", ""]
        if found["counts"]:
            out += ["| rule | findings |", "|---|---|"]
            out += [f"| [{c} {RULES[c].name}](rules.md#{c.lower()}-{RULES[c].name}) | {n:,} |" for c, n in found["counts"].items()]
        else:
            out.append("No findings.")
        out.append("")
    return "\n".join(out)


def exporters_page() -> str:
    """Whom records are written for."""
    out = [
        "# Export targets",
        "",
        "What `prefdata export --to NAME` writes. *Says* names what the rows can express besides one user turn and one answer; records",
        "with anything else are left out and counted. Generated from the code.",
        "",
        "| target | for | version read | forms | takes |",
        "|---|---|---|---|---|",
        *[_target_line(name) for name in TARGETS],
        "",
    ]
    for name in TARGETS:
        t = load_target(name)
        out += [f"## {name}", "", f"{t.title}, {t.version}. [{t.url.split('//')[-1]}]({t.url.removeprefix('docs/')})", ""]
        out += ["| form | takes | writes | file | says |", "|---|---|---|---|---|"]
        out += [f"| `{n}` | {f.kind} | {f.what} | {f.file} | {', '.join(sorted(f.can)) or '–'} |" for n, f in t.forms.items()]
        out += ["", *[f"* `{code}`: {why}" for code, why in t.reasons.items()], ""]
    out += ["## Reasons for any target", "", *[f"* `{code}`: {why}" for code, why in REASONS.items()]]
    return "\n".join(out) + "\n"


def _target_line(name: str) -> str:
    t = load_target(name)
    kinds = ", ".join(dict.fromkeys(f.kind for f in t.forms.values()))
    return f"| [{name}](#{name}) | {t.title} | {t.version} | {', '.join(f'`{f}`' for f in t.forms)} | {kinds} |"


PAGES = {
    "sources.md": sources_page,
    "rules.md": rules_page,
    "findings.md": findings_page,
    "exporters.md": exporters_page,
    "cli.md": cli_page,
    "api.md": api_page,
}


def main() -> None:
    generate.write(ROOT / "schemas")
    (ROOT / "schemas" / "recipe.json").write_text(recipe_schema(), encoding="utf-8")
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
