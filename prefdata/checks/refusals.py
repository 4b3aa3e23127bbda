"""Does an answer refuse? Told by the wording of its opening: refusals are formulas."""

from __future__ import annotations

import polars as pl

HEAD = 280
"""How many characters of an answer are looked at: a refusal comes first, what stands further down is a caveat."""

_END = r"(?-u:\b)"
"""A word boundary of ASCII: the one of Unicode takes regexes off their fast path."""
_ADVERB = r"(?:[a-z]+ )?"
_HELP = (
    r"(?:assist|help|provide|answer|fulfill?|comply|give|offer|support|engage|satisfy|suggest|encourage|recommend|endorse|create|write"
    r"|generate|share|discuss|respond|condone|promote|participate|advise|facilitate|accommodate|teach|instruct|disclose|fabricate"
    r"|(?:tell|show) you|do (?:that|this|so))" + _END
)
_ABLE = r"(?: am|['’]m) (?:just |really |simply )?(?:not (?:able|going|allowed|permitted|willing|programmed)|unable) to "
_WILL = r" (?:can(?:not|['’]t| not)|will not|won['’]t) (?:be able to )?"
_DECLINE = (
    r"(?: am|['’]m) (?:not |un)comfortable| (?:must|have to|need to)(?: respectfully| politely)? (?:decline|refuse)"
    r"| do(?: not|n['’]t) (?:feel comfortable|condone|have access to)"
)
_OPENS = r"(?:^[^a-z]*|[.!?:,;\n\"“—] *|(?-u:\b)(?:but|so|and|that|sorry|unfortunately|however|therefore|oh|no|well),? )"
"""What a formula may follow: it opens a sentence or a clause."""
_WRONG = (
    r"^[^a-z]*(?:no, |i apologi[sz]e,? but |(?:i['’]m )?sorry,? but )?(?:it(?:['’]s| is) (?:not|never)"
    r"|i do(?:n['’]t| not) (?:think|believe) (?:that )?it(?:['’]s| is| would be)) (?:[a-z]+ (?:or|and) )?"
    r"(?:appropriate|ethical|acceptable|okay|respectful)" + _END
)
_MODEL = (
    r"(?:as|i am|i['’]m) (?:just )?an? (?:[a-z]+ )?(?:ai|artificial intelligence|language model)(?-u:\b)[^.!?\n]* (?:and|i) "
    r"(?:(?:cannot|can['’]t|am unable to|am not able to) "
    r"|(?:do not|don['’]t) (?:condone|promote|have (?:access|the (?:ability|capab|capac))))"
)
REFUSAL = f"(?i){_OPENS}i(?:(?:{_WILL}|{_ABLE}){_ADVERB}{_HELP}|{_DECLINE})|{_WRONG}|{_MODEL}"

SCREEN = (
    r"[Ii](?: can(?:no|'|’| not)|(?: am|'m|’m) (?:just |really |simply )?(?:not |un)| (?:will not|won)"
    r"| (?:must|have to|need to) (?:resp|pol|dec|ref)| do(?: not|n't|n’t) (?:feel|cond|have|think|beli))"
    r"|[Ii]t(?: is|'s|’s) (?:not|never)|[Ii]t would be| AI[ ,.]| language model| artificial"
)
"""What every refusal has in it, in a form that can be searched for fast: few texts are left for the formulas."""

ANSWERS = r"(?:[Hh]owever|[Tt]hat said|[Nn]evertheless),? (?:I|we|here|based|according|it|the|in) |but (?:I|we) can [a-z]|help but "
"""What an answer goes on with that only began like a refusal."""


def is_refusal(content: pl.Expr) -> pl.Expr:
    """Whether an answer opens with a refusal. One chain, in which every text that is out becomes a short one that stays out: each pattern
    is searched for once, and only where the one before was found."""
    head = content.str.head(HEAD)
    some = pl.when(head.str.contains(SCREEN)).then(head).otherwise(pl.lit(""))
    refused = pl.when(some.str.contains(REFUSAL)).then(head).otherwise(pl.lit("help but "))
    return ~refused.str.contains(ANSWERS)
