"""Is a revision one? Models "sometimes become confused about their point of view" (Bai et al. 2022, arXiv:2212.08073) and write a critique
where a revision is due, talk about the revision, or decline. Such a text must not become anybody's answer.

What is told by words is told for English; a text that repeats the critique or the draft is told in every language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz import fuzz

FLAWS = {
    "empty": "the model wrote nothing",
    "unchanged": "the revision is the answer that was to be revised, or an earlier one",
    "critique": "a critique stands in place of the revision",
    "talk": "the text talks about the revision or about an earlier answer",
    "declined": "the model declined to revise",
    "fence": "the text contains the lines that stood around the material",
    "thoughts": "the text is hidden reasoning without an end",
}
NEAR = 90.0
"""Similarity (0 to 100) from which a text is a copy of the critique."""
HEAD = 280
"""How many characters are looked at for a formula that opens a text."""

_ANSWER = r"(?:answer|response|reply|draft)"
_FAULT = (
    r"(?:fails|lacks|ignores|omits|overlooks|neglects|sounds|assumes|scolds|leaves out|spends|misses|makes (?:no|several|some|two|the)"
    r"|does(?: not|n['’]t) (?:address|mention|explain|acknowledge|consider|provide|offer|answer|say|give|follow|keep|contain|seem)"
    r"|is (?:too|overly|rather|quite|mostly|somewhat|biased|harmful|unsafe|vague|generic|preachy|evasive|incomplete|inaccurate|helpful)\b)"
)
_OPENS = re.compile(
    rf"""[\W_]*(?:
    (?:critique|criticism|critique\s?request)\b[*_\s]*(?::|\n)
    |(?:strengths|weaknesses|flaws)\b[^\n:]{{0,20}}:
    |(?:the|this|that|my)\ {_ANSWER}\ (?:itself\ |also\ )?{_FAULT.replace(" ", r"[ ]")}
    |(?:this|that)\ (?:response|reply|draft)\b
    |my\ {_ANSWER}\ (?:was|did|gave|sounded|seemed|should\ have|could\ have)\b
    |there\ (?:is|are)\ (?:\w+\ ){{0,3}}(?:problem|issue|flaw|weakness)(?:s|es)?\ (?:with|in)\ (?:the|my|this)\ {_ANSWER}
    |(?:looking\ at|reviewing|re-?reading|on\ review|upon\ review|upon\ reflection)\b[^\n.]{{0,30}}\b{_ANSWER}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ANYWHERE = re.compile(
    rf"""\b(?:assistant|model|chatbot|ai)['’]s\ (?:previous\ |last\ |original\ )?{_ANSWER}\b
    |^[*_\#\ \t]*(?:critique|revision)\ ?request\b[*_]*:
    |^[*_\#\ \t]*critique[*_]*:""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_TALK = re.compile(
    r"""\b(?:my|your)\ (?:previous|earlier|prior|original)\ (?:answer|response|reply)\b
    |\bthe\ (?:previous|original|earlier|revised|rewritten)\ (?:answer|response|reply)\b
    |\b(?:the|this|my|a)\ (?:revised|rewritten)\ (?:version|answer|response|reply)\b
    |\b(?:revised|rewrote|rewritten|rephrased|reworded)\ (?:the|my|this)\ (?:answer|response|reply|draft)\b
    |\bthe\ critique\b""",
    re.IGNORECASE | re.VERBOSE,
)
_MENTION = re.compile(r"\bthe answer\b(?! (?:is|to|was|lies|depends)\b)", re.IGNORECASE)
_JUDGED = re.compile(
    r"\bthe answer (?!(?:is|was|lies|depends|comes|varies|has|includes|follows)\b)[a-z]+s\b"
    r"|\b(?:sentences?|parts?|words?|tone|rest|beginning|end) (?:of|in) the answer\b",
    re.IGNORECASE,
)
"""'The answer' is what a critique is told to call the text under review."""
_VERB = r"(?P<verb>revise|rewrite|edit|critique|rephrase|improve)"
_DECLINED = re.compile(
    rf"\b(?:can(?:not|['’]t| not)|won['’]t|will not|unable to|not able to|not going to|decline to|refuse to)\b[^.\n]{{0,40}}\b{_VERB}\b"
    r"|\bno (?:revision|rewriting|changes?) (?:is|are) (?:needed|necessary|required)\b|\bnothing (?:needs )?to (?:revise|be revised)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"[*_#\s]*(?:here(?:['’]s| is) (?:the|an?|my) )?"
    r"(?:revis(?:ion|ed)|(?:rewritten|improved|updated|corrected) (?:answer|response|reply|version))[^\n:]{0,30}:[*_\s]*",
    re.IGNORECASE,
)


def without_thoughts(text: str) -> str:
    """The text without the reasoning that some servers leave in front of it (some without its first tag, which is part of their prompt)."""
    thoughts, end, said = text.partition("</think>")
    return said.strip() if end and thoughts.count("<think>") == thoughts.lstrip().startswith("<think>") else text.strip()


def cleaned(text: str, token: str = "", draft: str = "") -> str:
    """The text without hidden reasoning, without the fence and the label ("Revised answer:") that the layout invites."""
    text = without_thoughts(text)
    if token:
        text = re.sub(rf"\A<<<[^<>\n]* {token}>>>\n(.*?)\n?<<<end {token}>>>\Z", r"\1", text, flags=re.DOTALL).strip()
    label = _LABEL.match(text)
    return text[label.end() :].strip() if label and not _LABEL.match(draft) else text


def flaw(text: str, *, draft: str, critique: str, prompt: str, token: str = "", earlier: Sequence[str] = ()) -> str | None:
    """Why a cleaned text is no revision of `draft` (a key of FLAWS), None when it may be one. Formulas that the prompt or the draft have
    themselves say nothing. `earlier` are the answers before `draft`."""
    if not text:
        return "empty"
    if text.startswith("<think>"):
        return "thoughts"
    if token and token in text:
        return "fence"
    if _plain(text) in map(_plain, (draft, *earlier)):
        return "unchanged"
    known = f"{prompt}\n{draft}".lower()
    if copies(text, critique):
        return "critique"
    opens = _OPENS.match(text[:HEAD])
    if (opens and not _known(opens[0], known)) or any(not _known(m[0], known) for m in _ANYWHERE.finditer(text)):
        return "critique"
    declined = _DECLINED.search(text[:HEAD])
    if declined and not _known(declined["verb"] or declined[0], known):
        return "declined"
    if any(not _known(m[0], known) for m in _TALK.finditer(text)):
        return "talk"
    if "the answer" not in known and (len(_MENTION.findall(text)) >= 2 or _JUDGED.search(text[:HEAD])):
        return "critique"
    return None


def copies(text: str, other: str) -> bool:
    """Whether two texts are nearly the same."""
    return fuzz.ratio(_plain(text), _plain(other), score_cutoff=NEAR) > 0


def _plain(text: str) -> str:
    return " ".join(text.split())


def _known(phrase: str, known: str) -> bool:
    return phrase.strip(" *_#\n\t").lower() in known
