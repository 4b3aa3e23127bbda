"""What the rules for other people's files are called and say: the first eight fields of `prefdata.checks.rule.Rule`, so that reports and
the catalogue show them in the same way."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One rule about files that a trainer or a service is to read."""

    code: str
    name: str
    severity: str
    message: str
    reason: str
    bad: str
    good: str
    fix: str


def by_code() -> dict[str, Words]:
    """All rules by their codes, in order."""
    from prefdata.readers import words_of_files, words_of_messages, words_of_trainers

    return {w.code: w for m in (words_of_files, words_of_messages, words_of_trainers) for w in m.WORDS}
