"""Planted cases of the rules on the data set as a whole and on leakage: 120 plain rows with one thing wrong among them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.checks.build import Case, binary, listwise, pair

WORDS = (  # noqa: SIM905 - a line for each word otherwise
    "river stone garden market window paper silver letter corner valley button kitchen summer travel gentle bright answer bottle carry "
    "circle copper danger desert dinner doctor engine farmer father finger flower forest frozen hammer harbor hollow island jacket ladder "
    "lemon marble meadow mirror mother narrow needle number orange pepper pillow planet pocket rabbit ribbon saddle shadow shelter signal "
    "spider spring square station string sunday temple thunder ticket timber tunnel velvet village walnut winter wonder yellow"
).split()


def text(seed: int, words: int | None = None) -> str:
    """A plain sentence that no other seed has."""
    r = random.Random(seed)
    return " ".join(r.choice(WORDS) for _ in range(words or r.randint(8, 12))).capitalize() + "."


def pairs(n: int, change: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs of plain texts; `change` says what a row has instead. No length, place or mark tells chosen from rejected."""
    out = []
    for i in range(n):
        longer, shorter = text(3 * i, 12), text(3 * i + 1, 8)
        chosen, rejected = (longer, shorter) if i % 2 else (shorter, longer)
        out.append(pair(**{"chosen": chosen, "rejected": rejected, "prompt": text(3 * i + 2), **change(i)}))
    return out


def shown(i: int, first: bool) -> dict[str, Any]:
    """A human verdict for the answer shown first, or second."""
    order = ["chosen", "rejected"] if first else ["rejected", "chosen"]
    said = {"annotator": "a", "kind": "human", "completions": order, "outcome": "first" if first else "second"}
    return {"annotations": [said]}


def marked(i: int, chosen: bool) -> dict[str, Any]:
    texts = text(3 * i, 10), text(3 * i + 1, 14 if i % 2 else 8)
    return dict(zip(("chosen", "rejected") if chosen else ("rejected", "chosen"), (f"The **{texts[0]}**.", texts[1]), strict=True))


def lists(n: int, tied: int) -> list[dict[str, Any]]:
    scores = [[3.0, 3.0] if i < tied else [2.0, 3.0] for i in range(n)]
    return [listwise(text(3 * i), text(3 * i + 1), prompt=text(3 * i + 2), scores=s) for i, s in enumerate(scores)]


LONG, SHORT = text(-1, 30), text(-2, 10)
ASKED = "What does DPO stand for?"

CASES = {
    "PD303": Case([binary(text(2 * i), i >= 3, prompt=text(2 * i + 1)) for i in range(120)], [0], "label"),
    "PD306": Case(lists(120, 90), [0], "completions"),
    "PD401": Case(pairs(120, lambda i: {"chosen": text(3 * i, 12 if i < 96 else 6), "rejected": text(3 * i + 1, 9)}), [0]),
    "PD402": Case(pairs(120, lambda i: shown(i, i < 90)), [0]),
    "PD403": Case(pairs(120, lambda i: marked(i, i < 100)), [0]),
    "PD404": Case(pairs(150, lambda i: {"source": "b" if i == 7 else None if i == 9 else "a"}), [0, 0], "source"),
    "PD405": Case(pairs(120, lambda i: {"chosen": SHORT} if i % 6 == 0 else {}), [0]),
    "PD406": Case(
        pairs(120, lambda i: {"chosen": f"I'm sorry, but I can't help with that. {text(i, 4)}"} if i % 3 == 0 else {}),
        [0],
        also={"PD703": 40},
    ),
    "PD407": Case(pairs(120, lambda i: {"prompt": SHORT} if i % 12 == 0 else {}), [0], "prompt"),
    "PD408": Case(pairs(240, lambda i: {"prompt": text(-3 - i // 2)}), [0], "prompt"),
    "PD501": Case([pair("Yes.", split="train", prompt=ASKED), pair("Yes, it is.", split="test", prompt=ASKED)], [2], "prompt"),
    "PD502": Case(
        [pair("Yes.", split="train", prompt=ASKED), pair("Yes, it is.", split="test", prompt="what does\nDPO stand for")], [2], "prompt"
    ),
    "PD503": Case(
        [pair(split="train"), pair("Yes, it is.", prompt="R", split="train"), pair(split="test")], [3], None, {"PD106": 1, "PD501": 1}
    ),
    "PD504": Case([pair(LONG, prompt="Q", split="train"), pair(LONG, "No, it is not.", prompt="R", split="test")], [2]),
}
