"""Answers as the tokens that a reward model reads, each behind its prompt.

eos        as `prefdata train` makes them: the rendered prompt, the answer behind it, up to an end-of-sequence token
template   the whole text as the chat template renders it and as one piece, which is how models of others are served
pair       prompt and answer as the two texts of a tokenizer without a chat template ([CLS] prompt [SEP] answer [SEP])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from prefdata.errors import UsageError
from prefdata.tokens.tokenizer import Loaded, Rendering, ended, load

Ending = Literal["eos", "template", "pair"]
Ids = np.ndarray[Any, np.dtype[np.int32]]
Turns = list[dict[str, Any]]
Job = tuple[Turns, Sequence[Turns], str | None]
"""A prompt, its answers, and the definitions of its tools."""
BATCH = 256
NONE = np.zeros(0, np.int32)


class Text(NamedTuple):
    """The tokens of an answer with its prompt before it. One without tokens says `why`."""

    ids: Ids
    answer: int = 0
    """How many of the tokens are the answer's."""
    segment: int | None = None
    """Where the answer begins as a segment of its own (token type 1)."""
    why: str | None = None


class Texts:
    """Makes texts for the tokenizer of a folder. The chat template runs in a process of its own (`tokens/render.py`)."""

    def __init__(self, folder: str, ending: Ending) -> None:
        self.loaded: Loaded = load(folder)
        if ending == "eos" and not self.loaded.ends:
            raise UsageError(f"{folder}: the tokenizer names no eos_token, and texts that end with it were asked for")
        self.ending: Ending = "pair" if ending == "template" and "default" not in self.loaded.templates else ending
        self._render: Rendering | None = None

    def of(self, jobs: Sequence[Job]) -> list[list[Text]]:
        """The texts of all answers of some prompts. Raises InputError when the template does what none should."""
        if self.ending == "pair":
            return [part for i in range(0, len(jobs), BATCH) for part in self._pairs(jobs[i : i + BATCH])]
        if self._render is None:
            self._render = Rendering(self.loaded)
        make = self._ended if self.ending == "eos" else self._whole
        return [part for i in range(0, len(jobs), BATCH) for part in make(jobs[i : i + BATCH], self._render(list(jobs[i : i + BATCH])))]

    def whole(self, prompt: Turns, answers: Sequence[Turns], tools: str | None) -> list[str | None]:
        """The texts themselves, for a server that makes tokens of them; None where the template refuses the turns."""
        if self._render is None:
            self._render = Rendering(self.loaded)
        found = self._render([(prompt, list(answers), tools)])[0].get("texts")
        return list(found[1:]) if found else [None for _ in answers]

    def _tokens(self, texts: Sequence[str]) -> list[Ids]:
        found = self.loaded.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(e.ids, np.int32) for e in found]

    def _ended(self, jobs: Sequence[Job], replies: Sequence[dict[str, Any]]) -> list[list[Text]]:
        texts, given = list[str](), list[list[str] | None]()
        for reply in replies:
            given.append(reply.get("texts"))
            prompt, *whole = given[-1] or [""]
            texts += [prompt, *(ended(self.loaded, w[len(prompt) :]) for w in whole if w.startswith(prompt))]
        tokens = iter(self._tokens(texts))
        out = []
        for job, said in zip(jobs, given, strict=True):
            before = next(tokens)
            if said is None:
                out.append([Text(NONE, why="template") for _ in job[1]])
                continue
            row = []
            for text in said[1:]:
                if not text.startswith(said[0]):
                    row.append(Text(NONE, why="boundary"))
                else:
                    answer = next(tokens)
                    row.append(Text(np.concatenate([before, answer]), len(answer)))
            out.append(row)
        return out

    def _whole(self, jobs: Sequence[Job], replies: Sequence[dict[str, Any]]) -> list[list[Text]]:
        tokens = iter(self._tokens([t for r in replies for t in r.get("texts", ())]))
        out = []
        for job, reply in zip(jobs, replies, strict=True):
            if "texts" not in reply:
                out.append([Text(NONE, why="template") for _ in job[1]])
                continue
            before = len(next(tokens))
            out.append([Text(ids, max(1, len(ids) - before)) for ids in (next(tokens) for _ in job[1])])
        return out

    def _pairs(self, jobs: Sequence[Job]) -> list[list[Text]]:
        given = [(joined(prompt), joined(a)) for prompt, answers, _ in jobs for a in answers]
        found = iter(self.loaded.tokenizer.encode_batch(given))
        return [[_pair(next(found)) for _ in answers] for _, answers, _ in jobs]


def _pair(e: Any) -> Text:
    # the answer is the second sequence; what stands behind it (a separator) is no part of it
    segment = int(np.argmax(e.type_ids)) if any(e.type_ids) else None
    return Text(np.asarray(e.ids, np.int32), max(1, sum(s == 1 for s in e.sequence_ids)), segment)


def joined(turns: Turns) -> str:
    """Turns as one text."""
    return "\n\n".join(t["content"] for t in turns)


def shared(texts: Sequence[Ids]) -> int:
    """How many first tokens all texts have in common, at least one token of each left over."""
    first, n = texts[0], min(map(len, texts)) - 1
    for other in texts[1:]:
        differ = np.flatnonzero(first[:n] != other[:n])
        n = int(differ[0]) if len(differ) else n
    return max(n, 0)
