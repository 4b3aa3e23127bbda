"""Keys and personal data: what is one, what only looks like one, and that no message has it in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefdata
from prefdata.checks import secrets
from tests.checks.answers import flags, notes
from tests.checks.build import pair, write
from tests.checks.planted_content import KEY
from tests.checks.views import view

RANDOM = "q7Xb2LmZ9rT4vKc8WnYd3GhJ5sPf6QaEuR1oNiBx"
SECRET_TEXTS = {
    "an AWS access key": KEY,
    "a GitHub token": "ghp_" + RANDOM[:36],
    "a GitLab token": "glpat-" + RANDOM[:20],
    "an Anthropic key": "sk-ant-" + "api03-" + RANDOM,
    "an OpenAI key": "sk-" + "proj-" + RANDOM,
    "a Google API key": "AIza" + RANDOM[:35],
    "a Slack token": "xoxb-" + "849302716455-" + RANDOM[:24],
    "a Stripe key": "sk_" + "live_" + RANDOM[:24],
    "a Hugging Face token": "hf_" + RANDOM[:34],
    "an npm token": "npm_" + RANDOM[:36],
    "a SendGrid key": "SG." + RANDOM[:22] + "." + RANDOM + "abc",
    "a JSON web token": "eyJ" + RANDOM + ".eyJ" + RANDOM + "." + RANDOM,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + RANDOM + RANDOM + "\n",
}


@pytest.mark.parametrize("kind", SECRET_TEXTS)
def test_secrets(kind: str, tmp_path: Path) -> None:
    """A finding says the kind, and nothing that is reported has the value in it."""
    text = SECRET_TEXTS[kind]
    assert notes(secrets.secret, f"Use {text} there.") == [kind]
    assert kind in secrets.SECRETS
    found = prefdata.validate(write(tmp_path / "in.jsonl", [pair(f"Use {text} there.")]), select=["PD705"])
    assert [kind in f.message for f in found.findings] == [True]
    assert text not in json.dumps(found.as_dict()) and RANDOM[:12] not in json.dumps(found.as_dict())


def test_stand_ins_are_no_secrets() -> None:
    texts = (
        "AKIAIOSFODNN7EXAMPLE",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-your-api-key-goes-here-1-2-3",
        "sk-folding-cube-with-many-corners-abc",
        "a task-oriented-dialogue-system-for-the-rest-of-us",
        "ghp_" + "a1" * 18,
        "hf_abcdefghijklmnopqrstuvwxyz12345678",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "eyJ" + RANDOM + ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0." + RANDOM,
        "-----BEGIN PUBLIC KEY-----\n" + RANDOM * 2,
    )
    assert not any(flags(secrets.secret, *texts))


PERSONAL_TEXTS = {
    "an e-mail address": ("jane.doe@posteo.net", "a+b@mail.co.uk"),
    "a phone number": ("(215) 204-3120", "650-636-4884", "+1 917-444-6321", "+44 20 7946 0958", "+33 6 12 34 56 78"),
    "a card number": ("4539 5787 6362 1486", "4539578763621486", "3714 496353 98431"),
    "a social security number": ("859-56-0028",),
    "a bank account": ("DE75 5121 0800 1245 1261 99", "NL91ABNA0417164300", "GB33 BUKB 2020 1555 5555 55"),
    "an IP address": ("203.14.92.5", "8.155.23.9"),
}


@pytest.mark.parametrize("kind", PERSONAL_TEXTS)
def test_personal_data(kind: str) -> None:
    for text in PERSONAL_TEXTS[kind]:
        assert notes(secrets.personal_data, f"It is {text}, I think.") == [kind], text


def test_what_is_no_personal_data() -> None:
    texts = (
        *("user@example.com", "me@example.org", "x@localhost.localdomain", "git@github.com", "logo@2x.png", "you@yourcompany.com", "a@b"),
        *(
            "555-867-5309",
            "(212) 555-0147",
            "1-800-273-8255",
            "123-456-7890",
            "821091117+4908374100427",
            "2+3036165596512",
            "1990-2010-2020",
        ),
        *("4539 5787 6362 1487", "4111 1111 1111 1111", "4242424242424242", "3.4539578763621486", "0.000", "1234567812345670"),
        *("123-45-6789", "000-12-3456", "666-12-3456", "900-12-3456", "078-05-1120", "12-859-56-00281"),
        *("DE89 3704 0044 0532 0130 00", "DE75 5121 0800 1245 1261 98", "ES4 is a chip", "FRIENDS 2020"),
        *("127.0.0.1", "192.168.1.10", "10.200.3.4", "255.255.255.0", "1.2.3.4", "8.8.8.8", "4.0.30319.1", "999.999.1.1", "v203.14.92.5.7"),
    )
    assert [t for t, f in zip(texts, flags(secrets.personal_data, *(f"It is {t} here." for t in texts)), strict=True) if f] == []


@given(st.text("0123456789", min_size=14, max_size=14), st.integers(0, 14), st.integers(1, 9))
def test_check_digit_of_cards(digits: str, place: int, by: int) -> None:
    """Of ten last digits one is right, and no other digit of a right number can be changed alone."""
    card = "4" + digits
    right = [card + str(d) for d in range(10) if secrets.is_card(card + str(d))]
    assert len(right) <= 1
    for number in right:
        other = (int(number[place]) + by) % 10
        assert not secrets.is_card(number[:place] + str(other) + number[place + 1 :])


@given(st.text("0123456789", min_size=18, max_size=18), st.integers(4, 21), st.integers(1, 9))
def test_check_digits_of_accounts(digits: str, place: int, by: int) -> None:
    """Check digits are 98 minus the remainder by 97 of the number with 00 in their place, D = 13 and E = 14."""
    iban = f"DE{98 - int(digits + '131400') % 97:02d}{digits}"
    assert secrets.is_iban(iban) or iban == "DE89370400440532013000"
    changed = iban[:place] + str((int(iban[place]) + by) % 10) + iban[place + 1 :]
    assert not secrets.is_iban(changed)


def test_each_kind_is_counted_apart() -> None:
    rows = [pair(f"{KEY} and {SECRET_TEXTS['a GitHub token']}", f"{KEY}")]
    assert Counter((h.field, h.note) for h in secrets.secret(view(rows))) == {
        ("chosen", "an AWS access key"): 1,
        ("chosen", "a GitHub token"): 1,
        ("rejected", "an AWS access key"): 1,
    }
