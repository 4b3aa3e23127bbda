"""Planted cases of PD0 and PD1."""

from __future__ import annotations

import json

from tests.checks.build import GOOD, A, Case, pair, turn

NAN = json.dumps(pair(prompt="R", margin=1.0)).replace("1.0", "NaN")
LATIN = json.dumps(GOOD).encode() + b"\n" + json.dumps(pair("cafX")).encode().replace(b"X", b"\xe9") + b"\n"
TWICE = json.dumps(pair(prompt="R"))[:-1] + ', "chosen": []}'
TRL = {"prompt": "Q", "chosen": "Yes.", "rejected": "No."}
PKU = {"prompt": "Q", "response_0": "Yes.", "response_1": "No.", "better_response_id": 0}
SAFE = {"is_response_0_safe": True}
MANY = {"PD106": 200, "PD401": 1, "PD405": 2, "PD407": 1, "PD408": 1}

CASES = {
    "PD001": Case([GOOD, '{"id": 1', pair(prompt="R")], [2]),
    "PD002": Case(LATIN, [2]),
    "PD003": Case([GOOD, TWICE], [2]),
    "PD004": Case([GOOD, NAN], [2]),
    "PD005": Case([GOOD, {**GOOD, "chosen": 7}], [2], "chosen"),
    "PD006": Case(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n", [1]),
    "PD007": Case(b"[]\n", [0], options={"from_": "trl"}),
    "PD101": Case([GOOD, pair(chosen=None)], [2], "chosen"),
    "PD102": Case([{**GOOD, "colour": "red"}], [0]),
    "PD103": Case([GOOD, pair(prompt=[turn("assistant", "x")])], [2], "prompt"),
    "PD104": Case([GOOD, pair(chosen=[turn("user", "x")])], [2], "chosen"),
    "PD105": Case([GOOD, pair(rejected=" \n")], [2], "rejected"),
    "PD106": Case([GOOD, GOOD], [2]),
    "PD108": Case([GOOD, pair("x" * (16 * 1024 * 1024 + 1))], [2], "chosen"),
    "PD109": Case([GOOD, {**pair(A), "id": "f" * 32}], [2], "id"),
    "PD110": Case([TRL, {**TRL, "rejected": None}], [2], "rejected"),
    "PD111": Case([TRL] * 201 + [{**TRL, "margin": 1.0}], [202], "margin", MANY),
    "PD112": Case([PKU, {**PKU, "prompt": "R", "better_response_id": 2}], [2]),
    "PD113": Case([PKU | {"prompt": str(b), **SAFE, "is_response_1_safe": b} for b in (False, None)], [2], options={"kind": "binary"}),
}
