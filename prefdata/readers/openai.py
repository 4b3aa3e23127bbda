"""Preference rows of OpenAI and Azure OpenAI: exactly the keys of the guide, at every level."""

from __future__ import annotations

from typing import Any

from prefdata.readers.messages import MAX_MESSAGES, ROLES, message, tools_fault
from prefdata.readers.report import Report, kind, named

KEYS = frozenset({"input", "preferred_output", "non_preferred_output"})
OLD = {"preferred_completion": "preferred_output", "non_preferred_completion": "non_preferred_output"}
INPUT = frozenset({"messages"})
MORE_INPUT = frozenset({"messages", "tools", "parallel_tool_calls"})


class OpenAI:
    """Checks rows; the two services differ in what they say about turns and about tool messages in outputs."""

    def __init__(self, report: Report, azure: bool) -> None:
        self.report = report
        self.azure = azure
        self.answer_roles = frozenset({"assistant", "tool"}) if azure else frozenset({"assistant"})

    def row(self, row: dict[str, Any]) -> None:
        if row.keys() != KEYS:
            self._keys(row)
        if "input" in row:
            self._input(row["input"])
        outputs = []
        for name in ("preferred_output", "non_preferred_output"):
            if name in row:
                self._output(row[name], name)
                outputs.append(row[name])
        if len(outputs) == 2 and outputs[0] == outputs[1]:
            self.report.add("PD836", field="non_preferred_output")

    def _keys(self, row: dict[str, Any]) -> None:
        for key in row:
            if key in OLD:
                self.report.add("PD822", f"{key} is called {OLD[key]} by now", key)
            elif key == "weight":
                self.report.add("PD824", field=key)
            elif key not in KEYS:
                self.report.add("PD821", f"a row has no key {named(key)}", key)
        old = {OLD[k] for k in row if k in OLD}
        for key in sorted(KEYS - row.keys() - old):
            self.report.add("PD820", f"the row has no {key}", key)

    def _input(self, value: Any) -> None:
        if not isinstance(value, dict):
            self.report.add("PD823", f"input must be an object with messages, not {kind(value)}", "input")
            return
        if value.keys() != INPUT:
            self._more(value)
        if "messages" not in value:
            return
        messages = value["messages"]
        if not isinstance(messages, list) or not messages:
            what = "an empty list" if messages == [] else kind(messages)
            self.report.add("PD823", f"messages must be a list with a message, not {what}", "input.messages")
            return
        if len(messages) > MAX_MESSAGES:
            self.report.add("PD838", f"there are {len(messages):,} messages; {MAX_MESSAGES:,} are taken", "input.messages")
        users, last = 0, None
        for i, m in enumerate(messages):
            last = message(m, f"input.messages[{i}]", self.report)
            if last is not None and last not in ROLES:
                self.report.add("PD830", f"{named(last)} is no role of the services", f"input.messages[{i}].role")
            users += last == "user"
        if last in ("assistant", "system"):
            self.report.add("PD832", f"the input ends in a message of role {last}", "input.messages")
        if users > 1 and not self.azure:
            self.report.add("PD842", f"the input has {users} user messages", "input.messages")

    def _more(self, value: dict[str, Any]) -> None:
        if "messages" not in value:
            self.report.add("PD820", "input has no messages", "input")
        for key in value:
            if key not in MORE_INPUT:
                self.report.add("PD821", f"input has no key {named(key)}", "input")
        if "tools" in value and (fault := tools_fault(value["tools"])):
            self.report.add(*fault, "input.tools")
        if not isinstance(value.get("parallel_tool_calls", True), bool):
            self.report.add("PD823", "parallel_tool_calls must be true or false", "input.parallel_tool_calls")

    def _output(self, value: Any, name: str) -> None:
        if not isinstance(value, list):
            self.report.add("PD823", f"{name} must be a list of messages, not {kind(value)}", name)
            return
        answers = others = 0
        for i, m in enumerate(value):
            role = message(m, f"{name}[{i}]", self.report)
            answers += role == "assistant"
            if role is not None and role not in self.answer_roles:
                others += 1
                self.report.add("PD835", f"a message of role {named(role)} does not belong to an answer", f"{name}[{i}].role")
        if not answers:
            self.report.add("PD833", f"{name} has no assistant message", name)
        elif len(value) > 1 and not others:
            self.report.add("PD834", f"{name} has {len(value)} messages", name)
