"""`prefdata journal`."""

from __future__ import annotations

import sys
from typing import Annotated, Any, cast

import typer

from prefdata.cli.options import guarded, parse, say, visible
from prefdata.errors import InputError, UsageError

HELP = """Look into the journal of replies that label, revise, generate, score and sample keep beside their output.

Examples:

  prefdata journal info labelled.parquet.journal

  prefdata journal export labelled.parquet.journal -o replies.jsonl

  prefdata journal reparse labelled.parquet.journal
"""

INFO = """Say what stands in a journal: replies by code, calls, tokens, money, models that answered, and the command that wrote it.

Every reply is checked against its checksum. A journal that is being written can be looked at.

Example:

  prefdata journal info labelled.parquet.journal
"""

EXPORT = """Write one JSON line per reply: key, code, body, usage.

`body` is the response as it came; a response that is no JSON is in `text`, one that is no text in `raw_base64`.

Example:

  prefdata journal export labelled.parquet.journal -o replies.jsonl
"""

REPARSE = """Run the command that wrote a journal again with its replies alone: nothing is sent, nothing is paid.

The records are read again, labels are derived anew, and OUT is replaced; names of files are as the command had them. Exit codes are those
of the command.

Examples:

  prefdata journal reparse labelled.parquet.journal

  prefdata journal reparse labelled.parquet.journal -o again.parquet
"""

File = Annotated[str, typer.Argument(help="The journal, as OUT.journal.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


def info(file: File, json_: Json = False) -> None:
    def show() -> int:
        import json

        from prefdata.io import journal_report

        found = journal_report.info(file)
        if json_:
            print(json.dumps(found, indent=2))
        else:
            for line in journal_report.lines(found):
                print(visible(line.replace("\n", "\\n")))
        return 0

    _end(guarded(show))


def export(
    file: File,
    out: Annotated[str, typer.Option("--out", "-o", help="Output: a file of JSON lines, or - for stdout.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    def write() -> int:
        from prefdata.io import journal_report
        from prefdata.io.journal import Journal
        from prefdata.io.write import file_format

        if file_format(out) != "jsonl":
            raise UsageError(f"{out}: replies are written as plain JSON lines; name a file that ends in .jsonl")
        if out == "-":
            with Journal(file, write=False) as journal:
                for line in journal_report.json_lines(journal):
                    sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            return 0
        count = journal_report.export(file, out)
        if not quiet:
            say(f"{out}: {count:,} replies")
        return 0

    _end(guarded(write))


def reparse(
    file: File,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Output; default: that of the command.")] = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    def again() -> int:
        result = rerun(file, out)
        if json_:
            import orjson

            print(orjson.dumps(result.as_dict()).decode(), file=sys.stderr if out == "-" else sys.stdout)
        elif not quiet:
            for line in result.lines():
                say(line)
        code: int = result.exit_code
        return code

    _end(guarded(again))


def rerun(file: str, out: str | None) -> Any:
    """The result of the kept command, run offline."""
    from prefdata.io.journal import Journal

    with Journal(file, write=False) as journal:
        kept = journal.run()
    if kept is None:
        raise InputError(f"{file}: the command that wrote it is not known; run that command with --offline --journal {file}")
    name, data, options = kept.get("command"), kept.get("data"), kept.get("options")
    target = out or kept.get("out")
    if not isinstance(data, list) or not isinstance(options, dict) or not isinstance(target, str):
        raise InputError(f"{file}: the command that it keeps is not whole; run it with --offline --journal {file}")
    given = {**options, "offline": True, "force": True, "dry_run": False, "batch": None, "journal": file}
    if name == "label":
        from prefdata.judges.options import LabelOptions
        from prefdata.judges.run import label

        return label(data, target, cast("LabelOptions", parse(LabelOptions, given)))
    if name == "revise":
        from prefdata.judges.revise import revise
        from prefdata.judges.revise_options import ReviseOptions

        return revise(data, target, cast("ReviseOptions", parse(ReviseOptions, given)))
    if name == "generate":
        from prefdata.sampling.generate import generate
        from prefdata.sampling.generate_options import GenerateOptions

        return generate(data, target, cast("GenerateOptions", parse(GenerateOptions, given)))
    raise InputError(f"{file}: was written by 'prefdata {name}', which this version does not know; update prefdata")


COMMANDS = {"info": (INFO, info), "export": (EXPORT, export), "reparse": (REPARSE, reparse)}
