"""Numbers of models on this machine: scores of a classifier, or log-probs of a causal model. Each is kept in the journal, under the hash of
the model and of the text, as soon as its batch is done: a run that is stopped goes on, and what is equal is computed once."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import orjson

from prefdata.errors import UsageError
from prefdata.io.journal import Journal, Stored, Usage
from prefdata.llm.request import OK
from prefdata.rewards.folder import ModelFolder
from prefdata.rewards.load import Dtype, RewardModel, ending_of, quiet, ready, weights
from prefdata.rewards.scores import Room, fits, in_batches, known, padding, room_of, scores
from prefdata.rewards.texts import Ending, Text, Texts, shared
from prefdata.sampling.folders import model_hash, words_hash
from prefdata.sampling.score_said import Candidates, Dict, candidates

VERSION = 1
"""Goes up when the same text would get another number."""
Tell = Callable[[int], None]
Number = list[float] | str
"""The numbers of a text, or why it has none."""


@dataclass
class LocalModel:
    """A model at work. `what` is asked of it: `score`, its outputs; `logp`, the log-prob of the answer and its tokens."""

    folder: ModelFolder
    where: str
    what: Literal["score", "logp"]
    record: str
    """The kind of the records."""
    ending: Literal["auto", "eos", "template"] = "auto"
    dtype: Dtype = "float32"
    batch_tokens: int | None = None
    tokenizer: str | None = None
    """Folder of the tokenizer, where it is another one's: a reference reads the tokens of its policy."""
    loaded: RewardModel | None = None
    layout: str | None = None
    room: Room = field(default_factory=lambda: Room(0))

    def __post_init__(self) -> None:
        self.ends: Ending = "eos" if self.what == "logp" else ending_of(self.folder, self.ending)
        self.sha256 = model_hash(self.folder.path)
        words = [] if self.tokenizer is None else [words_hash(self.tokenizer)]
        self._key = orjson.dumps([VERSION, self.what, self.sha256, self.ends, self.dtype, *words])

    def keys(self, row: Dict) -> list[bytes]:
        """The keys of the answers of a record."""
        begin = hashlib.sha256(b"score\n" + self._key + b"\n" + orjson.dumps([_plain(row["prompt"]), row.get("tools")]))
        out = []
        for answer in candidates(row, self.record):
            digest = begin.copy()
            digest.update(orjson.dumps(_plain(answer)))
            out.append(digest.digest())
        return out

    def fill(self, rows: Sequence[Dict], journal: Journal, tell: Tell | None = None) -> None:
        """Have the numbers of all answers in the journal."""
        keys = [self.keys(row) for row in rows]
        found = iter(journal.find([k for some in keys for k in some]))
        todo, taken = list[tuple[Any, Candidates, str | None]](), list[list[bytes]]()
        seen = set[bytes]()
        for row, some in zip(rows, keys, strict=True):
            fresh = []
            for answer, key in zip(candidates(row, self.record), some, strict=True):
                if next(found) is None and key not in seen:
                    seen.add(key)
                    fresh.append((answer, key))
            if fresh:
                todo.append((row["prompt"], [a for a, _ in fresh], row.get("tools")))
                taken.append([k for _, k in fresh])
        if todo:
            rm = self._ready()
            keeping = Keeping(journal, tell)
            self._numbers(rm, rm.texts.of(todo), taken, keeping)
            keeping.wait()

    def _ready(self) -> RewardModel:
        if self.loaded is None:
            with quiet():
                if self.what == "logp" or self.folder.adapter:
                    import torch

                    from prefdata.train.load import load_model

                    kind = "lm" if self.what == "logp" else "score"
                    model = load_model(
                        self.folder.path, head=kind, dtype=getattr(torch, self.dtype), heads=self.folder.outputs or 1, whole=True
                    )
                else:
                    model = weights(self.folder, self.where, self.dtype)
            self.loaded = RewardModel(self.folder, ready(model), Texts(self.tokenizer or self.folder.path, self.ends))
            self.room = room_of(self.loaded.model, self.batch_tokens)
        return self.loaded

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[Number]]:
        """What the journal has of the answers of each record."""
        keys = [self.keys(row) for row in rows]
        found = iter(stored(journal, [k for some in keys for k in some]))
        return [[next(found) for _ in some] for some in keys]

    def release(self) -> None:
        """Let go of the model: the next one needs the memory."""
        self.loaded = None
        import torch

        if torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()

    def _numbers(self, rm: RewardModel, texts: list[list[Text]], keys: list[list[bytes]], keeping: Keeping) -> None:
        """Compute and keep. Texts of one prompt are groups, the prompt computed once, where the model allows it."""
        flat: list[tuple[bytes, Text]] = []
        groups: list[list[tuple[bytes, Text]]] = []
        for row, mine in zip(texts, keys, strict=True):
            usable = []
            for key, text in zip(mine, row, strict=True):
                why = text.why or fits(text, rm.folder.longest) or (None if text.answer else "empty-completion")
                if why is not None:
                    keeping.why(key, why)
                else:
                    usable.append((key, text))
            groups += cut(usable, self.room.tokens)
        known(rm.model, [t for g in groups for _, t in g])
        grouped = [g for g in groups if len(g) > 1 or self.what == "logp"]
        if grouped and self.layout is None:
            self.layout = self._layout(rm, grouped)
        if self.what == "score":
            alone = [self.layout in (None, "own") or not shared([t.ids for _, t in g]) for g in groups]
            flat = [item for g, one in zip(groups, alone, strict=True) if one for item in g]
            groups = [g for g, one in zip(groups, alone, strict=True) if not one]
        flat += [item for g in self._grouped(rm, groups, keeping) for item in g]
        if flat and self.what == "logp":
            for key, _ in flat:
                keeping.why(key, "out-of-memory")
            return
        for part in _parts(flat, 50 * self.room.tokens):
            found, failed = scores(rm, [t for _, t in part], self.room)
            keeping.numbers([(k, w or v) for (k, _), v, w in zip(part, found.tolist(), failed, strict=True)])

    def _layout(self, rm: RewardModel, groups: list[list[tuple[bytes, Text]]]) -> str:
        """Tried on two texts of the longest group and two of the shortest."""
        from prefdata.train.load import choose_layout
        from prefdata.train.scoring import group_of, layout_of

        some = [[t for _, t in g[:2]] for g in sorted(groups, key=_size)]
        if self.what == "score":
            if any(t.segment is not None for t in some[0]):
                return "own"
            return layout_of(rm.model, [group_of(some[0]), group_of(some[-1])], padding(rm))
        try:
            return choose_layout(rm.model, [_behind(some[0]), _behind(some[-1])], "auto", "lm")
        except UsageError:  # its logits are no plain product of states and head
            return "own"

    def _grouped(self, rm: RewardModel, groups: list[list[tuple[bytes, Text]]], keeping: Keeping) -> list[list[tuple[bytes, Text]]]:
        """Gives the groups that do not fit into memory."""
        from prefdata.train.scoring import group_of, group_scores

        model, layout = rm.model, self.layout or "own"
        sizes = np.array([_size(g) for g in groups], np.int64)

        def done(batch: list[int], said: Any) -> None:
            items = [item for i in batch for item in groups[i]]
            good = np.isfinite(said).all(1).tolist()
            keeping.numbers([(k, v if ok else "not-a-number") for (k, _), v, ok in zip(items, said.tolist(), good, strict=True)])

        if self.what == "score":
            left = group_scores(model, sizes, lambda i: group_of([t for _, t in groups[i]]), layout, self.room, done)
        else:
            left = in_batches(
                sizes, self.room, lambda b: done(b, log_probs(model, [_behind([t for _, t in groups[i]]) for i in b], layout)), padded=False
            )
            again = [[item] for i in left for item in groups[i] if len(groups[i]) > 1]
            alone = [groups[i] for i in left if len(groups[i]) == 1]
            return alone + (self._grouped(rm, again, keeping) if again else [])
        return [groups[i] for i in left]


