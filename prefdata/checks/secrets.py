"""PD7: keys, and personal data. A finding names the kind; the value never gets into a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv4Address

import numpy as np
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.screens import hits, says, sift
from prefdata.checks.view import Hits, View

Kinds = dict[str, tuple[str, str, Callable[[str], bool]]]
"""By name: a regex that a text with the kind matches, which is searched for fast; the shape; and whether a text of that shape is meant."""

STAND_IN = re.compile(
    r"(.)\1{4}|example|your|sample|dummy|placeholder|redacted|insert|secret|change_?me|fake|abcdef|12345|eyJzdWIiOiIxMjM0NTY3ODkw", re.I
)
"""What keys in manuals have in them; the last is the token that every page about such tokens shows."""


def is_random(key: str) -> bool:
    """Whether it looks drawn by chance, unlike a stand-in or a name with hyphens: letters, digits, and many different ones."""
    tail = key.rpartition("-----")[2]
    tail = re.split(r"[-_.]", tail, maxsplit=1)[-1]
    digits = sum(c.isdigit() for c in tail)
    return STAND_IN.search(tail) is None and len(set(tail)) >= 10 and 0 < digits < len(tail)


_SHAPES = {
    "an AWS access key": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "a GitHub token": r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "a GitLab token": r"glpat-[A-Za-z0-9_-]{20,}",
    "an Anthropic key": r"sk-ant-[A-Za-z0-9_-]{24,}",
    "an OpenAI key": r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{24,}|[A-Za-z0-9]{24,})",
    "a Google API key": r"AIza[0-9A-Za-z_-]{35}",
    "a Slack token": r"xox[abeoprs]-[0-9A-Za-z-]{20,}",
    "a Stripe key": r"[rs]k_live_[0-9A-Za-z]{20,}",
    "a Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "an npm token": r"npm_[A-Za-z0-9]{36}",
    "a SendGrid key": r"SG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}",
    "a JSON web token": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|[A-Z][A-Za-z-]+: [^\n]*\n)*[A-Za-z0-9+/]{40,}",
}


SECRETS: Kinds = {kind: (shape, rf"(?<![A-Za-z0-9]){shape}", is_random) for kind, shape in _SHAPES.items()}
SECRET_SCREEN = (
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_|glpat-|sk-[A-Za-z0-9_-]{24}|AIza[0-9A-Za-z_-]{35}"
    r"|xox[abeoprs]-|[rs]k_live_|hf_[A-Za-z0-9]{30}|npm_[A-Za-z0-9]{36}|SG\.[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_-]{10,}\.eyJ|PRIVATE KEY"
)
"""The beginnings of all of them, for blocks."""


def secret(v: View) -> list[Hits]:
    return _kinds(v, SECRETS, says(SECRET_SCREEN))


RESERVED = re.compile(
    r"(?:^|[@.])(?:example|test|invalid|localhost|local)(?:\.|$)|@(?:\w*domain|email|(?:your)?(?:company|site|website|email))\.|^git@"
    r"|\.(?:png|jpe?g|gif|svg|webp)$",
    re.I,
)
"""Addresses that belong to nobody, and what only looks like one."""


def is_address(text: str) -> bool:
    return RESERVED.search(text) is None


def is_phone(text: str) -> bool:
    """Not of the numbers that are kept for films and help lines."""
    digits = re.sub(r"\D", "", text)
    if text.startswith("+") and not digits.startswith("1"):
        return len(set(digits)) > 3
    area, exchange = digits[-10:-7], digits[-7:-4]
    service = area.startswith("8") and area[1] == area[2]
    return area[0] in "23456789" and exchange[0] in "23456789" and "555" not in (area, exchange) and not service and area != "900"


def is_card(text: str) -> bool:
    """Luhn's check digit and the shape of a big issuer's numbers; the issuers' own test numbers have few different digits."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 5


def is_ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    known = text in ("123-45-6789", "078-05-1120", "219-09-9999")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and len(set(text)) > 3 and not known


_LENGTHS = """
AE23 AT20 BE16 BG22 CH21 CY28 CZ24 DE22 DK18 EE20 ES24 FI18 FR27 GB22 GR27 HR21 HU28 IE22 IL23 IT27 LT20 LU20 LV21 MT31 NL18 NO15
PL28 PT25 RO24 SA24 SE24 SI19 SK24 TR26
"""
IBANS = {item[:2]: int(item[2:]) for item in _LENGTHS.split()}
"""Lengths of account numbers by country."""


def is_iban(text: str) -> bool:
    """The right length for its country, and the check digits of ISO 13616; the two numbers that stand in every manual are none."""
    found = text.replace(" ", "")[: IBANS.get(text[:2], 0)]
    if not found or len(found) < IBANS[text[:2]] or found in ("GB82WEST12345698765432", "DE89370400440532013000"):
        return False
    return int("".join(str(int(c, 36)) for c in found[4:] + found[:4])) % 97 == 1


