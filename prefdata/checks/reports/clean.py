"""Names and texts of data files are not to be trusted: they may steer a terminal, hide, or break the syntax of a report."""

from __future__ import annotations

LONGEST = 1000
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str, most: int = LONGEST) -> str:
    """The text on one line of about `most` characters; what controls, reverses or hides (and half a surrogate) is written as an escape."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    text = text.replace("##[", "##\\u005b")  # runners of GitHub take ##[command] anywhere in a line for theirs
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else SHORT.get(c) or f"\\u{ord(c):04x}" for c in text)
