"""align-anything: the keys of PKU-SafeRLHF, or the rows of `--form conversation`. Keys that the template does not read are let be."""

from __future__ import annotations

from typing import Any

from prefdata.readers.report import Report, kind, named

PKU = ("prompt", "response_0", "response_1", "better_response_id")
CONVERSATION = ("prompt", "chosen", "rejected")
ROLES = frozenset({"system", "user", "assistant"})


class AlignAnything:
    """Checks rows. The first row tells the layout of the file: one file is read by one template."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.keys: tuple[str, ...] | None = None

    def row(self, row: dict[str, Any]) -> None:
        if self.keys is None:
            self.keys = CONVERSATION if "chosen" in row and "response_0" not in row else PKU
        keys, add = self.keys, self.report.add
        for key in keys:
            if key not in row:
                add("PD820", f"the row has no {key}", key)
        for key in keys[1:3]:
            if key in row:
                self._text(row[key], key)
        if keys[1] in row and keys[2] in row and row[keys[1]] == row[keys[2]]:
            add("PD836", field=keys[2])
        if "prompt" in row:
            if keys is CONVERSATION:
                self._turns(row["prompt"])
            elif isinstance(row["prompt"], list):
                add("PD851", field="prompt")
            else:
                self._text(row["prompt"], "prompt")
        if keys is PKU and "better_response_id" in row and not _is_slot(row["better_response_id"]):
            add("PD850", f"better_response_id is {_shown(row['better_response_id'])}, neither 0 nor 1", "better_response_id")

    def _text(self, value: Any, key: str) -> None:
        if not isinstance(value, str):
            self.report.add("PD823", f"{key} must be a text, not {kind(value)}", key)
        elif not value.strip():
            self.report.add("PD831", f"{key} is empty or blank", key)

    def _turns(self, value: Any) -> None:
        if not isinstance(value, list) or not value:
            self.report.add("PD823", f"prompt must be a list of messages, not {kind(value) if value else 'empty'}", "prompt")
            return
        for i, m in enumerate(value):
            if not isinstance(m, dict) or not isinstance(m.get("role"), str):
                self.report.add("PD823", "a message must be an object with a role", f"prompt[{i}]")
                continue
            if m["role"] not in ROLES:
                self.report.add("PD830", f"{named(m['role'])} is no role of align-anything", f"prompt[{i}].role")
            self._text(m.get("content"), f"prompt[{i}].content")


def _is_slot(value: Any) -> bool:
    """Whether int() makes 0 or 1 of it, without cutting anything off."""
    if isinstance(value, str):
        return value.strip() in ("0", "1")
    return isinstance(value, int | float) and value in (0, 1)


def _shown(value: Any) -> str:
    return str(value)[:20] if isinstance(value, int | float) and not isinstance(value, bool) else kind(value)
