"""What a source's preference is about is the user's choice; nothing is picked in silence where sources state several things."""

from __future__ import annotations

from prefdata.errors import UsageError
from prefdata.sources.source import Source


def choose(source: Source, columns: list[str], dimension: str | None, to: str | None, name: str) -> str | None:
    """The dimension, where the source has any. Raises UsageError when there is a choice to make, or the one made does not exist."""
    if not source.dimensions or to in source.also:
        if dimension and not source.dimensions:
            raise UsageError(f"{source.name} has no dimensions; leave out --dimension {dimension}")
        return dimension
    there = {k: d for k, d in source.dimensions.items() if d.needs is None or d.needs in columns}
    listing = "".join(f"\n  --dimension {k}: {d.meaning}" for k, d in there.items())
    chosen = dimension or (source.dimension if source.dimension in there else None)
    if chosen is None and len(there) == 1:
        chosen = next(iter(there))
    if chosen is None:
        raise UsageError(f"{name}: {source.name} states more than one thing; choose what the preference is about:{listing}")
    if chosen not in there:
        raise UsageError(f"{name}: {source.name} has no dimension {chosen!r} here; choose one of:{listing}")
    return chosen
