"""What batch services give back, into the journal: output and error files of OpenAI and Azure, output files of `vllm run-batch`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Semaphore
from typing import Any, BinaryIO

import orjson

from prefdata.errors import InputError, UsageError
from prefdata.io.journal import Journal, Stored, Usage
from prefdata.llm.outcome import outcome, said, usage_of
from prefdata.llm.request import OK, REFUSALS, Reply

REQUESTS = re.compile(r"requests-\d{4,}\.jsonl")
ABOUT = "batch.json"
"""Written last by an export."""
LONGEST = 8 << 20
"""Bytes of the longest line of results that is looked at: an answer of a few thousand tokens with log-probs has one megabyte."""
WAITING = 2000
"""Most replies on their way into the journal."""
SHOWN = 10
_NOT_RUN = {"batch_expired": "batch-expired", "batch_cancelled": "batch-cancelled"}
"""Errors of requests that were never run."""


@dataclass
class Imported:
    """What an import took in. read = stored + known + unknown + failed + damaged."""

    read: int = 0
    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Of the stored: those that are no answers, by reason."""
    known: int = 0
    """Results whose requests have another result that counts, from this import or an earlier one."""
    unknown: int = 0
    """Results of requests that no file of the folder has."""
    failed: Counter[str] = field(default_factory=Counter)
    """Results that are no replies, by reason; the next export has their requests again."""
    example: dict[str, str] = field(default_factory=dict)
    """What a service said, once for every reason of failure."""
    damaged: int = 0
    where: list[str] = field(default_factory=list)
    """The first damaged lines, as file:line: reason."""
    open: int = 0
    """Requests of the folder that have no reply."""
    usage: Usage = field(default_factory=Usage)
    estimated: int = 0
    """Answers without usage: the most that they can cost is counted."""
    served: Counter[str] = field(default_factory=Counter)
    """Answers by the model that the service names."""

    @property
    def exit_code(self) -> int:
        return 1 if self.failed or self.damaged or self.unknown else 0

    def as_dict(self) -> dict[str, Any]:
        counters = {k: dict(v) for k, v in vars(self).items() if isinstance(v, Counter)}
        return {**vars(self), **counters, "usage": self.usage._asdict()}

    def lines(self) -> list[str]:
        """The account for people, with what to do next."""
        out = [f"batch: {self.read:,} results read, {self.stored:,} replies stored, {self.open:,} requests are still open"]
        out += [f"  refused, {reason}: {n:,} (a result of the row; {REFUSALS[reason]})" for reason, n in self.refused.most_common()]
        out += [f"  failed, {reason}: {n:,} ({self.example[reason]})" for reason, n in self.failed.most_common()]
        out += [f"  stored before: {self.known:,}"] if self.known else []
        out += [f"  of unknown requests, ignored: {self.unknown:,} (results of another run?)"] if self.unknown else []
        out += [f"  damaged: {self.damaged:,}", *[f"    {w}" for w in self.where]] if self.damaged else []
        u = self.usage
        out.append(f"  {u.tokens_in:,} tokens in, {u.tokens_out:,} out" + (f", {u.usd:.4f} USD" if u.usd else ""))
        out.append("next: the same command with --batch export, for what is open and what depends on these replies;")
        out.append("when it finds nothing to ask, the same command without --batch writes the output")
        return out


def import_batch(
    folder: str, journal: Journal, files: Sequence[str] | None = None, *, price_in: float | None = None, price_out: float | None = None
) -> Imported:
    """Take the results that lie in `folder` (or in `files`) into the journal. Which requests are ours, the request files of the folder say.

    Replies and refusals are stored; anything that may be different the next time is only noted. Prices are USD per million tokens, as the
    batch service bills them. Raises UsageError when there is nothing to import, InputError when a file cannot be read or the journal not
    be written.
    """
    asked = _asked(folder)
    paths = list(files) if files else _results(folder)
    found = Imported()
    store = _Store(journal, found, asked, lambda n, m: (n * (price_in or 0.0) + m * (price_out or 0.0)) / 1e6)
    for path in paths:
        try:
            with open(path, "rb") as f:
                for number, line in _lines(f):
                    found.read += 1
                    wrong = "longer than any reply should be" if line is None else store.take(line)
                    if wrong:
                        found.damaged += 1
                        if len(found.where) < SHOWN:
                            found.where.append(f"{path}:{number}: {wrong}")
        except OSError as e:
            raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None
    store.finish()
    found.open = sum(1 for s in _stored(journal, asked) if not s)
    return found


def _results(folder: str) -> list[str]:
    found = sorted(n for n in os.listdir(folder) if n.endswith(".jsonl") and not n.startswith(".") and not REQUESTS.fullmatch(n))
    if not found:
        raise UsageError(f"{folder} has no results: put the output and error files of the batches there (any name ending in .jsonl)")
    return [os.path.join(folder, n) for n in found]