def log_probs(model: Any, groups: list[Any], layout: str) -> Any:
    """Log-probs of the answers of some groups, summed in float64, and their tokens: [answers, 2]."""
    import torch

    from prefdata.train.head import sums
    from prefdata.train.layout import laid_out
    from prefdata.train.load import own_answer
    from prefdata.train.model import token_logps

    with torch.no_grad():
        batch = laid_out(groups, "padded" if layout == "own" else layout).to(next(model.parameters()).device)
        tokens = own_answer(model, batch, "lm") if layout == "own" else token_logps(model, batch)
        said = sums(tokens, batch.owner, len(batch.lengths))
        return torch.stack([said, batch.lengths.double()], 1).cpu().numpy()


def _behind(texts: list[Text]) -> Any:
    """Answers behind the prompt, which is what a causal model is asked about."""
    from prefdata.train.layout import Group

    at = len(texts[0].ids) - texts[0].answer
    return Group(texts[0].ids[:at], [t.ids[at:] for t in texts])


def cut(items: list[tuple[bytes, Text]], tokens: int) -> Iterator[list[tuple[bytes, Text]]]:
    """The texts of a prompt in groups of at most so many tokens, one text at least, the prompt counted once."""
    group: list[tuple[bytes, Text]] = []
    for item in items:
        if group and _size([*group, item]) > tokens:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _size(group: Sequence[tuple[bytes, Text]]) -> int:
    first = group[0][1]
    return len(first.ids) - first.answer + sum(t.answer for _, t in group)


