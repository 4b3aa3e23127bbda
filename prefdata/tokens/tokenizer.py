"""A tokenizer from a folder: tokenizer.json, the special tokens and the chat templates. No code of the folder runs here; the templates run
in a process of their own (`render.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from prefdata.errors import InputError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ADDED = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
LARGEST = 256 * 1024 * 1024
RENDER = os.path.join(os.path.dirname(__file__), "render.py")


@dataclass(frozen=True)
class Loaded:
    """What `AutoTokenizer.from_pretrained` would know of the folder."""

    folder: str
    tokenizer: Tokenizer
    templates: dict[str, str]
    special: dict[str, str]
    """Special tokens by attribute: `bos_token`, `eos_token`, …"""
    ends: frozenset[str] = field(default_factory=frozenset)
    """EOS and what generation_config.json names beside it."""

    def id_of(self, name: str) -> int | None:
        token = self.special.get(name)
        return None if token is None else self.tokenizer.token_to_id(token)


def load(folder: str) -> Loaded:
    """The tokenizer in a local folder. Raises UsageError when there is none, InputError when it cannot be read."""
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.isfile(path):
        hint = "save_pretrained of a fast tokenizer writes it; names of models are not looked up"
        raise UsageError(f"--tokenizer {folder}: no folder with a tokenizer.json ({hint})")
    read = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")
    names = [path, *(os.path.join(folder, n) for n in read)]
    return _load(os.path.abspath(folder), tuple(os.stat(n).st_mtime_ns if os.path.exists(n) else 0 for n in names))


@lru_cache(maxsize=4)
def _load(folder: str, changed: tuple[int, ...]) -> Loaded:
    try:
        import jinja2  # noqa: F401 - the other process needs it
        from tokenizers import AddedToken, Tokenizer
    except ImportError:
        raise UsageError("--tokenizer needs tokenizers and jinja2: pip install 'prefdata[tokenizer]'") from None
    config = _json(folder, "tokenizer_config.json")
    if "added_tokens_decoder" not in config:
        config |= _json(folder, "special_tokens_map.json")
    _size(folder, "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        given = sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0]))
        extra = {v["content"]: AddedToken(**{k: v[k] for k in ADDED if k in v}) for _, v in given}
    except Exception as e:  # the library raises bare Exception
        raise InputError(f"{folder}: the tokenizer cannot be read ({str(e)[:200]!r})") from None
    tokenizer.no_truncation()  # a saved tokenizer may cut and pad by itself
    tokenizer.no_padding()
    special = {k: t for k, v in config.items() if k.endswith("_token") and (t := _token(v)) is not None}
    known = {a.content for a in tokenizer.get_added_tokens_decoder().values()}
    wanted = {**extra, **{t: AddedToken(t, special=True, normalized=False) for t in special.values() if t not in extra}}
    tokenizer.add_tokens([a for t, a in wanted.items() if t not in known])
    return Loaded(folder, tokenizer, _templates(folder, config), special, _ends(folder, tokenizer, special))


def _size(folder: str, name: str) -> None:
    size = os.path.getsize(os.path.join(folder, name))
    if size > LARGEST:
        raise InputError(f"{folder}/{name}: {size:,} bytes; more than {LARGEST:,} are not read")


def _json(folder: str, name: str) -> dict[str, Any]:
    if not os.path.exists(os.path.join(folder, name)):
        return {}
    value = _parsed(_text(folder, name), f"{folder}/{name}")
    if not isinstance(value, dict):
        raise InputError(f"{folder}/{name}: not a JSON object")
    return value


def _parsed(text: bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise InputError(f"{name}: not JSON ({e.msg})") from None


def _text(folder: str, name: str) -> bytes:
    _size(folder, name)
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def _token(value: Any) -> str | None:
    """A special token is a text or an AddedToken as an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _templates(folder: str, config: dict[str, Any]) -> dict[str, str]:
    """The chat templates by name. A file of its own goes before the configuration, as in transformers."""
    if os.path.exists(os.path.join(folder, "chat_template.jinja")):
        try:
            return {"default": _text(folder, "chat_template.jinja").decode()}
        except UnicodeDecodeError:
            raise InputError(f"{folder}/chat_template.jinja: not UTF-8") from None
    given = config.get("chat_template")
    if isinstance(given, list):
        given = {t.get("name"): t.get("template") for t in given if isinstance(t, dict)}
    named = {"default": given} if isinstance(given, str) else given or {}
    return {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str)}


