"""Answers of a local transformers model, in batches of prompts of like length; each is kept in the journal as a server's reply would be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple

import orjson

from prefdata.errors import InputError, UsageError
from prefdata.io.journal import Journal, Stored, Usage
from prefdata.llm.request import OK, Message, Request
from prefdata.llm.stats import Stats
from prefdata.rewards.folder import look
from prefdata.rewards.load import needs_torch
from prefdata.sampling.policies import Policy
from prefdata.tokens.tokenizer import Loaded, load, rendered

RENDERED = 256
"""Prompts that the chat template gets at a time."""
Tell = Callable[[Stats], object]


@dataclass
class LocalStats(Stats):
    """What local policies have done so far."""

    busy: float = 0.0
    """Seconds of generation."""


class Job(NamedTuple):
    """The answers to one prompt that are not in the journal yet."""

    turns: list[Message]
    tools: str | None
    requests: list[Request]


class Row(NamedTuple):
    """One answer that is to be written."""

    ids: list[int]
    """Tokens of the prompt."""
    most: int
    seed: int
    request: Request


@dataclass
class Local:
    """A local policy at work. The model is loaded when it is first needed."""

    policy: Policy
    batch_size: int
    stats: LocalStats
    tell: Tell | None = None
    _model: Any = None
    _device: str = "cpu"

    def __post_init__(self) -> None:
        assert self.policy.folder is not None
        self.where = f"--policy hf:{self.policy.folder}"
        needs_torch(self.where)
        self.tokenizer = load(self.policy.folder)
        self.ends = end_tokens(self.tokenizer)
        if not self.ends:
            raise UsageError(f"{self.where}: the tokenizer names no eos_token, so no answer would ever end")
        self._longest = look(self.policy.folder, self.where).longest or 1 << 30

    def answer(self, jobs: Sequence[Job], journal: Journal) -> None:
        """Have all answers in the journal. Raises UsageError without a chat template, InputError when the model cannot be loaded or one
        answer alone does not fit into memory."""
        rows = sorted(self._rows(jobs, journal), key=lambda r: -len(r.ids))  # the longest first: memory runs out early or never
        while rows:
            batch = rows[: self.batch_size]
            started = time.monotonic()
            replies = self._fitting(batch)
            if replies is None:
                if len(batch) == 1:
                    tokens = len(batch[0].ids) + batch[0].most
                    raise InputError(f"{self.where}: one answer alone ({tokens:,} tokens) does not fit into memory")
                _free()
                self.batch_size = len(batch) // 2
                continue
            rows = rows[len(batch) :]
            _commit(journal, [(r.request.key, Stored(OK, raw)) for r, raw in zip(batch, replies, strict=True)])
            self.stats.busy += time.monotonic() - started
            if self.tell is not None:
                self.tell(self.stats)

    def _rows(self, jobs: Sequence[Job], journal: Journal) -> Iterator[Row]:
        """Answers to be written; prompts that cannot be answered go to the journal at once."""
        refused: list[tuple[bytes, Stored]] = []
        for job, ids in zip(jobs, self._prompts(jobs), strict=True):
            room = self._longest - len(ids or ())
            if ids is None or room <= 0:
                refused += [(r.key, Stored("template" if ids is None else "context-length", b"")) for r in job.requests]
                continue
            for r in job.requests:
                seed = orjson.loads(r.body).get("seed", 0)
                yield Row(ids, min(r.max_tokens, room), seed, r)
        _commit(journal, refused)

    def _prompts(self, jobs: Sequence[Job]) -> Iterator[list[int] | None]:
        """The tokens of each prompt by the chat template, as training has them: what the template does not write (a second BOS) is not
        added. None where the template refuses the turns."""
        batches: Iterator[list[Any]] = ([(j.turns, [], j.tools) for j in jobs[i : i + RENDERED]] for i in range(0, len(jobs), RENDERED))
        for answers in rendered(self.tokenizer, batches) if jobs else ():
            texts = [a["texts"][0] if "texts" in a else None for a in answers]
            encoded = iter(self.tokenizer.tokenizer.encode_batch_fast([t for t in texts if t is not None], add_special_tokens=False))
            for text in texts:
                yield None if text is None else list(next(encoded).ids)

    def _fitting(self, batch: Sequence[Row]) -> list[bytes] | None:
        """One batch, None when it does not fit into memory. (The error holds the batch's tensors: it has to be gone before the next.)"""
        try:
            return self._batch(batch)
        except (MemoryError, RuntimeError) as e:
            if not out_of_memory(e):
                raise
            return None

    def _batch(self, batch: Sequence[Row]) -> list[bytes]:
        """One batch, padded on the left."""
        import torch
        from transformers import StoppingCriteriaList

        from prefdata.sampling.gumbel import Ends, processors

        p, model, began = self.policy, self._loaded(), max(len(r.ids) for r in batch)
        pad = min(self.ends)
        ids = torch.tensor([[pad] * (began - len(r.ids)) + r.ids for r in batch], device=self._device)
        mask = torch.tensor([[0] * (began - len(r.ids)) + [1] * len(r.ids) for r in batch], device=self._device)
        ends = Ends(began, [r.most for r in batch], p.stop, self._decoded, self._device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(r.most for r in batch),
                logits_processor=processors(p.temperature, p.top_k, p.top_p, [r.seed for r in batch], self._device),
                stopping_criteria=StoppingCriteriaList([ends]),
            )
        replies = [self._reply(r, new) for r, new in zip(batch, out[:, began:].tolist(), strict=True)]
        self.stats.replies += len(batch)
        return replies

    def _reply(self, row: Row, new: list[int]) -> bytes:
        """What was written, as a chat completion."""
        new = new[: row.most]
        end = next((i for i, token in enumerate(new) if token in self.ends), None)
        text = self._decoded(new[:end])
        at = min((i for s in self.policy.stop if (i := text.find(s)) >= 0), default=None)
        finish = "length" if end is None and at is None else "stop"
        count = len(new) if end is None else end + (at is None)
        self.stats.tokens_in += len(row.ids)
        self.stats.tokens_out += count
        return orjson.dumps(
            {
                "object": "chat.completion",
                "model": self.policy.model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text[:at]}, "finish_reason": finish}],
                "usage": {"prompt_tokens": len(row.ids), "completion_tokens": count, "total_tokens": len(row.ids) + count},
            }
        )

    def _decoded(self, ids: list[int]) -> str:
        return str(self.tokenizer.tokenizer.decode(ids, skip_special_tokens=True))

    def _loaded(self) -> Any:
        if self._model is None:
            import torch
            from transformers import GenerationConfig

            from prefdata.rewards.load import quiet
            from prefdata.train.load import load_model

            cuda = torch.cuda.is_available()
            self._device = "cuda" if cuda else "cpu"
            dtype = torch.bfloat16 if self.policy.dtype == "bfloat16" or (self.policy.dtype == "auto" and cuda) else torch.float32
            with quiet():
                model = load_model(str(self.policy.folder), head="lm", dtype=dtype, whole=True).to(self._device).eval()
            # the folder's own settings (a repetition penalty ...) would change the draws unseen
            model.generation_config = GenerationConfig(eos_token_id=sorted(self.ends), pad_token_id=min(self.ends), do_sample=False)
            self._model = model
        return self._model


