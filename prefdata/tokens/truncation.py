"""How the trainers cut, each read in its source at the version named here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

How = Literal["start", "drop", "favour-answer", "whole"]


@dataclass(frozen=True)
class Truncation:
    """What a target does with a sequence that is longer than its maximum length."""

    how: How
    default: int | None
    """The maximum length unless the user sets one; None: there is none."""
    words: str
    spare: int | None = None
    """With `start`: a row is dropped when its prompt leaves no more than so many tokens; None: no row is dropped."""
    sees: Literal["chat", "text", "prompt"] = "chat"
    """Rendered conversations, plain texts without a template, or prompts alone."""
    strip: str = ""
    """What the trainer strips from the end of the rendered text."""
    eos: str | None = None
    """What it writes before the EOS that it adds to a text without one; None: it adds none."""
    eos_on_cut: bool = False
    """Whether the last token of every sequence is replaced by EOS, so that a cut answer loses one token more."""
    special: bool = False
    """Whether it tokenises with the tokenizer's own BOS and EOS."""


class Cut(NamedTuple):
    """How many tokens of the prompt and of each answer are left."""

    prompt: int
    answers: list[int]


SPACE = " \t\n\r\v\f"
DPO = Truncation("start", 1024, "sequences are cut at the end, rows whose prompt fills the length are dropped", spare=0)
ALL_OR_NOTHING = Truncation("drop", 1024, "rows with a sequence above the length are dropped")
PLAIN = Truncation("start", None, "sequences are cut at the end")

TRUNCATION: dict[str, Truncation] = {
    # TRL 1.16, trainer/{dpo,kto,sft,reward}_trainer.py; strings are tokenised with special tokens and get EOS
    "trl": DPO,
    "trl/reward": ALL_OR_NOTHING,
    "trl/implicit": ALL_OR_NOTHING,
    "trl/standard": replace(DPO, sees="text", eos="", special=True),
    "trl/prompt-only": Truncation("whole", None, "prompts are not cut", sees="prompt"),
    "unsloth": DPO,
    # LLaMA-Factory 0.9.5, data/processor/processor_utils.py, infer_seqlen: prompt and answers are each cut at their end
    "llama-factory": Truncation("favour-answer", 2048, "prompt and answers are cut at their ends, the answers less", strip=SPACE, eos=""),
    # axolotl 0.19.0, utils/data/rl.py, excess_length_strategy drop; answers are right-stripped, TRL adds EOS, a doubled BOS is taken out
    "axolotl": Truncation("drop", 512, "rows with a sequence above the length are dropped", strip=SPACE, eos=""),
    # OpenRLHF 0.11.2, datasets/reward_dataset.py: the last token becomes EOS; the reward model's data set drops no row
    "openrlhf": replace(DPO, default=512, spare=2, strip="\n", eos=" ", eos_on_cut=True),
    "openrlhf/reward": replace(PLAIN, default=512, strip="\n", eos=" ", eos_on_cut=True),
    # align-anything 3f9decc, datasets/text_to_text/preference.py: the collator sets no truncation
    "align-anything": Truncation("whole", 2048, "nothing is cut: longer sequences reach the model whole"),
}  # fmt: skip


def truncation_of(target: str, form: str) -> Truncation:
    """How a target's form is cut; where no trainer is known, at the end if a length is given."""
    return TRUNCATION.get(f"{target}/{form}") or TRUNCATION.get(target) or PLAIN


def cut(t: Truncation, prompt: int, answers: list[int], limit: int) -> Cut | None:
    """What is left of a row with these token counts, or None when the trainer drops it."""
    if t.how == "whole":
        return Cut(prompt, answers)
    if t.how == "drop":
        return None if prompt + max(answers, default=0) > limit else Cut(prompt, answers)
    if t.how == "favour-answer":
        source, target = _favour_answer(prompt, max(answers, default=0), limit)
        return Cut(source, [min(a, target) for a in answers])
    if t.spare is not None and prompt >= limit - t.spare:
        return None
    return Cut(min(prompt, limit), [min(a, max(limit - prompt, 0)) for a in answers])


def _favour_answer(prompt: int, answer: int, limit: int) -> tuple[int, int]:
    """A short answer is kept and the prompt gives way, a short prompt is kept and the answer gives way, else both in proportion."""
    if answer * 2 < limit:
        most = limit
    elif prompt * 2 < limit:
        most = limit - prompt
    else:
        most = int(limit * (answer / (prompt + answer)))
    kept = min(most, answer)
    return min(max(limit - kept, 0), prompt), kept
