"""Settings of `prefdata validate` in a file: `[tool.prefdata.validate]` of `pyproject.toml`, or `[validate]` of `prefdata.toml`.

    [tool.prefdata.validate]
    extend-select = ["PD702"]
    fail-on = "warning"
    [tool.prefdata.validate.per-path-ignores]
    "tests/*" = ["PD7"]
    [tool.prefdata.validate.rules.PD401]
    share = 0.65
    severity = "info"

Keys are the options of the command line without the dashes in front; what the command line says wins.
"""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from prefdata.checks.options import ValidateOptions
from prefdata.errors import UsageError
from prefdata.schema.records import explain

NAMES = ("prefdata.toml", "pyproject.toml")


def find(folder: str = ".") -> str | None:
    """The nearest file with settings of ours, from a folder upwards; in one folder `prefdata.toml` comes first."""
    at = os.path.abspath(folder)
    while True:
        for name in NAMES:
            path = os.path.join(at, name)
            if os.path.isfile(path) and (name == "prefdata.toml" or "prefdata" in _toml(path).get("tool", {})):
                return path
        if os.path.dirname(at) == at:
            return None
        at = os.path.dirname(at)


def configured(options: ValidateOptions, path: str | None) -> ValidateOptions:
    """The options with the settings of a file for everything that was not given (limits are merged). Raises UsageError with every wrong
    setting."""
    if path is None:
        return options
    settings = load(path)
    given = options.model_dump(include=options.model_fields_set)
    for code, values in given.get("limits", {}).items():
        settings.setdefault("limits", {}).setdefault(code, {}).update(values)
    given.pop("limits", None)
    return ValidateOptions.model_validate({**settings, **given})


def load(path: str) -> dict[str, Any]:
    """The settings of a file as keyword arguments of ValidateOptions. Raises UsageError."""
    found = _toml(path)
    table = "validate" if os.path.basename(path) != "pyproject.toml" else "tool.prefdata.validate"
    for part in table.split("."):
        found = found.get(part, {})
        if not isinstance(found, dict):
            raise UsageError(f"{path}: {table} must be a table")
    fields = {(field.alias or name).replace("_", "-"): name for name, field in ValidateOptions.model_fields.items()}
    fields = {**fields, "rules": "limits"}
    fields.pop("set")
    unknown = [k for k in found if k.replace("_", "-") not in fields]
    if unknown:
        raise UsageError("\n".join(f"{path}: [{table}] has no setting {k!r}{_near(k, list(fields))}" for k in unknown))
    settings = {fields[k.replace("_", "-")]: v for k, v in found.items()}
    try:
        checked = ValidateOptions.model_validate(settings)
    except ValidationError as e:
        raise UsageError("\n".join(f"{path}: [{table}] {where}: {why}" for where, why in explain(e))) from None
    out = checked.model_dump(include=checked.model_fields_set)
    folder = os.path.dirname(os.path.abspath(path))
    if "per_path_ignores" in out:  # globs are relative to the file that states them
        out["per_path_ignores"] = {os.path.join(folder, glob): codes for glob, codes in out["per_path_ignores"].items()}
    return out


def _near(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it may have: {', '.join(known)}"


def _toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            return tomllib.load(f)
    except OSError as e:
        raise UsageError(f"{path}: cannot be read ({e.strerror or e})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: is not valid TOML ({e})") from None
