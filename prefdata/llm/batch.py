"""Requests as files for batch services: OpenAI's and Azure's Batch API (at half the price) and `vllm run-batch` read the same lines.
`export_batch` writes the requests that have no reply in the journal, `import_batch` (batch_results.py) takes replies in.

A request is known by its key, so files may be split, mixed, sent twice and come back in any order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, NamedTuple

import orjson

from prefdata.errors import InputError
from prefdata.io.journal import Journal
from prefdata.io.write import replacing
from prefdata.llm.batch_results import ABOUT, REQUESTS, Imported, import_batch
from prefdata.llm.plan import Plan
from prefdata.llm.request import DRY, OK, Reply, Request

__all__ = ["Exported", "Imported", "export_batch", "import_batch"]

MOST_REQUESTS = 50_000
MOST_BYTES = 100_000_000
"""Of a file. OpenAI and Azure take 200 MB; distilabel and others found 100 MB to be safe."""
URL = {"openai": "/v1/chat/completions", "azure": "/chat/completions"}

Make = Callable[[], Plan[object]]
"""Begins the plan of one record; each call begins it anew."""


@dataclass
class BatchFile:
    """A file of requests. Services want one model a file."""

    name: str
    model: str
    requests: int = 0
    bytes: int = 0


@dataclass
class Exported:
    """What an export wrote. `tokens_in` is an estimate (a token is about four bytes), `most_tokens_out` what the requests allow."""

    folder: str
    files: list[BatchFile] = field(default_factory=list)
    plans: int = 0
    finished: int = 0
    """Plans that have all their replies."""
    later: int = 0
    """Requests that can only be written when these are answered, as far as one can tell now."""
    tokens_in: int = 0
    most_tokens_out: int = 0

    @property
    def requests(self) -> int:
        return sum(f.requests for f in self.files)

    @property
    def exit_code(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "requests": self.requests}

    def lines(self) -> list[str]:
        """The account for people, with what to do next."""
        if not self.requests:
            return ["batch: nothing to ask, the journal has every reply; the same command without --batch writes the output"]
        named = [f"{f.name} ({f.model}, {f.requests:,} requests, {f.bytes / 1e6:.1f} MB)" for f in self.files]
        out = [
            f"batch: {self.requests:,} requests, about {self.tokens_in:,} tokens, answers of at most {self.most_tokens_out:,} tokens",
            *[f"  {self.folder}/{line}" for line in named],
            f"send each file to the batch service and put what comes back (.jsonl) into {self.folder}/;",
            "then: the same command with --batch import",
        ]
        if self.later:
            out.append(f"another round is needed: {self.later:,} requests depend on these answers")
        return out


def export_batch(
    plans: Iterable[Make],
    journal: Journal,
    folder: str,
    *,
    provider: str = "openai",
    most_requests: int = MOST_REQUESTS,
    most_bytes: int = MOST_BYTES,
) -> Exported:
    """Write the requests of all plans that have no reply in the journal to `folder/requests-0001.jsonl` ..., each once.

    What an earlier export wrote there is replaced; other files stay. Raises InputError when the folder cannot be written, UsageError when
    another process is writing it.
    """
    found = Exported(folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as e:
        raise InputError(f"{folder}: cannot be made ({e.strerror or e})") from None
    about = os.path.join(folder, ABOUT)
    with replacing(about) as temporary:
        if os.path.exists(about):
            os.unlink(about)
        with ExitStack() as files:
            writer = _Writer(found, files, URL[provider], most_requests, most_bytes)
            for r in _once(_all(plans, journal, found)):
                writer.write(r)
        written = {f.name for f in found.files}
        for name in os.listdir(folder):
            if REQUESTS.fullmatch(name) and name not in written:
                os.unlink(os.path.join(folder, name))
        with open(temporary, "wb") as f:  # last: a folder without it is unfinished
            f.write(orjson.dumps(found.as_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return found


def _all(plans: Iterable[Make], journal: Journal, found: Exported) -> Iterator[Request]:
    for make in plans:
        ready, later = open_requests(make, journal)
        found.plans += 1
        found.finished += not ready
        found.later += later
        yield from ready


def _once(requests: Iterable[Request]) -> Iterator[Request]:
    seen: set[bytes] = set()
    for r in requests:
        if r.key not in seen:
            seen.add(r.key)
            yield r


class Missing(NamedTuple):
    """The requests of a plan without a reply: those of the first step that has any, and those of the steps behind it."""

    first: list[Request]
    behind: list[Request]


def open_requests(make: Make, journal: Journal) -> tuple[list[Request], int]:
    """The requests of a plan that can be sent now, and how many more depend on their replies.

    A plan stops at its first missing reply, often only so that a server's prefix cache is warm for the rest. What is behind it is found by
    going on with empty replies, and once more with replies of some words: requests that are the same both times depend on neither. (What
    they do depend on is part of their messages.)
    """
    dry = _drive(make(), journal, lambda r: Reply(r.key, DRY))
    if not dry.behind:
        return dry.first, 0
    words = {r.key for r in _drive(make(), journal, lambda r: Reply(r.key, OK, _WORDS)).behind}
    ready = [r for r in dry.behind if r.key in words]
    return dry.first + ready, len(dry.behind) - len(ready)


_WORDS = orjson.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "not answered yet"}}]})


def _drive(plan: Plan[object], journal: Journal, stand_in: Callable[[Request], Reply]) -> Missing:
    first: list[Request] = []
    behind: list[Request] = []
    try:
        asked = next(plan)
        while True:
            stored = journal.find([r.key for r in asked])
            missing = [r for r, s in zip(asked, stored, strict=True) if s is None]
            (behind if first else first).extend(missing)
            asked = plan.send([stand_in(r) if s is None else Reply(r.key, *s) for r, s in zip(asked, stored, strict=True)])
    except StopIteration:
        return Missing(first, behind)


class _Writer:
    """Lines into files, those of one model (and its servers) together; a new file when the open one is full."""

    def __init__(self, found: Exported, files: ExitStack, url: str, most_requests: int, most_bytes: int) -> None:
        self._found = found
        self._files = files
        self._between = f'","method":"POST","url":"{url}","body":'.encode()
        self._most = most_requests, most_bytes
        self._open: dict[tuple[str, str], tuple[BatchFile, BinaryIO, ExitStack]] = {}

    def write(self, r: Request) -> None:
        line = b'{"custom_id":"' + r.id.encode() + self._between + r.body + b"}\n"
        model = orjson.loads(r.body)["model"]
        file, stream = self._file((r.pool, model), len(line))
        stream.write(line)
        file.requests += 1
        file.bytes += len(line)
        self._found.tokens_in += len(r.body) // 4
        self._found.most_tokens_out += r.max_tokens

    def _file(self, of: tuple[str, str], size: int) -> tuple[BatchFile, BinaryIO]:
        if of in self._open:
            file, stream, own = self._open[of]
            if file.requests < self._most[0] and file.bytes + size <= self._most[1]:
                return file, stream
            own.close()
        file = BatchFile(f"requests-{len(self._found.files) + 1:04d}.jsonl", of[1])
        own = self._files.enter_context(ExitStack())
        temporary = own.enter_context(replacing(os.path.join(self._found.folder, file.name)))
        stream = own.enter_context(open(temporary, "wb"))  # noqa: SIM115 - closed by its stack
        self._found.files.append(file)
        self._open[of] = file, stream, own
        return file, stream
