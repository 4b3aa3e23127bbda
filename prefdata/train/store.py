"""Records as token ids in columns: tokenised once, kept as an Arrow file, mapped into memory by every process that trains.

One row per record that can be trained on. `prompt` and `completions` are int32; a completion is tokenised behind the rendered prompt, apart
from it, as a server continues a prompt: no token stretches over the boundary. Every completion ends with an end-of-sequence token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from prefdata.errors import InputError, UsageError
from prefdata.tokens.tokenizer import Loaded, ended, load, rendered
from prefdata.train.aspects import of_list, of_pair
from prefdata.train.layout import Group, Ids

Truncate = Literal["drop", "prompt", "completion"]
ANSWERS = {"pair": ("chosen", "rejected"), "chosen": ("chosen",), "binary": ("completion",), "desirable": ("completion",)}
"""The answers of a record that are tokenised; `chosen` is SFT on pairs, `desirable` SFT on binary records."""
REASONS = {
    "undesirable": "SFT learns from desirable completions only",
    "template": "the chat template refuses the record",
    "boundary": "the rendered prompt is not the beginning of the rendered conversation",
    "too-long": "longer than --max-length (--truncate prompt|completion cuts it instead)",
    "empty-completion": "no token of a completion is left",
    "equal-completions": "chosen and rejected are the same tokens",
    "no-margin": "no positive margin, and no scores of both answers, which the loss needs",
    "no-order": "no two candidates have different scores or ranks",
    "no-aspect": "nobody compared or scored the answers on one of the aspects",
}
"""Why a record is not trained on."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("prompt", pa.large_list(pa.int32())),
        ("completions", pa.large_list(pa.large_list(pa.int32()))),
        ("scores", pa.list_(pa.float64())),
        ("p_chosen", pa.float64()),
        ("margin", pa.float64()),
        ("weight", pa.float64()),
        ("label", pa.bool_()),
        ("gap", pa.float64()),
        ("aspects", pa.list_(pa.struct([("name", pa.string()), ("values", pa.list_(pa.float64()))]))),
    ]
)
BATCH = 256


@dataclass
class Tokenised:
    """The table, why records are not in it, and what was cut."""

    table: pa.Table
    dropped: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    """`prompt` and `completion`: how many were cut; `eos`: how many completions got an end-of-sequence token that the template lacks."""


class Store:
    """Groups by number, from the table."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        self.size = len(table)
        prompts, lists = (self._column(n) for n in ("prompt", "completions"))
        self._prompt = prompts.offsets.to_numpy(), prompts.values.to_numpy()
        self._lists = lists.offsets.to_numpy()
        self._completion = lists.values.offsets.to_numpy(), lists.values.values.to_numpy()
        begins, _ = self._completion
        ends = begins[self._lists]
        self.lengths = np.diff(self._prompt[0]) + (ends[1:] - ends[:-1])
        """Tokens of each group, the prompt counted once."""

    def _column(self, name: str) -> Any:
        column = self.table.column(name)
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)

    def group(self, i: int) -> Group:
        offsets, prompts = self._prompt
        ends, completions = self._completion
        first, last = self._lists[i], self._lists[i + 1]
        return Group(prompts[offsets[i] : offsets[i + 1]], [completions[ends[j] : ends[j + 1]] for j in range(first, last)])

    def tokens(self) -> list[Any]:
        """All token ids and where rows and completions begin: what tells one store from another, wherever it lies in memory."""
        (offsets, prompts), lists, (ends, completions) = self._prompt, self._lists, self._completion
        inner = ends[lists[0] : lists[-1] + 1]
        first, last = offsets[0], offsets[-1]
        return [offsets - first, prompts[first:last], lists - lists[0], inner - inner[0], completions[inner[0] : inner[-1]]]

    def completion_offsets(self) -> tuple[Any, Any]:
        """Where the completions of each row begin, and where the tokens of each completion begin."""
        return self._lists, self._completion[0]

    def numbers(self, name: str, missing: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A column of numbers, `missing` where there is none."""
        found: np.ndarray[Any, np.dtype[np.float64]] = self._column(name).cast(pa.float64()).fill_null(missing).to_numpy(False)
        return found

    def texts(self, name: str) -> list[str | None]:
        found: list[str | None] = self._column(name).to_pylist()
        return found


def tokenise(
    frames: Iterator[pl.DataFrame], kind: str, tokenizer: str, *, max_length: int | None, truncate: Truncate, progress: Any = None
) -> Tokenised:
    """Records of a kind as token ids. Raises UsageError without a chat template or an end-of-sequence token."""
    loaded = load(tokenizer)
    if not loaded.ends:
        raise UsageError(f"{tokenizer}: the tokenizer names no eos_token; without one the model would never learn to stop")
    batches = list[list[dict[str, Any]]]()

    def jobs() -> Iterator[list[Any]]:
        for frame in frames:
            for part in frame.iter_slices(BATCH):
                batches.append(part.to_dicts())
                yield [(r["prompt"], _answers(r, kind), r.get("tools")) for r in batches[-1]]

    out = Tokenised(SCHEMA.empty_table())
    tables = []
    for replies in rendered(loaded, jobs()):
        rows = batches.pop(0)
        tables.append(_table(rows, replies, kind, loaded, out, max_length, truncate))
        if progress:
            progress(len(rows))
    out.table = pa.concat_tables([out.table, *tables])
    return out


