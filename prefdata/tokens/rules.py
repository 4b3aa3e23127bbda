"""The words of the rules PD601 to PD610, in the shape of `prefdata.checks.rule.Rule`: what a trainer would see amiss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SeenRule:
    """One finding with a stable code."""

    code: str
    name: str
    severity: Literal["error", "warning", "info"]
    message: str
    reason: str
    bad: str
    good: str
    fix: str


RULES = (
    SeenRule(
        code="PD601",
        name="question-cut",
        severity="warning",
        message="the last user turn is cut off at the maximum length",
        reason="The answers are trained as replies to a question that the model does not see to its end.",
        bad="a prompt of 3,000 tokens at cutoff_len 2048",
        good="a prompt that leaves room for the answers",
        fix="raise the maximum length, or leave out rows with long prompts",
    ),
    SeenRule(
        code="PD602",
        name="answer-cut-away",
        severity="error",
        message="nothing of an answer is left at the maximum length",
        reason="The loss of such a row is over no tokens: it is 0, or 0/0.",
        bad="a prompt of 512 tokens at max_len 512",
        good="a prompt that leaves room for the answers",
        fix="raise the maximum length, or leave out rows with long prompts",
    ),
    SeenRule(
        code="PD603",
        name="equal-when-seen",
        severity="error",
        message="chosen and rejected are the same tokens when the trainer sees them",
        reason="They differ only behind the cut, or in what the template or the tokenizer leaves out: the pair says nothing.",
        bad="two answers with the same first 900 tokens, cut at 800",
        good="answers that differ before the cut",
        fix="raise the maximum length, or leave out the pair",
    ),
    SeenRule(
        code="PD604",
        name="dropped-by-length",
        severity="warning",
        message="the trainer leaves the row out because it is too long",
        reason="The trainer drops it without counting: the data set is smaller than it looks, and long conversations go first.",
        bad="a prompt of 1,100 tokens for TRL's DPOTrainer at max_length 1024",
        good="rows that fit",
        fix="raise the maximum length; the statistics name one that keeps 99 % of the rows whole",
    ),
    SeenRule(
        code="PD605",
        name="space-at-boundary",
        severity="warning",
        message="the template changes white space where the answer begins or ends",
        reason="What is trained is not what was judged, and in use the model meets the boundary in another shape.",
        bad="{{ message.content | trim }} with the answer '  indented code'",
        good="{{ message.content }}, or answers without white space at their ends",
        fix="strip the answers before export, or use a template that does not trim",
    ),
    SeenRule(
        code="PD606",
        name="no-end-token",
        severity="error",
        message="the rendered answer does not end with an end token of the tokenizer",
        reason="A model that is trained on answers without an end does not learn to stop.",
        bad="a template that ends answers with <|im_end|>, and eos_token <|endoftext|>",
        good="a template whose turns end with eos_token",
        fix="let the template write eos_token after an answer, or set eos_token to what it writes",
    ),
    SeenRule(
        code="PD607",
        name="doubled-token",
        severity="warning",
        message="the sequence begins with two BOS tokens or ends with two EOS tokens",
        reason="The template writes one and somebody adds another: the model sees at training what it never sees in use.",
        bad="<s><s>[INST] Hello [/INST]",
        good="<s>[INST] Hello [/INST]",
        fix="tokenise rendered text with add_special_tokens=False, or take the token out of the template",
    ),
    SeenRule(
        code="PD608",
        name="no-prefix",
        severity="error",
        message="the rendered prompt is not the beginning of the rendered conversation",
        reason="Trainers find the answer behind the prompt: the mask of the loss then stands at the wrong place.",
        bad="a template whose generation prompt opens a thought that the finished turn does not have",
        good="a template that renders the prompt in the same way with and without the answer",
        fix="use a template whose output with add_generation_prompt is a prefix of the conversation, ending on a token boundary",
    ),
    SeenRule(
        code="PD609",
        name="template-refuses",
        severity="error",
        message="the template raises an error for the record",
        reason="The trainer stops at this row: many templates know no system turn, no tools, or want strictly alternating roles.",
        bad="a system turn for a template with raise_exception('System role not supported')",
        good="roles that the template knows",
        fix="--system merge puts system texts into the first user turn; or use another template",
    ),
    SeenRule(
        code="PD610",
        name="answer-rewritten",
        severity="warning",
        message="the answer's text does not stand in the rendered conversation",
        reason="The template leaves a part out or rewrites it, such as all before </think>: the judgement was about another text.",
        bad="{{ message.content.split('</think>')[-1] }} with an answer that has a thought",
        good="{{ message.content }}",
        fix="take out of the answers what the template removes, or use a template that keeps it",
    ),
)  # fmt: skip
BY_CODE = {r.code: r for r in RULES}
