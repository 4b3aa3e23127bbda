"""PD2: does a pair say what it seems to say? What only shows in comparison with other rows stands in `conflicts.py`."""

from __future__ import annotations

import numpy as np
import polars as pl

from prefdata.checks.near import heads, letters, levenshtein, loosely_equal, mask, prefix
from prefdata.checks.rule import Rule
from prefdata.checks.screens import says, where
from prefdata.checks.view import Hits, Ints, Mask, View

SPEAKER = "(?:Human|HUMAN|Assistant|ASSISTANT|User|USER):"
HEADING = "### ?(?:Human|Assistant|User|System|Instruction|Response):"
MARKERS = rf"\n\n{SPEAKER}|\n{HEADING}|^\s*(?:{SPEAKER}|{HEADING})"
"""Turn markers of transcripts: a speaker at the start of a paragraph, a heading at the start of a line, either at the start of a text."""
MARKER_SCREEN = says(f"{SPEAKER}|{HEADING}")

BEFORE = " \t\r\n\"'“”„«>*#"
"""What may stand before a prompt that an answer repeats."""

LOOSELY = 0.75
"""Texts that are equal but for punctuation and white space are mostly of similar length; only such pairs are compared."""


def shared_first_turn(v: View) -> list[Hits]:
    at = np.flatnonzero((v.turns("chosen").lengths > 1) & (v.turns("rejected").lengths > 1))
    first = pl.col("chosen").list.first() == pl.col("rejected").list.first()
    return v.rows(mask(len(v), at[v.df.select(v.answers)[at].select(first.alias("f"))["f"].to_numpy()]))


def prefix_answer(v: View, min_bytes: int = 4) -> list[Hits]:
    shorter = np.minimum(v.turns("chosen").bytes, v.turns("rejected").bytes)
    at = np.flatnonzero(_single(v) & (shorter >= max(min_bytes, 1)))
    return v.rows(mask(len(v), at[prefix(_sides(v, at), shorter[at])]))


def near_identical(v: View, similarity: float = 0.95, min_bytes: int = 40, max_bytes: int = 50_000) -> list[Hits]:
    sizes = [v.turns(c).bytes for c in v.answers]
    small, large = np.minimum(*sizes), np.maximum(*sizes)
    # one edit is at most four bytes, so what is near in characters is not far in bytes
    ratio = min(LOOSELY, 1 - 4 * (1 - similarity))
    at = np.flatnonzero(_single(v) & (large >= min_bytes) & (large <= max_bytes) & (small >= ratio * large))
    sides = _sides(v, at)
    near = np.flatnonzero(levenshtein(sides, similarity) | loosely_equal(sides))
    near = near[~prefix(sides[near], small[at[near]])]
    return v.rows(mask(len(v), at[near]))


def marker_in_answer(v: View) -> list[Hits]:
    return where(v, says(MARKERS), columns=v.answers, screen=MARKER_SCREEN)


def prompt_in_answer(v: View, min_bytes: int = 20) -> list[Hits]:
    prompt = v.turns("prompt")
    asked = prompt.last
    sizes, start = asked.str.len_bytes().to_numpy(), heads(asked)
    user = (prompt.flat["role"].gather(prompt.ends - 1) == "user").to_numpy() & (sizes >= min_bytes)
    odd = (letters(start)[:, 0] == 0) | (sizes < 4)
    repeated = pl.col("content").str.strip_chars_start(BEFORE).str.starts_with(pl.col("asked").str.strip_chars())
    out = []
    for c in v.answers:
        turns = v.turns(c)
        row, begin = np.repeat(np.arange(len(v)), turns.lengths), heads(turns.content)
        # a text and its repetition begin with the same bytes, unless one of them has something like a quote or a space before
        at = np.flatnonzero(user[row] & ((begin == start[row]) | odd[row] | (letters(begin)[:, 0] == 0)))
        both = turns.flat.select("role", "content")[at].with_columns(asked=asked[row[at]])
        at = at[both.select(((pl.col("role") == "assistant") & repeated).alias("f"))["f"].to_numpy()]
        out += [turns.hits_at(at, c)] if len(at) else []
    return out


def zero_margin(v: View) -> list[Hits]:
    if "margin" not in v.df.columns:
        return []
    tie = (pl.col("p_chosen") == 0.5).fill_null(False) if "p_chosen" in v.df.columns else pl.lit(False)
    return v.rows((pl.col("margin") == 0) & ~tie)


