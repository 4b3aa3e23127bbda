"""`prefdata validate`."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import typer

from prefdata.checks.options import ValidateOptions
from prefdata.cli.options import command as make
from prefdata.cli.options import say
from prefdata.errors import UsageError

HELP = """Check files of preference data: schema, ids and preference rules.

Exit code 0: nothing at or above --fail-on was found; 1: something was; 2: wrong options; 3: a file cannot be read.

Formats: text; json (one object); jsonl (a finding per line); github (annotations and step summary of GitHub Actions); sarif (code
scanning); junit (tests of GitLab, Jenkins, Azure); markdown (a comment on a pull request).

Examples:

  prefdata validate pairs.parquet

  prefdata validate data/*.jsonl --select PD1,PD201 --fail-on warning --format json

  prefdata validate data/*.jsonl --format github -o prefdata.sarif -o prefdata.xml   (one run in CI, three reports)

  prefdata validate pairs.jsonl --fix repaired.jsonl

  prefdata validate --explain PD201
"""

Format = Literal["text", "json", "jsonl", "github", "sarif", "junit", "markdown"]
EXTRA: dict[str, Any] = {
    "data": (Annotated[list[str] | None, typer.Argument(help="Files of preference data, globs, folders, or - for stdin.")], None),
    "format_": (Annotated[Format, typer.Option("--format", help="What stdout gets.")], "text"),
    "json_": (Annotated[bool, typer.Option("--json", help="Short for --format json.")], False),
    "output": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--out", "--output", "-o", help="Also write a report; its name decides: .sarif, .xml (JUnit), .md, .json, .jsonl, .txt."
            ),
        ],
        None,
    ),
    "explain": (Annotated[str | None, typer.Option("--explain", metavar="CODE", help="Explain a rule, or list a group (PD2).")], None),
    "fix": (
        Annotated[str | None, typer.Option("--fix", metavar="OUT", help="Write a repaired copy of one prefdata file, with its account.")],
        None,
    ),
    "config": (
        Annotated[
            str | None,
            typer.Option("--config", help="Settings; default: the nearest prefdata.toml or pyproject.toml; none: no file."),
        ],
        None,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; only the exit code tells.")], False),
}


def run(
    options: ValidateOptions,
    data: list[str] | None,
    format_: str,
    json_: bool,
    output: list[str] | None,
    explain: str | None,
    fix: str | None,
    config: str | None,
    quiet: bool,
) -> int:
    from prefdata.checks import reports
    from prefdata.checks.config import configured, find
    from prefdata.checks.run import validate
    from prefdata.cli.progress import progress_bar

    if explain:
        from prefdata.checks.reports.explain import explain as words

        print(words(explain), end="")
        return 0
    if not data:
        raise UsageError("name the files to check: prefdata validate FILES (or - for stdin); --explain CODE needs none")
    options = configured(options, find() if config is None else None if config == "none" else config)
    if fix:
        return _fix(options, data, fix, json_, quiet)
    files = {path: reports.format_of(path) for path in output or []}
    # a report that goes to a file is not printed as well
    printed = "json" if json_ else format_
    printed = "text" if printed in files.values() else printed
    with progress_bar("validate", hidden=quiet) as progress:
        most = max(map(reports.shown, (printed, *files.values())))
        result = validate(data, options.model_copy(update={"show": most}) if options.show is None else options, progress)
    reports.write(result, files, options.show)
    if not quiet:
        print(reports.render(result, printed, options.show), end="")
        if printed == "github" and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
            from prefdata.checks.reports.github import append_summary

            if not append_summary(summary, reports.render(result, "markdown", options.show)):
                say("the summary of this step is full; the result was not added to it")
    return result.exit_code


def _fix(options: ValidateOptions, data: list[str], out: str, json_: bool, quiet: bool) -> int:
    import orjson

    from prefdata.checks.fix import fix
    from prefdata.cli.progress import progress_bar

    with progress_bar("fix", hidden=quiet or json_) as progress:
        result = fix(data, out, options, progress)
    if json_:
        print(orjson.dumps(result.as_dict()).decode())
    elif not quiet:
        for line in result.lines():
            say(line)
    return result.exit_code


command = make(ValidateOptions, EXTRA, run)