def _answers(row: dict[str, Any], kind: str) -> list[Any]:
    if kind == "listwise":
        return [c["messages"] for c in row["completions"]]
    return [row[name] for name in ANSWERS[kind]]


def _table(
    rows: list[dict[str, Any]],
    replies: list[dict[str, Any]],
    kind: str,
    loaded: Loaded,
    out: Tokenised,
    max_length: int | None,
    truncate: Truncate,
) -> pa.Table:
    kept, texts = [], []
    for row, reply in zip(rows, replies, strict=True):
        if kind == "desirable" and not row["label"]:
            out.dropped["undesirable"] += 1
            continue
        prompt, *whole = reply.get("texts", [None])
        if prompt is None or not all(w.startswith(prompt) for w in whole):
            out.dropped["template" if prompt is None else "boundary"] += 1
            continue
        kept.append(row)
        texts.append([prompt, *[_ended(w[len(prompt) :], loaded, out) for w in whole]])
    encoded = iter(loaded.tokenizer.encode_batch_fast([t for ts in texts for t in ts], add_special_tokens=False))
    lines = []
    for row, ts in zip(kept, texts, strict=True):
        prompt_ids, *completions = [np.asarray(next(encoded).ids, np.int32) for _ in ts]
        group = _fitting(Group(prompt_ids, completions), max_length, truncate, out)
        why = group if isinstance(group, str) else _unfit(group, kind)
        if why is not None or isinstance(group, str):
            out.dropped[str(why)] += 1
            continue
        lines.append(_line(row, kind, group))
    return pa.Table.from_pylist(lines, SCHEMA)


def _ended(completion: str, loaded: Loaded, out: Tokenised) -> str:
    """The completion up to its end-of-sequence token; white space that a template puts behind is not learnt."""
    text = ended(loaded, completion)
    if text != completion.rstrip():
        out.cut["eos"] += 1
    return text


def _fitting(group: Group, max_length: int | None, truncate: Truncate, out: Tokenised) -> Group | str:
    """The group within the maximum length, or the reason why it is dropped."""
    longest = max(map(len, group.completions))
    over = 0 if max_length is None else len(group.prompt) + longest - max_length
    if over <= 0 or max_length is None:
        return group
    if truncate == "prompt" and longest < max_length:
        out.cut["prompt"] += 1
        return group._replace(prompt=group.prompt[over:])
    if truncate == "completion" and len(group.prompt) < max_length:
        room = max_length - len(group.prompt)
        out.cut["completion"] += sum(len(c) > room for c in group.completions)
        return group._replace(completions=[c[:room] for c in group.completions])
    return "too-long"


def _unfit(group: Group, kind: str) -> str | None:
    if not len(group.prompt) or not all(map(len, group.completions)):
        return "empty-completion"
    if kind == "pair" and np.array_equal(group.completions[0], group.completions[1]):
        return "equal-completions"
    return None


def _line(row: dict[str, Any], kind: str, group: Group) -> dict[str, Any]:
    """`gap` and `aspects` are what annotations say (`aspects.py`): of a pair one number per aspect, of a list one per candidate."""
    plain = {name: row.get(name) for name in ("id", "source", "p_chosen", "margin", "weight", "label")}
    out = {**plain, "prompt": group.prompt, "completions": list(group.completions), "scores": [], "gap": None, "aspects": []}
    if kind == "listwise":
        out["scores"] = _scores(row["completions"])
        said = of_list(row.get("annotations"), [c["id"] for c in row["completions"]])
        out["aspects"] = [{"name": name, "values": values} for name, values in sorted(said.items())]
    elif kind == "pair":
        labels, out["gap"] = of_pair(row.get("annotations"))
        out["aspects"] = [{"name": name, "values": [value]} for name, value in sorted(labels.items())]
    return out


def _scores(completions: list[dict[str, Any]]) -> list[float | None]:
    """The scores of candidates, None for those without one; minus their ranks where no two have scores."""
    scores = [c["score"] for c in completions]
    if sum(s is not None for s in scores) > 1:
        return scores
    return [None if c["rank"] is None else -c["rank"] for c in completions]


def with_mismatched(table: pa.Table, seed: int) -> pa.Table:
    """Each row's completion, and behind it the completion of another row: what KTO estimates its z0 with. Which one is a function of seed
    and row, so that the reference's log-probs of it can be kept. Raises UsageError when there is one row only."""
    if len(table) < 2:
        raise UsageError("kto needs two records at least")
    order = np.random.default_rng(seed).permutation(len(table))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    own = table.column("completions").combine_chunks()
    tokens = [c.values for c in (own, own.take(pa.array(other)))]
    flat = pa.concat_arrays(tokens).take(pa.array(np.arange(2 * len(table)).reshape(2, -1).T.ravel()))
    both = pa.LargeListArray.from_arrays(pa.array(2 * np.arange(len(table) + 1), pa.int64()), flat)
    return table.set_column(table.column_names.index("completions"), "completions", both)


def load_table(path: str) -> pa.Table:
    """A stored table, mapped and not copied. Raises InputError."""
    try:
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    except (OSError, pa.ArrowInvalid) as e:
        raise InputError(f"{path}: cannot be read as a token store ({e}); delete it, it will be made again") from None


def save_table(table: pa.Table, path: str) -> None:
    with pa.OSFile(path, "wb") as f, pa.ipc.new_file(f, table.schema) as writer:
        writer.write_table(table)


__all__ = ["REASONS", "Ids", "Store", "Tokenised", "load_table", "save_table", "tokenise"]
