"""The codes that say why something has no label, each with its words. Counts in manifests and side files use them."""

from __future__ import annotations

from prefdata.llm.request import REFUSALS

UNFIT = {
    "one-candidate": "the judge compares answers, and the record has one",
    "identical-candidates": "all answers of the record are the same",
    "too-many-candidates": "the record has more answers than are ranked in one call (26)",
    "no-reference": "the judge needs a reference answer, and the record has no text in meta.reference",
    "no-checklist": "neither the record (meta.checklist) nor the judge has criteria",
    "bad-checklist": "meta.checklist is no list of texts, or of objects with text and weight of which one is positive",
}
"""Why a record was not asked about."""
INVALID = {
    "empty": "the reply has no text",
    "no-verdict": "the last line is no verdict in the form asked for",
    "several-verdicts": "the last line holds several verdicts, or one thing was judged twice",
    "incomplete": "a part of the verdict is missing",
    "out-of-range": "a number outside the scale",
    "cut-off": "the reply ended at max_tokens",
    "not-json": "JSON was asked for, and the reply is none",
    "refusal": "the model refused to judge",
    **REFUSALS,
}
"""Why a reply is no verdict; `refusal` and `content-filter` are abstentions."""
SETTLED = {
    "tie": "the judge says that both are equally good",
    "flip": "the judge changes its mind when the answers change places",
    "half-judged": "one of the two orders (or answers) has no verdict",
    "nothing-in-common": "no aspect applies to both answers",
    "not-compared": "nothing was asked about these two",
}
"""Why two answers are a tie or undecided; an undecided comparison without any verdict has the reason of its replies."""
AGAIN = frozenset({"empty", "no-verdict", "several-verdicts", "incomplete", "out-of-range", "cut-off", "not-json"})
"""Replies that may be better the next time (--resample)."""
