"""Planted cases of the rules on characters, tool calls and content."""

from __future__ import annotations

import json
from typing import Any

from tests.checks.build import GOOD, Case, pair, turn

KEY = "AKIA" + "Q3ZX7M2LKD8W5RTB"
"""Drawn by chance; put together here, so that nobody who scans this file takes it for a leak."""

STORY = (
    "The miller had a cart and two grey horses. Every week he drove to the market, sold his flour and bought what his house was short of. "
)
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": {}}}])


def call(name: str = "weather", arguments: str = '{"place": "Oslo"}', ident: str | None = "c1", role: str = "assistant") -> dict[str, Any]:
    calls = [{"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}]
    return {"role": role, "content": "", "tool_calls": calls}


def result(ident: str | None = "c1") -> dict[str, Any]:
    return {"role": "tool", "content": "4 degrees", "tool_call_id": ident}


def asked(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [turn("user", "How cold is it in Oslo?"), *more]


CASES = {
    "PD107": Case([GOOD, pair("caf\ufffd")], [2], "chosen[0].content"),
    "PD114": Case([GOOD, pair("pay\u200bpal")], [2], "chosen[0].content"),
    "PD115": Case(
        [pair(prompt=asked(call(), result()), tools=TOOLS), pair(prompt=asked(call(), result("c9")), tools=TOOLS)],
        [2, 2],
    ),
    "PD116": Case([GOOD, pair("It is a small cafÃ©.")], [2], "chosen[0].content"),
    "PD117": Case([GOOD, pair("It is a small cafe\u0301.")], [2], "chosen[0].content"),
    "PD701": Case([GOOD, pair("Sure.<|im_end|>")], [2], "chosen[0].content"),
    "PD702": Case([GOOD, pair(STORY * 3 + "Then he went to the")], [2], "chosen[0].content"),
    "PD703": Case(
        [pair("No.", "I'm sorry, but I cannot assist with that.", "R"), pair("I'm sorry, but I cannot assist with that.")],
        [2],
        "chosen[0].content",
    ),
    "PD704": Case([GOOD, pair("Это совсем другой язык.", prompt="What is the capital of Norway?")], [2], "chosen[0].content"),
    "PD705": Case([GOOD, pair(f"Take this one: {KEY}")], [2], "chosen[0].content"),
    "PD706": Case([GOOD, pair("Write to jane.doe@posteo.net.")], [2], "chosen[0].content"),
    "PD707": Case([GOOD, pair("Well. " + "It goes round in circles, and so on. " * 10)], [2], "chosen[0].content"),
    "PD708": Case([GOOD, pair("Salt &amp; pepper.")], [2], "chosen[0].content"),
    "PD709": Case([GOOD, pair("N/A")], [2], "chosen[0].content"),
}