def is_public_ip(text: str) -> bool:
    """An address of the public net. Numbers of versions and chapters look the same, but theirs are small."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return address.is_global and max(address.packed[:2]) >= 100


_RARE = "|".join(
    (
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
        rf"(?:{'|'.join(IBANS)})[0-9]{{2}} ?[A-Z0-9]{{4}} ?[A-Z0-9]{{4}}",
        r"[12][0-9]{2}\.[0-9]{1,3}\.[0-9]",
    )
)
"""What three kinds of numbers begin with: one regex for three, because polars forgets the oldest of 32 and a shard needs nearly as many."""

PERSONAL: Kinds = {
    "an e-mail address": (
        r"@[A-Za-z0-9-]+\.[A-Za-z]",
        r"[A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b",
        is_address,
    ),
    "a phone number": (
        r"[2-9][0-9]{2}\)?[ .-]?[2-9][0-9]{2}[.-][0-9]{4}|\+[1-9](?:[ .()-]{0,2}[0-9]){9}",
        r"\(?\b[2-9][0-9]{2}(?:\) ?|[ .-])[2-9][0-9]{2}[.-][0-9]{4}\b|\+[1-9](?:[ .()-]{0,2}[0-9]){9,13}\b",
        is_phone,
    ),
    "a card number": (
        r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5}",
        r"\b(?:(?:4[0-9]|5[1-5]|6[05]|2[2-7])[0-9]{2}(?:[ -]?[0-9]{4}){3}|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})\b",
        is_card,
    ),
    "a social security number": (_RARE, r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", is_ssn),
    "a bank account": (
        _RARE,
        r"\b(?:" + "|".join(IBANS) + r")[0-9]{2}(?: ?[A-Z0-9]){11,30}",
        is_iban,
    ),
    "an IP address": (_RARE, r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", is_public_ip),
}

PERSONAL_SCREENS = (
    r"@[A-Za-z0-9-]+\.[A-Za-z]",
    r"[0-9]{3}\)?[ .-]?[0-9]{1,2}[0-9 .-]{1,3}[0-9]",
    r"\+[1-9][ .()-]{0,2}[0-9]",
)
"""The same for blocks, in three searches: addresses; what all numbers have in them (it begins with digits, so that a scanner can look for
ten texts at once); phone numbers in pairs of digits."""

_PERSONAL_SCREEN = pl.any_horizontal(map(says, PERSONAL_SCREENS))


def personal_data(v: View) -> list[Hits]:
    return _kinds(v, PERSONAL, _PERSONAL_SCREEN)


def _kinds(v: View, kinds: Kinds, screen: pl.Expr) -> list[Hits]:
    """Rows by kind. Whether a text of the right shape is meant is asked in Python, one at a time: there are few."""
    some = sift(v, screen, screen=screen)
    if not some.height:
        return []
    numbers, texts = some["n"].to_numpy(), some["content"].to_list()
    likely = some.select(says(begins).alias(note) for note, (begins, _, _) in kinds.items())
    out: list[Hits] = []
    for note, (_, shape, meant) in kinds.items():
        at = [i for i in np.flatnonzero(likely[note].to_numpy()).tolist() if any(meant(m) for m in _all(shape, texts[i]))]
        out += hits(v, numbers[at], note)
    return out


def _all(shape: str, text: str) -> Iterator[str]:
    """Matches that are not part of a longer number or of a sum."""
    for m in re.finditer(shape, text, re.ASCII):
        marks = ".,-/=_ " if " " in m[0] else ".,-/=_"
        before, after = text[max(0, m.start() - 2) : m.start()], text[m.end() : m.end() + 2]
        starts = m[0][0].isdigit() and before[:1].isdigit() and before[1:] in marks
        ends = m[0][-1].isdigit() and after[1:].isdigit() and after[:1] in marks
        if not (starts or ends or (m[0][0] == "+" and before[-1:].isalnum())):
            yield m[0]


RULES = (
    Rule(
        code="PD705",
        name="secret",
        severity="warning",
        message="a text contains a key or token",
        reason="A model can recite what it was trained on; whoever asks for it gets the key.",
        bad='"content": "export OPENAI_API_KEY=sk-…"',
        good='"content": "export OPENAI_API_KEY=<your key>"',
        fix="revoke the key, then remove it from the text",
        row=secret,
    ),
    Rule(
        code="PD706",
        name="personal-data",
        severity="info",
        message="a text contains personal data",
        reason="A model can recite what it was trained on, and people have a right to have their data erased.",
        bad='"content": "Write to jane.doe@…, or call 212-…"',
        good='"content": "Write to <e-mail>, or call <phone>"',
        fix="put a placeholder in its place, unless it is meant to be public",
        row=personal_data,
    ),
)