def margin_of_a_tie(v: View) -> list[Hits]:
    if not {"margin", "p_chosen"} <= set(v.df.columns):
        return []
    return v.rows((pl.col("p_chosen") == 0.5) & (pl.col("margin") > 0))


def scores_against_label(v: View) -> list[Hits]:
    """Each kind of annotator (people, judges, …) says one thing: what most statements on the answers as a whole say; without such, what its
    statements on aspects say, if none of them differs and each is about both answers. A pair is flagged when some kind is against the label
    and none for it. Ties have no label."""
    if "annotations" not in v.df.columns:
        return []
    said = _statements(v.df["annotations"])
    whole = pl.col("aspect").is_null() | (pl.col("aspect") == "overall")
    said = said.filter(whole | ~whole.any().over("row", "kind"))
    up, down = (pl.col("vote") > 0).sum(), (pl.col("vote") < 0).sum()
    even = ~whole.all() & (((up > 0) & (down > 0)) | pl.col("vote").is_null().any())
    kinds = said.group_by("row", "kind").agg(pl.when(even).then(0).otherwise(up.cast(pl.Int64) - down.cast(pl.Int64)).alias("vote"))
    rows = kinds.group_by("row").agg(against=(pl.col("vote") < 0).any() & ~(pl.col("vote") > 0).any()).filter("against")["row"]
    tie = (pl.col("p_chosen") == 0.5).fill_null(False) if "p_chosen" in v.df.columns else pl.lit(False)
    return v.rows(pl.lit(pl.Series(mask(len(v), rows.to_numpy()))) & ~tie)


def _statements(annotations: pl.Series) -> pl.DataFrame:
    """`row, kind, aspect, vote`: above 0 for chosen, below 0 for rejected. Outcomes (or probabilities) of comparisons, and scores that one
    annotator gave both answers on one aspect; null where the two have not equally many (then their sum and their mean may differ)."""
    flat = annotations.to_frame("a").with_row_index("row").explode("a", empty_as_null=False, keep_nulls=False).unnest("a")
    shown = pl.col("completions").list
    turned = pl.when(shown.get(0, null_on_oob=True) == "rejected").then(-1).otherwise(1)
    side = shown.get(0, null_on_oob=True)
    verdict = pl.coalesce(
        pl.col("outcome").replace_strict({"first": 1.0, "second": -1.0, "tie": 0.0}, default=None, return_dtype=pl.Float64),
        pl.when(pl.col("outcome").is_null()).then(pl.col("p_first") - 0.5),
    )
    both = flat.filter((shown.len() == 2) & shown.contains("chosen") & shown.contains("rejected"))
    compared = both.select("row", "kind", "aspect", (verdict * turned).alias("vote")).filter(pl.col("vote").is_not_null())
    one = flat.filter((shown.len() == 1) & pl.col("score").is_not_null() & pl.col("outcome").is_null())
    a, b = (pl.col("score").filter(side == c) for c in ("chosen", "rejected"))
    vote = pl.when(a.len() == b.len()).then(a.sum() - b.sum()).alias("vote")
    scored = one.group_by("row", "kind", "annotator", "aspect").agg(vote)
    return pl.concat([compared, scored.select(compared.columns)])


def _single(v: View) -> Mask:
    """Pairs whose answers are one turn each, without tool calls."""
    single: Mask = (v.turns("chosen").lengths == 1) & (v.turns("rejected").lengths == 1)
    for turns in (v.turns(c) for c in v.answers if "tool_calls" in v.turns(c).flat.columns):
        single &= turns.flat["tool_calls"].gather(turns.ends - 1).is_null().to_numpy()
    return single


def _sides(v: View, at: Ints) -> pl.DataFrame:
    """The texts of chosen and rejected of some single-turn pairs."""
    return pl.DataFrame({c: v.turns(c).last for c in v.answers})[at]