Asked = dict[bytes, int]
"""The keys of requests, with `most` of each."""


def most(tokens_in: int, tokens_out: int) -> int:
    """Both numbers in one, which takes a third of the memory of two."""
    return tokens_in << 32 | tokens_out


def _asked(folder: str) -> Asked:
    """All requests that were exported, with the most tokens that they can cost (a token is at least one byte)."""
    names = sorted(n for n in os.listdir(folder) if REQUESTS.fullmatch(n)) if os.path.isdir(folder) else []
    if not names:
        raise UsageError(f"{folder} has no request files; --batch export writes them")
    out: Asked = {}
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            for number, line in enumerate(f, 1):
                try:
                    row = orjson.loads(line)
                    out[bytes.fromhex(row["custom_id"])] = most(
                        len(line), row["body"].get("max_tokens") or row["body"]["max_completion_tokens"]
                    )
                except (ValueError, KeyError, TypeError):
                    raise InputError(f"{path}:{number}: not a request as --batch export writes them; export again") from None
    return out


def _stored(journal: Journal, keys: Asked) -> Iterator[bool]:
    ordered = list(keys)
    for i in range(0, len(ordered), 500):
        yield from (s is not None for s in journal.find(ordered[i : i + 500]))


def _lines(f: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers, blank ones left out; None for one that is too long."""
    number = 0
    while line := f.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            while (rest := f.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line


class _Store:
    """Results into the journal, a bounded number at once."""

    def __init__(self, journal: Journal, found: Imported, asked: Asked, price: Callable[[int, int], float]) -> None:
        self._journal = journal
        self._found = found
        self._asked = asked
        self._price = price
        self._seen: set[bytes] = set()
        self._failed: dict[bytes, tuple[str, str]] = {}
        self._room = Semaphore(WAITING)
        self._error: BaseException | None = None

    def take(self, line: bytes) -> str | None:
        """Why the line is damaged, None when it is not."""
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as e:
            return f"not valid JSON: {e}" + ("" if line.endswith(b"\n") else " (the file ends here: is it complete?)")
        if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
            return "no object with a 'custom_id'"
        if row.get("response") is None and row.get("error") is None:
            return "neither 'response' nor 'error'" + (" (this is a request, not a result)" if "body" in row else "")
        key = _key(row["custom_id"])
        if key in self._seen or self._journal.find([key])[0] is not None:
            self._found.known += 1
        elif key not in self._asked:
            self._found.unknown += 1
        else:
            self._result(key, row)
        return None

    def _result(self, key: bytes, row: dict[str, Any]) -> None:
        status, body, code = _response(row)
        reply = Reply(key, OK, body)
        code = code or outcome(status, body, reply)
        if code == OK or code in REFUSALS:
            if self._failed.pop(key, None):
                self._found.known += 1
            self._put(key, code, reply)
        elif key in self._failed:
            self._found.known += 1
        else:
            self._failed[key] = code, said(body)

    def _put(self, key: bytes, code: str, reply: Reply) -> None:
        f = self._found
        used = usage_of(reply) if code == OK else (0, 0)
        if used is None:
            f.estimated += 1
            used = self._asked[key] >> 32, self._asked[key] & 0xFFFFFFFF
        usage = Usage(1, *used, self._price(*used))
        f.stored += 1
        f.usage = f.usage.plus(usage)
        if code == OK:
            f.served[reply.model or "unnamed"] += 1
        else:
            f.refused[code] += 1
        self._seen.add(key)
        self._room.acquire()
        if self._error:
            raise self._error
        self._journal.put(key, Stored(code, reply.raw), usage, self._done)

    def _done(self, error: BaseException | None) -> None:
        self._error = self._error or error
        self._room.release()

    def finish(self) -> None:
        """Note the failures, and wait for the commits. Raises the journal's error."""
        for key, (code, example) in self._failed.items():
            self._found.failed[code] += 1
            self._found.example.setdefault(code, example)
            self._journal.failed(key, code)
        for _ in range(WAITING):
            self._room.acquire()
        if self._error:
            raise self._error


def _key(custom_id: str) -> bytes:
    return bytes.fromhex(custom_id) if re.fullmatch("[0-9a-f]{64}", custom_id) else b""


def _response(row: dict[str, Any]) -> tuple[int, bytes, str | None]:
    """Status, body, and the code where the status does not say it. An error without a response was not run; vLLM has the status in the
    response and the error beside it."""
    response, error = row.get("response"), row.get("error")
    if isinstance(response, dict):
        status, body = response.get("status_code"), response.get("body")
        if type(status) is int and (body is not None or error is not None or 200 <= status < 300):
            return status, orjson.dumps(error if body is None else body), None
    said_code = error.get("code") if isinstance(error, dict) else None
    code = _NOT_RUN.get(said_code, "server-error") if isinstance(said_code, str) else "server-error"
    return 0, orjson.dumps(error if error is not None else response), code
