"""The page of a comparison of two policies: one HTML file that loads nothing, runs nothing, and holds texts of the data as texts only."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any

import polars as pl

from prefdata.checks.reports.clean import one_line
from prefdata.evaluate.policy_result import EvalPolicyResult
from prefdata.evaluate.policy_table import BASE, LOSS, TUNED, WIN
from prefdata.evaluate.policy_words import parts_rows
from prefdata.evaluate.rm_page import POLICY, STYLE, shown
from prefdata.evaluate.rm_table import Row, number, percent
from prefdata.report.svg import inline

SIDES = """
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1.2em}.sides>div{min-width:0}.wide td{overflow-wrap:anywhere}
@media(max-width:640px){.sides{display:block}}
"""


def page(result: EvalPolicyResult, table: pl.DataFrame, charts: dict[str, str], cases: int) -> str:
    """The whole page."""
    title = "Tuned against base"
    body = [f"<h1>{title}</h1>", f"<p>{_line(result.head())}. {_verdict(result.figures)}</p>"]
    body += [f"<p class=dim>note: {_line(n)}</p>" for n in result.notes]
    body += ["<h2>Figures</h2>", _rows(result.table()), "<h2>Charts</h2>", "<div class=charts>", *map(inline, charts.values()), "</div>"]
    if result.parts:
        body += [f"<h2>By {_line(result.parts['name'])}</h2>", _rows(parts_rows(result.parts), sections=False)]
    for outcome, words in ((WIN, "Gained most"), (LOSS, "Lost most")):
        found = most(table, outcome, cases)
        if found:
            body += [f"<h2>{words}</h2>", "<p class=dim>Long texts are shortened.</p>", *map(_case, found)]
    body += ["<h2>Account</h2>", *(f"<p>{_line(line)}</p>" for line in [*(f"file: {i['path']}" for i in result.inputs), *result.account()])]
    body.append(_policies(result.policies, result.how))
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}{SIDES}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def most(table: pl.DataFrame, outcome: str, n: int) -> list[dict[str, Any]]:
    """The rows of an outcome with the largest differences of scores (of a judge: probabilities), in order; of equal ones the first."""
    strength = next((pl.col(c) for c in ("difference", "p_tuned") if c in table.columns), pl.lit(0.0))
    found = table.filter(outcome=outcome).with_columns(_by=(strength if outcome == LOSS else -strength))
    return found.sort("_by", nulls_last=True, maintain_order=True).drop("_by").head(n).to_dicts()


def _verdict(f: dict[str, Any]) -> str:
    lc, value = f["length_controlled"], f["win_rate"]["value"]
    if value is None or lc is None:
        return ""
    return f"At equal length it would win {percent(lc['value'])}."


def _rows(rows: list[Row], sections: bool = True) -> str:
    out = []
    for section, found in groupby(rows, key=lambda r: r.section):
        out += [f"<tr><th colspan=4>{escape(section)}</th></tr>"] if sections else []
        for r in found:
            out.append(f"<tr><td>{_line(r.name)}</td><td class=n>{escape(r.value)}</td><td class=n>{escape(r.interval)}</td>")
            out.append(f"<td class=dim>{_line(r.more)}</td></tr>")
    return f"<table><tr><th></th><th>value</th><th>95 % interval</th><th></th></tr>{''.join(out)}</table>"


def _case(row: dict[str, Any]) -> str:
    strength, p = row.get("difference"), row.get("p_tuned")
    words = f"difference {number(strength)}" if strength is not None else row["outcome"]
    words = words if p is None else f"tuned is better with probability {p:.2f}"
    words += f" · {row['source']}" if row.get("source") else ""
    prompt = "\n".join(f"{t['role']}: {t['content']}" for t in row["prompt"])
    beginning = one_line(row["prompt"][-1]["content"], 60)
    out = [
        f"<details><summary>{_line(words)} · {escape(beginning)}</summary>",
        f'<b>prompt</b><pre dir="auto">{escape(shown(prompt))}</pre>',
    ]
    out.append('<div class="sides">')
    for name in (BASE, TUNED):
        score = row.get(f"score_{name}")
        about = [
            name,
            *([f"score {number(score)}"] if score is not None else []),
            f"{row[f'length_{name}']:,} characters",
            row[f"finish_{name}"] or "",
        ]
        out.append(f'<div><b>{_line(", ".join(a for a in about if a))}</b><pre dir="auto">{escape(shown(row[name]))}</pre></div>')
    return "".join(out) + f"</div><span class=dim>{_line(row['prompt_id'])}</span></details>"


def _policies(policies: list[dict[str, Any]], how: dict[str, Any]) -> str:
    names = list(dict.fromkeys(k for p in policies for k in p if k != "name"))
    cells = [f"<tr><td>{_line(k)}</td>{''.join(f'<td>{_line(str(p.get(k, chr(8211))))}</td>' for p in policies)}</tr>" for k in names]
    who = "".join(f"<tr><td>{_line(k)}</td><td colspan=2>{_line(str(v))}</td></tr>" for k, v in how.items() if not isinstance(v, dict))
    return f"<table class=wide><tr><th></th><th>{BASE}</th><th>{TUNED}</th></tr>{''.join(cells)}{who}</table>"


def _line(text: str) -> str:
    return escape(one_line(text))