RULES = (
    Rule(
        code="PD201",
        name="identical",
        severity="error",
        message="chosen and rejected are identical",
        reason="A preference between equal texts has no gradient that means anything; it only adds noise to accuracy and margins.",
        bad='"chosen": […"Yes."…], "rejected": […"Yes."…]',
        good='"chosen": […"Yes."…], "rejected": […"No."…]',
        fix="drop the row",
        kinds=("pair",),
    ),
    Rule(
        code="PD202",
        name="shared-first-turn",
        severity="warning",
        message="both answers begin with the same turn, which belongs to the prompt",
        reason="Log-probs of a shared turn cancel out in the loss but cost its length twice, and truncation may cut what differs.",
        bad='"chosen": [A, user, B], "rejected": [A, user, C]',
        good='"prompt": […, A, user], "chosen": [B], "rejected": [C]',
        fix="move the shared turns into the prompt",
        kinds=("pair",),
        row=shared_first_turn,
    ),
    Rule(
        code="PD203",
        name="prefix-answer",
        severity="warning",
        message="one answer is the beginning of the other",
        reason="Such pairs teach length or early stopping; often one answer was cut off by a token limit.",
        bad='"chosen": "Paris is the capital.", "rejected": "Paris"',
        good="two complete answers",
        fix="look whether the shorter answer was truncated; drop the row if so",
        kinds=("pair",),
        row=prefix_answer,
    ),
    Rule(
        code="PD204",
        name="marker-in-answer",
        severity="warning",
        message="an answer contains a turn marker",
        reason="The answer holds another turn: the split was wrong, or the model spoke for the user. Training on it teaches just that.",
        bad='"content": "Sure.\\n\\nHuman: and then?"',
        good='"content": "Sure."',
        fix="split the transcript at its markers, or drop the row",
        row=marker_in_answer,
    ),
    Rule(
        code="PD206",
        name="zero-margin",
        severity="warning",
        message="the margin is 0 but the pair has a direction",
        reason="Equal scores are a tie; a direction was invented when the pair was made.",
        bad='"margin": 0',
        good='"margin": 0, "p_chosen": 0.5',
        fix="drop the row, or keep it as a tie (convert --ties soft)",
        kinds=("pair",),
        field="margin",
        row=zero_margin,
    ),
    Rule(
        code="PD210",
        name="near-identical",
        severity="warning",
        message="chosen and rejected differ in almost nothing",
        reason="Where two answers share nearly every token, DPO lowers the probability of both, and annotators' choices are mostly chance.",
        bad='"chosen": "It has a huge effect on me!", "rejected": "It has a huge impact on me."',
        good="answers that differ in what is to be learnt",
        fix="drop the row, or train on it with a loss that keeps the chosen answer likely (DPO-positive, or an SFT term)",
        kinds=("pair",),
        row=near_identical,
    ),
    Rule(
        code="PD211",
        name="scores-against-label",
        severity="warning",
        message="the scores or votes on the two answers contradict the label",
        reason="One of the two statements is wrong: a reward model fits the label, a margin comes from the scores.",
        bad="chosen has score 2, rejected has score 4",
        good="chosen has score 4, rejected has score 2",
        fix="find out which of the two was meant, or drop the row",
        kinds=("pair",),
        field="annotations",
        row=scores_against_label,
    ),
    Rule(
        code="PD212",
        name="soft-label-against-direction",
        severity="error",
        message="p_chosen is below 0.5: the soft label prefers the rejected answer",
        reason="One of the two statements is wrong; a trainer with soft labels and one without would learn opposite preferences.",
        bad='"p_chosen": 0.2',
        good='chosen and rejected exchanged, "p_chosen": 0.8',
        fix="exchange the answers, or correct the probability",
        kinds=("pair",),
        field="p_chosen",
    ),
    Rule(
        code="PD213",
        name="prompt-in-answer",
        severity="warning",
        message="an answer begins with the prompt",
        reason="Base models and servers that echo do so; training on it teaches the model to repeat the question.",
        bad='"prompt": "What is the capital of France?", "chosen": "What is the capital of France? Paris."',
        good='"chosen": "Paris."',
        fix="cut the prompt off where the answers were sampled (return_full_text=False, echo=False)",
        row=prompt_in_answer,
    ),
    Rule(
        code="PD215",
        name="margin-of-a-tie",
        severity="warning",
        message="p_chosen is 0.5, a tie, but the margin is above 0",
        reason="Losses with a margin learn a direction here, losses with soft labels learn that there is none.",
        bad='"margin": 2, "p_chosen": 0.5',
        good='"margin": 0, "p_chosen": 0.5',
        fix="set the margin to 0, or the probability to what the margin means",
        kinds=("pair",),
        field="margin",
        row=margin_of_a_tie,
    ),
)
