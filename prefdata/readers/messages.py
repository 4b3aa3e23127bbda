"""Messages and tools in the shape of the chat interface, as the services and TRL read them."""

from __future__ import annotations

from typing import Any

from prefdata.readers.report import Report, kind, named

MAX_CHARACTERS = 1_048_576
MAX_MESSAGES = 2048
MAX_TOOLS = 128
ROLES = frozenset({"system", "user", "assistant", "tool", "function"})
KEYS = frozenset({"role", "content"})
MORE_KEYS = {"assistant": frozenset({"name", "tool_calls"}), "tool": frozenset({"tool_call_id", "name"})}
NAME = frozenset({"name"})


def message(m: Any, field: str, report: Report) -> str | None:
    """Checks one message as the services do; its role, or None where it has none."""
    if not isinstance(m, dict):
        report.add("PD823", f"a message must be an object, not {kind(m)}", field)
        return None
    role = m.get("role")
    if m.keys() != KEYS or role == "tool":
        _keys(m, role, field, report)
    if not isinstance(role, str):
        if "role" in m:
            report.add("PD823", f"role must be a text, not {kind(role)}", f"{field}.role")
        return None
    content = m.get("content")
    if isinstance(content, str):
        if not content.strip() and not m.get("tool_calls"):
            report.add("PD831", f"the text of the {named(role)} message is empty or blank", f"{field}.content")
        elif len(content) > MAX_CHARACTERS:
            report.add("PD837", f"the message has {len(content):,} characters; {MAX_CHARACTERS:,} are taken", f"{field}.content")
    elif content is not None or ("content" in m and not m.get("tool_calls")):
        _parts(content, f"{field}.content", report)
    return role


def _keys(m: dict[str, Any], role: Any, field: str, report: Report) -> None:
    may = MORE_KEYS.get(role, NAME) if isinstance(role, str) else NAME
    for key, value in m.items():
        if key == "weight":
            report.add("PD824", field=f"{field}.weight")
        elif key not in KEYS and key not in may:
            report.add("PD821", f"a message of role {named(role)} has no key {named(key)}", field)
        elif value is None and key not in KEYS:
            report.add("PD823", f"{key} is null; leave the key out", f"{field}.{key}")
        elif key == "tool_calls":
            tool_calls(value, f"{field}.tool_calls", report)
        elif key not in KEYS and not isinstance(value, str):
            report.add("PD823", f"{key} must be a text, not {kind(value)}", f"{field}.{key}")
    if "role" not in m:
        report.add("PD820", "the message has no role", field)
    if "content" not in m and not m.get("tool_calls"):
        report.add("PD820", "the message has no content", field)
    if role == "tool" and "tool_call_id" not in m:
        report.add("PD841", "the result of a tool call does not name the call (tool_call_id)", field)


def _parts(content: Any, field: str, report: Report) -> None:
    """Content as a list of parts, of which only texts are taken."""
    if not isinstance(content, list):
        report.add("PD823", f"content must be a text, not {kind(content)}", field)
        return
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            report.add("PD823", f"a part of the content must be an object with a type, not {kind(part)}", field)
        elif part["type"] != "text":
            report.add("PD843", f"the content has a part of type {named(part['type'])}; text alone is taken", field)
        elif not isinstance(part.get("text"), str):
            report.add("PD823", "a part of type text must have a text", field)
        else:
            texts.append(part["text"])
    if len(texts) == len(content):
        if not "".join(texts).strip():
            report.add("PD831", field=field)
        elif sum(map(len, texts)) > MAX_CHARACTERS:
            report.add("PD837", field=field)


def tool_calls(value: Any, field: str, report: Report) -> None:
    """Checks the tool calls of an assistant message."""
    if not isinstance(value, list) or not value:
        report.add("PD841", f"tool_calls must be a list with a call, not {kind(value) if value else 'empty'}", field)
        return
    for i, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        fault = None
        if not isinstance(function, dict):
            fault = "a call must be an object with a function"
        elif not isinstance(call.get("id"), str) or not call["id"]:
            fault = "the call has no id"
        elif call.get("type") != "function":
            fault = "the type of a call must be function"
        elif not isinstance(function.get("name"), str) or not function["name"]:
            fault = "the function has no name"
        elif not isinstance(function.get("arguments"), str):
            fault = f"arguments must be a JSON text, not {kind(function.get('arguments'))}"
        elif extra := (set(call) - {"id", "type", "function"}) | (set(function) - {"name", "arguments"}):
            fault = f"a call has no key {named(min(extra))}"
        if fault:
            report.add("PD841", fault, f"{field}[{i}]")


def tools_fault(value: Any) -> tuple[str, str] | None:
    """The rule that tool definitions break first and how, or None."""
    if not isinstance(value, list):
        return "PD840", f"tools must be a list, not {kind(value)}"
    if len(value) > MAX_TOOLS:
        return "PD839", f"there are {len(value)} tools; {MAX_TOOLS} are taken"
    for i, tool in enumerate(value):
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
            return "PD840", f'tool {i} must be {{"type": "function", "function": {{...}}}}'
        function = tool["function"]
        if not isinstance(function.get("name"), str) or not function["name"]:
            return "PD840", f"the function of tool {i} has no name"
        if not isinstance(function.get("parameters", {}), dict):
            return "PD840", f"the parameters of tool {i} must be an object, not {kind(function['parameters'])}"
    return None
