"""The page of an evaluation: one HTML file that loads nothing, runs nothing, and holds texts of the data as texts only."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any, NamedTuple

from prefdata.checks.reports.clean import one_line
from prefdata.evaluate.rm_result import EvalRmResult
from prefdata.evaluate.rm_table import number, percent, share
from prefdata.report.svg import inline

LONGEST = 700
"""Characters of an answer that are shown, about half of them its beginning and half its end."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Even if some text got out of its place, a browser would load and run nothing."""
STYLE = """
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;max-width:1010px;margin:2em auto;padding:0 1em;
color:#222;background:#fff}h1{font-size:1.4em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;margin:.5em 0}
th,td{padding:.2em .8em .2em 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}td.n{text-align:right;
font-variant-numeric:tabular-nums}.dim{color:#666}.charts{display:flex;flex-wrap:wrap;gap:1em}
.charts svg{width:480px;max-width:100%;height:auto}
details{border:1px solid #ddd;border-radius:6px;padding:.4em .8em;margin:.5em 0}summary{cursor:pointer}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.4 ui-monospace,monospace;margin:.3em 0 1em;unicode-bidi:plaintext}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}th,td,details{border-color:#444}.dim{color:#aaa}}
"""


class Case(NamedTuple):
    """A pair that the page shows: its record, and what the model made of it."""

    number: int
    record: dict[str, Any]
    chosen: float
    rejected: float
    lengths: tuple[int, int]


def page(result: EvalRmResult, charts: dict[str, str], cases: list[Case]) -> str:
    """The whole page."""
    title = f"Rewards of {_line(result.model['folder'])}"
    body = [f"<h1>{title}</h1>", f"<p>{escape(result.head())}. {_verdict(result)}</p>"]
    body += [f"<p class=dim>note: {_line(n)}</p>" for n in result.notes]
    body += ["<h2>Figures</h2>", _figures(result), "<h2>Charts</h2>", "<div class=charts>", *map(inline, charts.values()), "</div>"]
    for found, name in ((result.sources, "source"), (result.by, result.by["name"] if result.by else "")):
        if found is not None:
            body += [f"<h2>By {_line(name)}</h2>", _parts(found)]
    if cases:
        body += ["<h2>Lowest margins</h2>", "<p class=dim>Where the model most prefers what was rejected. Long texts are shortened.</p>"]
        body += [_case(c) for c in cases]
    body += ["<h2>Account</h2>", *(f"<p>{_line(line)}</p>" for line in [*map(_file, result.files), *result.account()])]
    body.append(f"<table>{''.join(_pair(k, v) for k, v in result.model.items() if v is not None)}</table>")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _verdict(result: EvalRmResult) -> str:
    a, n = result.figures["accuracy"], result.figures["length"]
    words = f"Accuracy {share(a)}"
    return words + (f"; always taking the longer answer gives {percent(n['longest_wins']['value'])}." if n else ".")


def _figures(result: EvalRmResult) -> str:
    out = []
    for section, found in groupby(result.table(), key=lambda r: r.section):
        out.append(f"<tr><th colspan=4>{escape(section)}</th></tr>")
        for r in found:
            out.append(
                f"<tr><td>{escape(r.name)}</td><td class=n>{escape(r.value)}</td><td class=n>{escape(r.interval)}</td>"
                f"<td class=dim>{escape(r.more)}</td></tr>"
            )
    return f"<table><tr><th></th><th>value</th><th>95 % interval</th><th></th></tr>{''.join(out)}</table>"


def _parts(found: dict[str, Any]) -> str:
    macro = found["macro"]
    out = ["<tr><th></th><th>pairs</th><th>accuracy</th><th>95 % interval</th><th>margin</th><th>log loss</th><th>longest wins</th></tr>"]
    if len(found["parts"]) > 1:
        out.append(_cells("macro average", f"{macro['n']:,} parts", macro, "", "", ""))
    for p in found["parts"]:
        longest = percent(p["longest_wins"]["value"]) if p["longest_wins"] else ""
        out.append(_cells(p["name"], f"{p['pairs']:,}", p["accuracy"], number(p["margin"]), number(p["log_loss"]), longest))
    return f"<table>{''.join(out)}</table>"


def _cells(name: str, pairs: str, r: dict[str, Any], *more: str) -> str:
    interval = f"{100 * r['low']:.1f} to {100 * r['high']:.1f}" if r["value"] is not None else ""
    cells = "".join(f"<td class=n>{escape(c)}</td>" for c in (pairs, percent(r["value"]), interval, *more))
    return f"<tr><td>{_line(name)}</td>{cells}</tr>"


def _case(c: Case) -> str:
    r = c.record
    words = f"margin {number(c.chosen - c.rejected)} · record {c.number + 1:,}" + (f" · {r['source']}" if r.get("source") else "")
    out = [f"<details><summary>{_line(words)}</summary>"]
    sides = (
        ("prompt", r["prompt"]),
        (f"chosen, reward {number(c.chosen)}, {c.lengths[0]:,} tokens", r["chosen"]),
        (f"rejected, reward {number(c.rejected)}, {c.lengths[1]:,} tokens", r["rejected"]),
    )
    for name, turns in sides:
        text = "\n".join(f"{t['role']}: {t['content']}" for t in turns)
        out.append(f'<b>{escape(name)}</b><pre dir="auto">{escape(shown(text))}</pre>')
    if r.get("id"):
        out.append(f"<span class=dim>{_line(r['id'])}</span>")
    return "".join(out) + "</details>"


def shown(text: str, most: int = LONGEST) -> str:
    """A text of at most about `most` characters, without characters that control or hide; its lines stay lines."""
    if len(text) > most:
        text = f"{text[: most // 2]}\n[… {len(text) - most:,} characters …]\n{text[-(most - most // 2) :]}"
    return "\n".join(one_line(line) for line in text.split("\n"))


def _line(text: str) -> str:
    return escape(one_line(text))


def _file(name: str) -> str:
    return f"file: {name}"


def _pair(key: str, value: Any) -> str:
    return f"<tr><td>{escape(key)}</td><td>{_line(str(value))}</td></tr>"
