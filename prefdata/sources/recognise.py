"""Which source is this file? Columns first, then a second look at the first rows; the reason is always said."""

from __future__ import annotations

from typing import NamedTuple

from prefdata.errors import InputError, UsageError
from prefdata.io.probe import Probe
from prefdata.io.sniff import Input
from prefdata.sources import SOURCES, load
from prefdata.sources.source import Source


class NotRecognised(UsageError):
    """No source, or more than one, fits the columns of a file."""


class Unreadable(InputError):
    """None of the first rows of a JSON file can be read."""


class Recognised(NamedTuple):
    source: Source
    why: str


def named(name: str) -> Source:
    """The source of that name. Raises UsageError with the nearest names."""
    if name in SOURCES:
        return load(name)
    from difflib import get_close_matches

    near = get_close_matches(name, SOURCES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "'prefdata list sources' shows all of them"
    raise UsageError(f"unknown source {name!r}: {hint}")


def candidates(inp: Input, found: Probe) -> list[Source]:
    """The sources whose columns and look fit, the ones with most columns first."""
    columns = set(found.columns)
    out = []
    for source in map(load, SOURCES):
        if source.rows is not None:
            fits = inp.format == "xml" and source.looks is not None and source.looks([{"head": inp.head.decode("utf-8", "replace")}])
        else:
            fits = inp.format != "xml" and bool(source.signature) and source.signature <= columns
            fits = fits and (source.looks is None or source.looks(found.rows))
        if fits:
            out.append(source)
    return sorted(out, key=lambda s: -len(s.signature))


def _unreadable(inp: Input, found: Probe) -> str:
    """Why no row of a JSON file could be read, by its first lines."""
    if found.rows:
        return f"{inp.name}: its rows are objects without a key"
    start = inp.head.strip()[:60]
    line = start.partition(b"\n")[0]
    if line[:1] in b"{[":
        return f"{inp.name}: none of its first rows is a JSON object; the file begins with {line.decode('utf-8', 'replace')!r}"
    try:
        text = line.decode()
    except UnicodeDecodeError as e:
        if e.end < len(line):
            return f"{inp.name}: is neither JSON nor text; it begins with the bytes {line[:16]!r}"
        text = line.decode(errors="ignore")
    table = "; if it is a table, its name should end in .csv or .tsv" if "," in text or "\t" in text else ""
    return f"{inp.name}: is read as JSON, and begins with {text!r}{table}"


def recognise(inp: Input, found: Probe) -> Recognised:
    """The one source that fits best. Raises NotRecognised when none does or several do equally well, Unreadable when there are no rows."""
    fitting = candidates(inp, found)
    best = [s for s in fitting if len(s.signature) == len(fitting[0].signature)]
    if len(best) == 1:
        columns = ", ".join(sorted(best[0].signature)) or "its elements"
        look = " and its first rows look like it" if best[0].looks else ""
        return Recognised(best[0], f"it has the columns {columns}{look}")
    if best:
        names = ", ".join(s.name for s in best)
        raise NotRecognised(f"{inp.name} could be any of: {names}. Say which one: --from {best[0].name}")
    if inp.format in ("json", "jsonl") and not found.columns:
        raise Unreadable(_unreadable(inp, found))
    columns = ", ".join(found.columns[:12]) or "none"
    raise NotRecognised(
        f"{inp.name}: no known source has these columns: {columns}.\n"
        "Map them by hand (--from table --prompt COLUMN --chosen COLUMN --rejected COLUMN),\n"
        "or name a source (--from NAME; 'prefdata list sources')"
    )
