"""Command-line options from an option model: the name, the type, the default and the help of every option are the field's."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError

from prefdata.errors import EXIT_INTERRUPTED, PrefdataError, UsageError
from prefdata.options import Options
from prefdata.schema.dtypes import unwrap
from prefdata.schema.records import explain


def command(model: type[Options], extra: dict[str, Any], run: Callable[..., int]) -> Callable[..., None]:
    """A Typer command: `extra` are parameters of the command line alone (inputs, -o, --json ...), the rest are the model's fields, but
    for those with `json_schema_extra` (too large for an option: the configuration file has them).

    `run(options, **extra values)` gives the exit code. Every error of ours ends as one message and its exit code.
    """

    def call(ctx: typer.Context, **values: Any) -> None:
        own = {name: values.pop(name) for name in extra}
        values = {name: value for name, value in values.items() if _given(ctx, name)}
        code = guarded(lambda: run(parse(model, values), **own))
        if code:
            raise typer.Exit(code)

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, annotation=t, default=inspect.Parameter.empty if d is ... else d)
        for n, (t, d) in extra.items()
    ]
    parameters += [_parameter(name, field) for name, field in model.model_fields.items() if not field.json_schema_extra]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _given(ctx: typer.Context, name: str) -> bool:
    """Whether the user gave an option; what is not given is the model's default, or a configuration file's."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameter(name: str, field: Any) -> inspect.Parameter:
    core, _, _ = unwrap(field.annotation)
    is_text = get_origin(core) in (dict, list, tuple)
    flag = "--" + (field.alias or name).replace("_", "-")
    default = None if field.default_factory or field.is_required() else field.default
    flags = (f"-{name}", flag) if len(name) == 1 else (flag,)
    option = typer.Option(*flags, help=field.description, show_default=default not in (None, False))
    hint = Annotated[str if is_text else core, option] if default is not None else Annotated[(str if is_text else core) | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def parse(model: type[Options], values: dict[str, Any]) -> Options:
    """The option model. Raises UsageError with every wrong option."""
    try:
        return model.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as e:
        about = {f.alias or name: f.description for name, f in model.model_fields.items()}
        lines = [
            f"--{field.replace('_', '-')}: {f'is needed: {about[field]}' if message == 'Field required' and field in about else message}"
            for field, message in explain(e)
        ]
        raise UsageError("\n".join(lines)) from None


def guarded(run: Callable[[], int]) -> int:
    """Run, and turn every error into a message on stderr and an exit code; only a bug shows a traceback."""
    try:
        return run()
    except PrefdataError as e:
        for line in str(e).splitlines():
            say(f"error: {line}" if line == str(e).splitlines()[0] else f"  {line}")
        return e.exit_code
    except KeyboardInterrupt as e:
        say(str(e) or "interrupted; nothing was written, the same command starts again")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SystemExit, GeneratorExit):
        raise
    except BaseException:  # polars' panics are no Exceptions
        traceback.print_exc()
        say("this is a bug in prefdata; please report it with the lines above")
        return 70


def told(result: Any, json_: bool, quiet: bool, to_stdout: bool = False) -> int:
    """Say what came of a command, as a JSON object or in lines for people, and give its exit code. `to_stdout`: records go to stdout."""
    if json_:
        import orjson

        print(orjson.dumps(result.as_dict()).decode(), file=sys.stderr if to_stdout else sys.stdout)
    elif not quiet:
        for line in result.lines():
            say(line)
    code: int = result.exit_code
    return code


def say(line: str) -> None:
    """One line for people, on stderr, with control characters of data made visible."""
    print(visible(line.replace("\n", "\\n")), file=sys.stderr)


def visible(text: str) -> str:
    """The text without characters that could steer a terminal or hide (control, bidi, zero-width)."""
    hidden = {0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    return "".join(c if c in "\n\t" or (c.isprintable() and ord(c) not in hidden) else f"\\u{ord(c):04x}" for c in text)
