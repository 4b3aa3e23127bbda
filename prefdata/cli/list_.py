"""`prefdata list`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from prefdata.cli.options import guarded

HELP = """List the sources that can be converted, the rules of validate (with their limits), the targets of export, the judges and
constitutions of label and revise, the types of graders, the losses of train, or the recipes.

Examples:

  prefdata list sources

  prefdata list rules --json
"""


def _sources() -> list[dict[str, Any]]:
    from prefdata.sources import SOURCES, load

    return [
        {
            "name": n,
            "kind": "pair" if (s := load(n)).emits == "comparison" else s.emits,
            "title": s.title,
            "licence": s.licence,
            "url": s.url,
        }
        for n in SOURCES
    ]


def _rules() -> list[dict[str, Any]]:
    from prefdata.checks.rules import RULES

    return [
        {
            "code": r.code,
            "name": r.name,
            "severity": r.severity,
            "on": r.on,
            "kinds": list(r.kinds),
            "limits": r.limits,
            "message": r.message,
            "reason": r.reason,
            "bad": r.bad,
            "good": r.good,
            "fix": r.fix,
        }
        for r in RULES.values()
    ]


def _exporters() -> list[dict[str, Any]]:
    from prefdata.exporters.targets import TARGETS, load

    return [
        {"name": n, "form": form, "kind": f.kind, "what": f.what, "can": sorted(f.can), "version": t.version, "url": t.url}
        for n, t in ((n, load(n)) for n in TARGETS)
        for form, f in t.forms.items()
    ]


def _constitutions() -> list[dict[str, Any]]:
    from prefdata.judges.constitution import load
    from prefdata.shipped import names

    return [
        {
            "name": c.name,
            "version": c.version,
            "comparison": len(c.comparison),
            "critique": len(c.critique),
            "about": c.about,
            "principles": [p.model_dump(mode="json") for p in (*c.comparison, *c.critique)],
        }
        for c in map(load, names("constitutions"))
    ]


def _losses() -> list[dict[str, Any]]:
    import inspect

    from prefdata.errors import UsageError

    try:
        from prefdata.train.losses import LOSSES, OTHERS, method_of
        from prefdata.train.mix import options_of
    except ModuleNotFoundError as e:
        raise UsageError(f"the losses need {e.name}: pip install 'prefdata[train]'") from None

    def what(function: Any) -> str:
        return (inspect.getdoc(function) or "").partition("\n")[0]

    return [
        {
            "name": n,
            "method": "sft, dpo" if n == "sft" else method_of(loss),
            "rows": loss.rows,
            "reference": loss.reference,
            "options": options_of(loss),
            "what": what(loss.function),
        }
        for n, loss in LOSSES.items()
    ] + [
        {"name": n, "method": o.method or "function only", "rows": o.rows, "reference": False, "options": {}, "what": o.why}
        for n, o in OTHERS.items()
    ]


def _judges() -> list[dict[str, Any]]:
    from prefdata.judges.judge import as_yaml, load
    from prefdata.shipped import names

    return [as_yaml(load(n)) for n in names("judges")]


def _graders() -> list[dict[str, Any]]:
    import inspect

    from prefdata.graders.specs import TYPES

    return [
        {
            "type": n,
            "what": " ".join((inspect.getdoc(spec) or "").split()),
            "fields": [(f.alias or k) + ("" if f.is_required() else "?") for k, f in spec.model_fields.items()],
        }
        for n, spec in TYPES.items()
    ]


def _recipes() -> list[dict[str, Any]]:
    from prefdata.recipe.read import shipped

    return shipped()


TABLES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "sources": _sources,
    "rules": _rules,
    "exporters": _exporters,
    "judges": _judges,
    "graders": _graders,
    "losses": _losses,
    "constitutions": _constitutions,
    "recipes": _recipes,
}
SHOWN = {
    "sources": ("name", "kind", "title"),
    "rules": ("code", "name", "severity", "on", "limits"),
    "exporters": ("name", "form", "kind", "what"),
    "judges": ("name", "version", "ask", "about"),
    "graders": ("type", "what"),
    "losses": ("name", "method", "rows", "options", "what"),
    "constitutions": ("name", "version", "comparison", "critique", "about"),
    "recipes": ("name", "about"),
}
"""What a line of text shows; --json has everything."""


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def command(
    what: Annotated[
        Literal["sources", "rules", "exporters", "judges", "graders", "constitutions", "losses", "recipes"],
        typer.Argument(help="What to list."),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    def show() -> int:
        rows = TABLES[what]()
        if json_:
            import orjson

            print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
            return 0
        lines = [[_cell(r[k]) for k in SHOWN[what]] for r in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for cells in lines:
            print("  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip())
        return 0

    if code := guarded(show):
        raise typer.Exit(code)