def _parts(items: list[tuple[bytes, Text]], tokens: int) -> Iterator[list[tuple[bytes, Text]]]:
    """Runs of texts after which numbers are kept: of like length, so that little padding is computed."""
    order = sorted(items, key=lambda item: -len(item[1].ids))
    ends = np.cumsum([len(t.ids) for _, t in order]) // max(1, tokens) if order else np.zeros(0, np.int64)
    bounds = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(order)]
    for a, b in pairwise(bounds):
        if b > a:
            yield order[a:b]


def _plain(turns: Any) -> list[Dict]:
    """Turns without empty fields, which some files have and others not."""
    return [{k: v for k, v in t.items() if v is not None} for t in turns]


class Keeping:
    """Keeps numbers in a journal while the next ones are computed. `wait` until they are on the disk."""

    def __init__(self, journal: Journal, tell: Tell | None) -> None:
        self._journal, self._tell, self._count = journal, tell, 0
        self._said: SimpleQueue[BaseException | None] = SimpleQueue()

    def why(self, key: bytes, code: str) -> None:
        """Why a text has no number. What did not fit into memory may fit elsewhere: it is noted as a failure."""
        if code == "out-of-memory":
            self._journal.failed(key, code)
        else:
            self._put(key, Stored(code, b""))

    def numbers(self, items: Sequence[tuple[bytes, Number]]) -> None:
        for key, numbers in items:
            if isinstance(numbers, str):
                self.why(key, numbers)
            else:
                self._put(key, Stored(OK, orjson.dumps(numbers)))
        if self._tell is not None:
            self._tell(len(items))

    def _put(self, key: bytes, stored: Stored) -> None:
        self._journal.put(key, stored, Usage(), self._said.put)
        self._count += 1

    def wait(self) -> None:
        """Raises InputError when the disk does not take them."""
        for _ in range(self._count):
            error = self._said.get()
            if error is not None:
                raise error
        self._count = 0


def stored(journal: Journal, keys: Sequence[bytes]) -> list[Number]:
    """What the journal has of some texts."""
    out: list[Number] = []
    for key, found in zip(keys, journal.find(keys), strict=True):
        if found is None:
            why = journal.why(key)
            out.append(why if why == "out-of-memory" else "not-scored")
        else:
            out.append(orjson.loads(found.raw) if found.code == OK else found.code)
    return out
