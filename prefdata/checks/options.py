"""Every option of `prefdata validate`: one model for the command line, the Python API, recipes and the configuration file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefdata.options import Kind
from prefdata.sources.options import SourceOptions


def _codes(value: Any) -> Any:
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


def _limits(value: Any) -> Any:
    """`PD203.min_bytes=20,PD401.share=0.6` as a dict of dicts; tables of a configuration file as they are."""
    if not isinstance(value, str):
        return value
    out: dict[str, dict[str, str]] = {}
    for item in filter(None, map(str.strip, value.split(","))):
        path, sep, number = item.partition("=")
        code, dot, name = path.strip().partition(".")
        if not (sep and dot and name):
            raise ValueError("expected CODE.limit=number, such as PD401.share=0.6; 'prefdata validate --explain CODE' names the limits")
        out.setdefault(code, {})[name.strip()] = number.strip()
    return out


Codes = Annotated[list[str], BeforeValidator(_codes)]
FailOn = Literal["error", "warning", "info", "never"]
Setting = bool | int | float | str


class ValidateOptions(SourceOptions):
    """What to check, and what makes the check fail."""

    kind: Kind | None = Field(None, description="Kind of the records; default: seen from the columns.")
    select: Codes = Field(default_factory=list, description="Only rules whose codes begin so, comma-separated (PD1,PD203).")
    ignore: Codes = Field(default_factory=list, description="No rules whose codes begin so.")
    extend_select: Codes = Field(default_factory=list, description="Also rules whose codes begin so, on top of the ones that run.")
    limits: Annotated[dict[str, dict[str, Setting]], BeforeValidator(_limits)] = Field(
        default_factory=dict, alias="set", description="Limits of rules, as CODE.limit=number (PD401.share=0.6); severity can be set too."
    )
    fail_on: FailOn = Field("error", description="Lowest severity that makes the exit code 1.")
    max_errors: int = Field(0, ge=0, description="So many findings at or above --fail-on are still allowed.")
    show: int | None = Field(None, ge=0, description="Findings listed per rule; default: 10 in text and markdown, 1000 in other formats.")
    baseline: str | None = Field(None, description="File of known findings: only new ones are listed and fail (see --update-baseline).")
    update_baseline: Literal["no", "down", "all"] = Field(
        "no", description="down: take findings that are gone out of the baseline; all: take new ones in, too (or write the first one)."
    )
    target: str | None = Field(
        None, description="Check files for one reader instead: azure-dpo, openai-dpo, align-anything, trl or llama-factory (rules PD8)."
    )
    tokenizer: str | None = Field(None, description="Folder of a tokenizer: also say what a trainer will see of prefdata's records (PD6).")
    max_length: int | None = Field(None, ge=1, description="Maximum length in tokens for --tokenizer; default: that of TRL's DPO trainer.")
    threads: int | None = Field(None, ge=1, description="Worker threads; default: one per core.")
    per_path_ignores: dict[str, Codes] = Field(
        default_factory=dict,
        description="Rules that do not count in files that match a glob.",
        json_schema_extra={"command_line": False},
    )
