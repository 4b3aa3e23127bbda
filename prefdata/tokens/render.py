"""A process of its own that renders chat templates, because a template is code of whoever made the tokenizer.

It is run as a script, with an empty environment. It reads JSON lines: first the templates and the special tokens, then batches of
conversations; it answers every line with one. Before a template is compiled (where the first expressions are computed) it gives up the
right to open or write files and to start processes, and takes limits for memory and CPU time; the kernel ends it when it goes beyond them.

The environment is that of transformers (utils/chat_template_utils.py at 5.23): sandbox, trimmed blocks, loop controls, `generation` blocks,
`raise_exception`, `strftime_now` and a `tojson` that does not escape. Only jinja2 and the standard library are imported.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 1 << 30
CPU_SECONDS = 5
"""For one batch; a batch of ordinary conversations takes some milliseconds."""
LARGEST = 1 << 26
"""Characters of one rendered record."""
SHOWN = 300


class Refused(Exception):
    """The template does what no chat template needs; nothing is rendered with it."""


class Generation(Extension):
    """`{% generation %}` marks what the assistant wrote; the text is the same without the marks."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Callable[[], str]) -> str:
        return caller()


class Dict:
    """`dict` without its other attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class Namespace(jinja2.utils.Namespace):
    """`namespace` that keeps no names with an underscore in front."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be a name that the template gives
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            Namespace._check(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        Namespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot have the attribute {name!r}")


def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def to_json(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    env.globals["dict"] = Dict()
    env.globals["namespace"] = Namespace
    return env


class Renderer:
    """The compiled templates of a tokenizer."""

    def __init__(self, templates: dict[str, str], special: dict[str, str]) -> None:
        env = environment()
        self.templates = {name: env.from_string(text) for name, text in templates.items()}
        self.special = special

    def one(self, messages: list[dict[str, Any]], tools: Any, generate: bool) -> str:
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        turns = [{k: v for k, v in m.items() if v is not None} for m in messages]
        given = {**self.special, "messages": turns, "tools": tools, "documents": None, "add_generation_prompt": generate}
        return self.templates[name].render(given)

    def record(self, prompt: list[Any], answers: list[list[Any]], tools: str | None) -> dict[str, Any]:
        """The prompt with the opening of an answer, and the prompt with each answer."""
        try:
            definitions = None if tools is None else json.loads(tools)
            texts = [self.one(prompt, definitions, True), *[self.one(prompt + a, definitions, False) for a in answers]]
        except (jinja2.exceptions.SecurityError, MemoryError, OverflowError, OSError) as e:
            raise Refused(shown(e)) from None
        except Exception as e:  # any error of a template is an answer: the trainer would get it as well
            return {"error": shown(e)}
        if sum(map(len, texts)) > LARGEST:
            raise Refused(f"it makes more than {LARGEST:,} characters of one record")
        return {"texts": texts}


def shown(e: BaseException) -> str:
    kind = "" if type(e) is jinja2.TemplateError else f"{type(e).__name__}: "
    return "".join(c if c.isprintable() else " " for c in (kind + str(e))[:SHOWN])


def give_up_rights() -> None:
    """What would open files later is done first: the time zone, the codec of escapes, what jinja2 and Python import when they need it."""
    warm = Renderer({"default": "{{ '\\n' ~ strftime_now('%c') ~ messages | pprint }}{{ raise_exception('') }}"}, {})
    warm.record([{"role": "user"}], [], None)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for right in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):
        resource.setrlimit(right, (0, 0))


def allow_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, resource.RLIM_INFINITY))


def main() -> None:
    give_up_rights()
    renderer: Renderer | None = None
    answer: Any
    for line in sys.stdin.buffer:
        allow_time()
        try:
            given = json.loads(line)
            if renderer is None:
                renderer, answer = Renderer(**given), {}
            else:
                answer = [renderer.record(*job) for job in given]
        except Refused as e:
            answer = {"refused": str(e)}
        except jinja2.TemplateSyntaxError as e:
            answer = {"refused": f"line {e.lineno}: {shown(e)}"}
        except Exception as e:  # constant expressions are computed when the template is compiled
            answer = {"refused": shown(e)}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
