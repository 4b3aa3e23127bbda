"""LLaMA-Factory: sharegpt and alpaca rows, for ranking and for KTO, with the column names that its examples and prefdata's exports use."""

from __future__ import annotations

from typing import Any

from prefdata.readers.report import Report, kind, named

ASKING = {"from": frozenset({"human", "observation"}), "role": frozenset({"user", "tool", "observation"})}
ANSWERING = {"from": frozenset({"gpt", "function_call"}), "role": frozenset({"assistant", "function", "function_call"})}
TEXT = {"from": "value", "role": "content"}
TAGS = ("kto_tag", "label")
QUESTIONS, ANSWERS = ("instruction", "prompt"), ("output", "completion", "response")


class LlamaFactory:
    """Checks rows one by one."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def row(self, row: dict[str, Any]) -> None:
        ranking = "chosen" in row or "rejected" in row
        tag = next((t for t in TAGS if t in row), None)
        if ranking:
            for key in ("chosen", "rejected"):
                if key not in row:
                    self.report.add("PD820", f"the row has no {key}", key)
            if "chosen" in row and row["chosen"] == row.get("rejected"):
                self.report.add("PD836", field="rejected")
        elif tag is not None and not isinstance(row[tag], bool):
            self.report.add("PD873", f"{tag} is {kind(row[tag])}, not true or false", tag)
        turns = next((k for k in ("conversations", "messages") if k in row), None)
        if turns is not None:
            self._conversation(row, turns, ranking)
        else:
            self._alpaca(row, ranking)

    def _conversation(self, row: dict[str, Any], key: str, ranking: bool) -> None:
        turns = row[key]
        if not isinstance(turns, list) or not turns or not all(isinstance(t, dict) for t in turns):
            self.report.add("PD823", f"{key} must be a list of messages", key)
            return
        tag = "from" if "from" in turns[0] else "role"
        start = int(turns[0].get(tag) == "system" and len(turns) > 0)
        for i, turn in enumerate(turns):
            self._message(turn, tag, f"{key}[{i}]")
            if i < start:
                continue
            role, asks = turn.get(tag), (i - start) % 2 == 0
            if not isinstance(role, str) or role not in ASKING[tag] | ANSWERING[tag]:
                if role is not None and not (role == "system" and i == 0):
                    self.report.add("PD830", f"{named(role)} is no role here", f"{key}[{i}].{tag}")
            elif role not in (ASKING if asks else ANSWERING)[tag]:
                self.report.add("PD870", f"turn {i} is of {named(role)}; it must be {'a question' if asks else 'an answer'}", f"{key}[{i}]")
                break
        n = len(turns) - start
        if n % 2 != int(ranking):
            what = "end in a question, so that it has an odd number" if ranking else "end in an answer, so that it has an even number"
            self.report.add("PD871", f"the conversation has {n} turns; it must {what}", key)
        for answer in ("chosen", "rejected") if ranking else ():
            if answer in row:
                if isinstance(row[answer], dict):
                    self._message(row[answer], tag, answer)
                else:
                    self.report.add("PD872", f"{answer} must be a message, not {kind(row[answer])}", answer)

    def _message(self, turn: dict[str, Any], tag: str, field: str) -> None:
        for key in (tag, TEXT[tag]):
            if key not in turn:
                self.report.add("PD820", f"the message has no {key}", field)
        text = turn.get(TEXT[tag])
        if TEXT[tag] in turn and not isinstance(text, str):
            self.report.add("PD823", f"{TEXT[tag]} must be a text, not {kind(text)}", f"{field}.{TEXT[tag]}")
        elif isinstance(text, str) and not text.strip():
            self.report.add("PD831", field=f"{field}.{TEXT[tag]}")

    def _alpaca(self, row: dict[str, Any], ranking: bool) -> None:
        asked = next((k for k in QUESTIONS if k in row), None)
        if asked is None:
            self.report.add("PD820", "the row has neither conversations nor an instruction", "instruction")
        elif not isinstance(row[asked], str):
            self.report.add("PD823", f"{asked} must be a text, not {kind(row[asked])}", asked)
        if ranking:
            for key in ("chosen", "rejected"):
                if key in row and not isinstance(row[key], str):
                    self.report.add("PD872", f"{key} must be a text in alpaca rows, not {kind(row[key])}", key)
                elif key in row and not row[key].strip():
                    self.report.add("PD831", f"{key} is empty or blank", key)
            return
        answer = next((k for k in ANSWERS if k in row), None)
        if answer is None:
            self.report.add("PD820", "the row has no answer (output)", "output")
        elif not isinstance(row[answer], str):
            self.report.add("PD823", f"{answer} must be a text, not {kind(row[answer])}", answer)
        elif not row[answer].strip():
            self.report.add("PD831", f"{answer} is empty or blank", answer)
