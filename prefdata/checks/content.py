"""PD7: what stands in the texts."""

from __future__ import annotations

import numpy as np

from prefdata.checks.refusals import is_refusal
from prefdata.checks.rule import Rule
from prefdata.checks.screens import BY_ASSISTANT, TEXT, says, where
from prefdata.checks.view import Hits, Mask, View

TOKENS = (
    r"<\|[a-zA-Z0-9_]{2,40}\|>|<｜[^<>｜]{2,40}｜>|\[/?INST\]|<</?SYS>>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn|extra_id_[0-9]+)>"
    r"|\[gMASK\]|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|</s>\s*<s>|^[^<]*</s>\s*$|^\s*<s>(?:[^<]|<[^/])*(?:</s>\s*)?$"
)
"""Special tokens of chat templates. <s> is also a tag of HTML: it counts at the start or end of a text, without its other half."""
TOKEN_SCREEN = (
    r"<\||<｜|\[INST|\[/INST|<<SYS|<</SYS|<bos|<eos|<pad|<unk|<start_of_turn|<end_of_turn|<extra_id_|<s>|</s>|\[gMASK|\[AVAILABLE_TOOLS"
    r"|\[TOOL_|\[/AVAIL|\[/TOOL_"
)


def template_token(v: View) -> list[Hits]:
    return where(v, says(TOKENS), screen=says(TOKEN_SCREEN))


MODEL = (
    r"(?:\b[Aa]s|I am|I['’]m)(?: just| only)? an? (?:AI|artificial intelligence|large)?[ -]?(?:language )?model\b"
    r"|\b[Aa]s an (?:AI|artificial intelligence)\b"
)


_REFUSES = is_refusal(TEXT)
_SPEAKS = BY_ASSISTANT & says(MODEL) & ~_REFUSES


def refusal(v: View) -> list[Hits]:
    """In the answer that is to be learned: the chosen one, or a desirable completion."""
    columns = v.answers[:1]
    wanted = v.df["label"].to_numpy() if v.kind == "binary" else np.ones(len(v), dtype=bool)
    out = where(v, BY_ASSISTANT, _REFUSES, columns=columns, note="it refuses")
    out += where(v, _SPEAKS, columns=columns, screen=says("language model|[Aa]s an AI|artificial intel"), note="it speaks 'as an AI'")
    return [h for h in (_of(h, wanted[h.rows]) for h in out) if len(h.rows)]


def _of(h: Hits, which: Mask) -> Hits:
    return h._replace(rows=h.rows[which], turns=None if h.turns is None else h.turns[which])


RESIDUE = {
    "HTML entities": (r"&(?:amp|lt|gt|quot|nbsp|apos|#39|#x27|#34|#8217|#160);", "&(?:amp|lt|gt|quot|nbsp|apos|#)"),
    "HTML tags": (r"</?(?:p|br|div|span)(?: [^<>]*)?/?>", "<p>|<p |<br|<div|<span|</p>|</div>|</span>"),
    "escaped line ends": (r"[a-z.,:;!?)*]\\n(?:\\n|\\t|[A-Z0-9*#-])", r"\\n\\n|\\n[A-Z0-9*#-]"),
}
CODE = r"```|HTML|[Hh]tml|<!(?:doctype|DOCTYPE)|XML|[Ee]scap|[Mm]arkup|[Rr]egex|[Jj]ava[Ss]cript|[Pp]ython| code"
"""What a text about code has in it, or its prompt."""


_PROSE = BY_ASSISTANT & ~says(CODE)


def markup_residue(v: View) -> list[Hits]:
    out: list[Hits] = []
    for note, (pattern, screen) in RESIDUE.items():
        for h in where(v, says(screen), says(pattern), _PROSE, screen=says(screen), columns=v.answers, note=note):
            plain = ~v.turns("prompt").last.gather(h.rows).str.contains(CODE).to_numpy()
            out.append(_of(h, plain))
    return [h for h in out if len(h.rows)]


PLACEHOLDER = (
    r"(?i)^\s*(?:n/?a|null|nan|none|nil|undefined|todo|tbd|tba|placeholder|no ?(?:input|output|response|answer)|\.{2,}|…|-{1,3}|_+"
    r"|#(?:n/a|ref!|value!|name\?)|\[object object\]|<(?:no)?(?:answer|response|completion|output|input|text|insert[^<>]*|your[^<>]*)>"
    r"|\[(?:deleted|removed|answer|response|completion|output|insert[^\[\]]*|your [^\[\]]*|redacted)\]|\{\{?[a-z_ .]*\}?\})\.?\s*$"
)


_IPSUM = BY_ASSISTANT & says(r"(?i)^\s*lorem ipsum\b")


def placeholder(v: View, max_bytes: int = 40) -> list[Hits]:
    short = BY_ASSISTANT & (TEXT.str.len_bytes() <= max_bytes)
    out = where(v, short, says(PLACEHOLDER), columns=v.answers)
    return out + where(v, _IPSUM, columns=v.answers, screen=says("[Ll]orem ipsum|LOREM IPSUM"))


RULES = (
    Rule(
        code="PD701",
        name="template-token",
        severity="warning",
        message="a text contains special tokens of a chat template",
        reason="Tokenisers read them as the real ones: the text then opens and closes turns of its own.",
        bad='"content": "Sure.<|im_end|>"',
        good='"content": "Sure."',
        fix="remove the tokens; whoever renders the template adds them",
        row=template_token,
    ),
    Rule(
        code="PD703",
        name="refusal",
        severity="info",
        message="a preferred answer is a stock refusal",
        reason="Where harmless questions are refused too, preference training makes a model that refuses too much.",
        bad='"chosen": "I\'m sorry, but I cannot assist with that."',
        good="a refusal where one is due, an answer everywhere else",
        fix="look at the share of refusals and at their prompts",
        kinds=("pair", "binary"),
        row=refusal,
    ),
    Rule(
        code="PD708",
        name="markup-residue",
        severity="info",
        message="an answer has residues of markup",
        reason="Entities, tags and escapes that were left over from scraping or from JSON are learned as if they were wording.",
        bad='"content": "Salt &amp; pepper<br>"',
        good='"content": "Salt & pepper"',
        fix="unescape the source once more, or convert it to plain text",
        row=markup_residue,
    ),
    Rule(
        code="PD709",
        name="placeholder",
        severity="warning",
        message="an answer is a placeholder",
        reason="It stands for a missing value: as an answer it teaches the model to say 'null'.",
        bad='"content": "N/A"',
        good='"content": "There is no such number."',
        fix="drop the row",
        row=placeholder,
    ),
)
