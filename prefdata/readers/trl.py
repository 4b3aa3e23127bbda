"""TRL: one layout and one type of each column through the whole file, as its first row says."""

from __future__ import annotations

from typing import Any

from prefdata.io.strict_json import BadJson, loads
from prefdata.readers.messages import tools_fault
from prefdata.readers.report import Report, kind, named

TEXTS = ("prompt", "chosen", "rejected", "completion", "reference", "messages", "text")
COLUMNS = frozenset({*TEXTS, "label", "margin", "completions", "labels"})
ROLES = frozenset({"system", "user", "assistant", "tool", "developer"})


class TRL:
    """Checks rows against the layout of the first one."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.first: dict[str, str] | None = None

    def row(self, row: dict[str, Any]) -> None:
        filled = {k: kind(row[k]) for k in row if k in COLUMNS and row[k] is not None}
        if self.first is None:
            self.first = filled
            self._layout(filled)
        elif filled != self.first:
            self._changes(filled, self.first)
        mixed = {filled[k] for k in ("prompt", "chosen", "rejected", "completion") if k in filled}
        if len(mixed & {"a text", "a list"}) == 2:
            self.report.add("PD860", field="prompt")
        for key in TEXTS:
            if key in filled:
                self._text(row[key], key)
        if "chosen" in filled and row["chosen"] == row.get("rejected"):
            self.report.add("PD836", field="rejected")
        if "chosen" in filled and "rejected" in filled and "prompt" not in filled:
            self._implicit(row["chosen"], row["rejected"])
        if "label" in filled and not isinstance(row["label"], bool):
            self.report.add("PD863", f"the label is {filled['label']}, not true or false", "label")
        if filled.get("margin", "a number") != "a number":
            self.report.add("PD823", f"margin must be a number, not {filled['margin']}", "margin")
        if row.get("tools") is not None:
            self._tools(row["tools"])

    def _layout(self, filled: dict[str, str]) -> None:
        if "chosen" in filled or "rejected" in filled:
            need = {"chosen", "rejected"}
        elif "completion" in filled:
            need = {"prompt", "completion"}
        elif "completions" in filled:
            need = {"prompt", "completions", "labels"}
        else:
            need = set() if {"prompt", "messages", "text"} & filled.keys() else {"prompt"}
        for key in sorted(need - filled.keys()):
            self.report.add("PD820", f"the first row has no {key}, which its layout needs", key)

    def _changes(self, filled: dict[str, str], first: dict[str, str]) -> None:
        for key in sorted(filled.keys() | first.keys()):
            here, there = filled.get(key), first.get(key)
            if here is None or there is None:
                self.report.add("PD862", f"{key} is {'missing here' if here is None else 'missing in the first row'}", key)
            elif here != there and key != "label":
                self.report.add("PD861", f"{key} is {here} here and {there} in the first row", key)

    def _text(self, value: Any, key: str) -> None:
        answer = key in ("chosen", "rejected", "completion")
        if isinstance(value, str):
            if answer and not value.strip():
                self.report.add("PD831", f"{key} is empty or blank", key)
        elif isinstance(value, list):
            self._turns(value, key, answer)
        else:
            self.report.add("PD823", f"{key} must be a text or a list of messages, not {kind(value)}", key)

    def _turns(self, value: list[Any], key: str, answer: bool) -> None:
        role = None
        for i, m in enumerate(value):
            role = m.get("role") if isinstance(m, dict) else None
            if not isinstance(role, str):
                self.report.add("PD823", "a message must be an object with a role", f"{key}[{i}]")
                continue
            if role not in ROLES:
                self.report.add("PD830", f"{named(role)} is no role of TRL", f"{key}[{i}].role")
            content = m.get("content")
            if content is not None and not isinstance(content, str | list):
                self.report.add("PD823", f"content must be a text or a list of parts, not {kind(content)}", f"{key}[{i}].content")
            elif not (content.strip() if isinstance(content, str) else content) and not m.get("tool_calls"):
                self.report.add("PD831", f"the text of the {named(role)} message is empty or blank", f"{key}[{i}].content")
        if answer and not any(isinstance(m, dict) and m.get("role") == "assistant" for m in value):
            self.report.add("PD833", f"{key} has no assistant message", key)
        elif key == "prompt" and not value:
            self.report.add("PD831", "the prompt has no message", key)
        elif key == "prompt" and role == "assistant":
            self.report.add("PD864", field=key)

    def _implicit(self, chosen: Any, rejected: Any) -> None:
        if isinstance(chosen, str) or (isinstance(chosen, list) and isinstance(rejected, list) and chosen[:1] != rejected[:1]):
            self.report.add("PD865", field="chosen")

    def _tools(self, value: Any) -> None:
        if isinstance(value, str):
            try:
                value = loads(value.encode())
            except BadJson as e:
                self.report.add("PD840", f"tools is no JSON text: {e.reason}", "tools")
                return
        if (fault := tools_fault(value)) and fault[0] == "PD840":
            self.report.add(*fault, "tools")