def end_tokens(loaded: Loaded) -> set[int]:
    """EOS, what generation_config.json names beside it, and the token that the chat template writes behind an answer."""
    named = {loaded.tokenizer.token_to_id(t) for t in loaded.ends}
    turn, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    ((found,),) = rendered(loaded, [[([turn], [[answer]], None)]])
    prompt, whole = found.get("texts", ["", ""])
    behind = whole[len(prompt) :].partition("b")[2] if whole.startswith(prompt) else ""
    special = {t.content: i for i, t in loaded.tokenizer.get_added_tokens_decoder().items() if t.special}
    named |= {i for content, i in special.items() if behind.lstrip().startswith(content)}
    return {i for i in named if i is not None}


def out_of_memory(e: BaseException) -> bool:
    import torch

    said = str(e).lower()
    return isinstance(e, MemoryError | torch.OutOfMemoryError) or "out of memory" in said or "can't allocate memory" in said


def _free() -> None:
    """Give back what the failed batch held."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _commit(journal: Journal, replies: Iterable[tuple[bytes, Stored]]) -> None:
    """Store replies and wait until they are on the disk. They cost nothing. Raises InputError when the disk does not take them."""
    said: SimpleQueue[BaseException | None] = SimpleQueue()
    count = 0
    for key, stored in replies:
        journal.put(key, stored, Usage(), said.put)
        count += 1
    for _ in range(count):
        error = said.get()
        if error is not None:
            raise error