def _ends(folder: str, tokenizer: Tokenizer, special: dict[str, str]) -> frozenset[str]:
    ids = _json(folder, "generation_config.json").get("eos_token_id")
    named = [tokenizer.id_to_token(i) for i in (ids if isinstance(ids, list) else [ids]) if isinstance(i, int)]
    return frozenset(t for t in (special.get("eos_token"), *named) if t)


def rendered(loaded: Loaded, batches: Iterable[list[Any]]) -> Iterator[list[dict[str, Any]]]:
    """Batches of `(prompt, answers, tools)` as texts, one by one. Raises InputError when the template does what none should."""
    if "default" not in loaded.templates:
        raise UsageError(f"--tokenizer {loaded.folder}: it has no chat template; trainers cannot render messages with it")
    child = _process()
    feeder = _Feeder(child, {"templates": loaded.templates, "special": loaded.special}, batches)
    feeder.start()
    answers = 0
    try:
        for line in child.stdout:
            answer = _answer(line, loaded.folder)
            if answers:
                yield answer
            answers += 1
        feeder.join()
        if feeder.error is not None:
            raise feeder.error
        if answers < feeder.sent:
            raise InputError(f"{loaded.folder}: the chat template is refused: it takes too much time or memory")
    finally:
        child.kill()
        child.wait()
        feeder.join()
        child.stdout.close()


class Rendering:
    """The same, batch by batch, when they are not known beforehand: the process stays for the next one."""

    def __init__(self, loaded: Loaded) -> None:
        if "default" not in loaded.templates:
            raise UsageError(f"--tokenizer {loaded.folder}: it has no chat template; trainers cannot render messages with it")
        self._folder, self._child = loaded.folder, _process()
        weakref.finalize(self, _end, self._child)
        self._ask({"templates": loaded.templates, "special": loaded.special})

    def __call__(self, batch: list[Any]) -> list[dict[str, Any]]:
        """`(prompt, answers, tools)` as texts. Raises InputError when the template does what none should."""
        found: list[dict[str, Any]] = self._ask(batch)
        return found

    def _ask(self, given: Any) -> Any:
        line = b""
        with suppress(BrokenPipeError):  # the process has ended; that there is no answer tells it
            self._child.stdin.write(orjson.dumps(given) + b"\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        if not line:
            raise InputError(f"{self._folder}: the chat template is refused: it takes too much time or memory")
        return _answer(line, self._folder)


def _end(child: Any) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        with suppress(BrokenPipeError):
            pipe.close()


def ended(loaded: Loaded, completion: str) -> str:
    """A rendered answer up to its end-of-sequence token; one without gets it. White space that a template puts behind is left out."""
    text = completion.rstrip()
    if text.endswith(tuple(loaded.ends)):
        return text
    return completion + (loaded.special.get("eos_token") or sorted(loaded.ends)[0])


def _answer(line: bytes, folder: str) -> Any:
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        answer = {"refused": "it makes texts that are not Unicode"}
    if isinstance(answer, dict) and "refused" in answer:
        raise InputError(f"{folder}: the chat template is refused: {answer['refused']}")
    return answer


def _process() -> Any:
    environment = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-P", RENDER], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)


class _Feeder(threading.Thread):
    """Writes batches while the main thread reads what became of earlier ones; the pipe holds it back."""

    def __init__(self, child: Any, head: dict[str, Any], batches: Iterable[list[Any]]) -> None:
        super().__init__(daemon=True)
        self.child, self.head, self.batches = child, head, batches
        self.sent = 1
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self.child.stdin as pipe:
                pipe.write(orjson.dumps(self.head) + b"\n")
                for batch in self.batches:
                    self.sent += 1
                    pipe.write(orjson.dumps(batch) + b"\n")
                    pipe.flush()
        except BrokenPipeError:
            pass  # the process has ended; that answers are missing tells it
        except BaseException as e:
            self.error = e
