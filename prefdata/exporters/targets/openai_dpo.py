"""Preference fine-tuning of OpenAI and of Azure OpenAI, by their guides of 2026
(https://developers.openai.com/api/docs/guides/direct-preference-optimization and
https://learn.microsoft.com/azure/foundry/openai/how-to/fine-tuning-direct-preference-optimization). Both refuse keys that they do not know
and keys that are null; Azure wants a byte-order mark. Files of other writers are checked by `prefdata.readers`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import partial

import polars as pl

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.snippets import test_files, train_files
from prefdata.exporters.target import Feature, Form, Target, Written
from prefdata.io.columns import TOOL_FIELDS
from prefdata.io.strict_json import BadJson, loads
from prefdata.readers.messages import MAX_CHARACTERS, MAX_MESSAGES, MAX_TOOLS, tools_fault

CHAT: frozenset[Feature] = frozenset({"system", "multi-turn", "tools"})
COLUMNS = ("prompt", "chosen", "rejected")
SPLITS = {"test": "validation", "eval": "validation", "dev": "validation"}
MIN_ROWS = 10
PART = 500_000_000
"""Files must stay below 512 MB."""

UNSET = (*(f',"{field}":null' for field in TOOL_FIELDS), ',"tool_calls":[]', ',"content":""', '"id":null,')
"""Keys without a value as the encoder writes them. None of these can stand inside of a string: a quote in a string has a backslash."""


def rows(df: pl.DataFrame, o: ExportOptions) -> pl.DataFrame:
    """`input`, `preferred_output`, `non_preferred_output`, each with the keys that have a value."""
    asked = pl.struct(pl.col("prompt").alias("messages")).struct.json_encode()
    answers = pl.struct(pl.col("chosen").alias("preferred_output"), pl.col("rejected").alias("non_preferred_output")).struct.json_encode()
    if any("tool_calls" in str(df.schema[c]) for c in COLUMNS):
        for unset in UNSET:
            asked, answers = (e.str.replace_all(unset, "", literal=True) for e in (asked, answers))
    if "tools" in df.columns:
        one_line = pl.col("tools").str.replace_all(r"[\r\n\t]", " ").str.strip_chars()
        tools = pl.when(one_line.str.contains(r"^\[ *\]$")).then(None).otherwise(one_line)
        asked = pl.concat_str(asked.str.strip_suffix("}"), (',"tools":' + tools).fill_null(""), pl.lit("}"))
    return df.select(pl.concat_str(pl.lit('{"input":'), asked, pl.lit(","), answers.str.strip_prefix("{")).alias("_json"))


def refuse(df: pl.DataFrame, o: ExportOptions) -> pl.Expr:
    """Why the services would not take a row."""
    turn = pl.element().struct
    wordy = [pl.col(c).list.eval(turn.field("content").str.len_chars() > MAX_CHARACTERS).list.any() for c in COLUMNS]
    cases = [("long-text", pl.any_horizontal(wordy)), ("many-messages", pl.col("prompt").list.len() > MAX_MESSAGES)]
    nameless = [e for c in COLUMNS for e in _without_id(df, c)]
    if nameless:
        cases.append(("tool-id", pl.any_horizontal(nameless)))
    if "tools" in df.columns:
        faults = {t: _fault(t) for t in df["tools"].drop_nulls().unique()}
        many = [t for t, fault in faults.items() if fault and fault[0] == "PD839"]
        bad = [t for t, fault in faults.items() if fault and fault[0] != "PD839"]
        cases += [("many-tools", pl.col("tools").is_in(many)), ("tools-shape", pl.col("tools").is_in(bad))]
    return pl.coalesce(*(pl.when(when).then(pl.lit(code)) for code, when in cases), pl.lit(None, pl.String))


def _fault(tools: str) -> tuple[str, str] | None:
    try:
        return tools_fault(loads(tools.encode()))
    except BadJson as e:
        return "PD840", e.reason


def _without_id(df: pl.DataFrame, column: str) -> list[pl.Expr]:
    """Where a tool call or the result of one has no id."""
    fields = {f.name for f in df.schema[column].inner.fields}  # type: ignore[attr-defined]
    turn, out = pl.element().struct, []
    if "tool_calls" in fields:
        calls = turn.field("tool_calls").list.eval(pl.element().struct.field("id").is_null()).list.any()
        out.append(pl.col(column).list.eval(calls).list.any())
    result = turn.field("role") == "tool"
    missing = turn.field("tool_call_id").is_null() if "tool_call_id" in fields else pl.lit(True)
    return [*out, pl.col(column).list.eval(result & missing).list.any()]


REASONS = {
    "long-text": f"a message is longer than {MAX_CHARACTERS:,} characters",
    "many-messages": f"the prompt has more than {MAX_MESSAGES:,} messages",
    "many-tools": f"the record has more than {MAX_TOOLS} tools",
    "tools-shape": 'the tool definitions are not a list of {"type": "function", "function": {"name", ...}}',
    "tool-id": "a tool call or the result of one has no id, without which the service cannot match the two",
}


def complain(w: Written, service: str) -> list[str]:
    """What the service says about a file as a whole."""
    train = [p for p in w.parts if p.split == "train"] or w.parts
    few = [p for p in w.parts if p.rows < MIN_ROWS] if train else []
    out = [f"{p.path} has {p.rows} rows: a job needs at least {MIN_ROWS}" for p in few]
    if not train:
        out.append("there is no row to train on")
    if len(train) > 1:
        out.append(f"{len(train)} training files: a job takes one, so train on one after the other")
    return out


def notes(w: Written, service: str) -> list[str]:
    """What the service may do with the rows."""
    turns = sum(_several_turns(os.path.join(w.folder, p.path)) for p in w.parts) if service == "openai" else 0
    said = f"{turns:,} rows have earlier turns: OpenAI's guide says that it trains on conversations of one turn only"
    return [said] if turns else []


def _several_turns(path: str) -> int:
    """Rows with two user messages or more. Quotes inside of strings have backslashes, so the key is found as it stands."""
    with open(path, "rb") as f:
        return sum(line.count(b'{"role":"user",') > 1 for line in f)


def extra(w: Written, service: str) -> Mapping[str, str]:
    """The upload and the job, by curl. Keys come from the environment and go to curl by a pipe: arguments can be seen by other users."""
    name, base, header, method = SERVICES[service]
    train, held = ([os.path.basename(f) for f in files] for files in (train_files(w), test_files(w)))
    upload = [f"TRAINING=$(upload {shlex.quote(next(iter(train), 'train.jsonl'))})"]
    upload += [f"VALIDATION=$(upload {shlex.quote(held[0])})"] if held else []
    body = '{\\"model\\": \\"$MODEL\\", \\"training_file\\": \\"$TRAINING\\"'
    body += ', \\"validation_file\\": \\"$VALIDATION\\"' if held else ""
    text = f"""#!/bin/sh
# Uploads the files beside this script and starts a preference fine-tuning job. Needs curl and {name}.
set -eu
cd "$(dirname "$0")"
: "${{{name}:?the key of the service}}"
BASE={base}
MODEL=${{MODEL:-{shlex.quote(w.options.model)}}}
METHOD='{method}'

call() {{
  printf '{header}\\n' "${name}" | curl --silent --show-error --fail-with-body --header @- "$@"
}}
upload() {{
  REPLY=$(call --form purpose=fine-tune --form "file=@$1" "$BASE/files") || exit 1
  FILE=$(printf '%s' "$REPLY" | grep -o '"id": *"file-[^"]*"' | cut -d'"' -f4)
  while :; do
    STATE=$(call "$BASE/files/$FILE") || exit 1
    case $(printf '%s' "$STATE" | tr -d ' ') in
      *'"status":"processed"'*) break ;;
      *'"status":"error"'* | *'"status":"failed"'*) echo "$STATE" >&2; exit 1 ;;
    esac
    sleep 5
  done
  echo "$FILE"
}}

{chr(10).join(upload)}
call --header 'Content-Type: application/json' --data "{body}, \\"method\\": $METHOD}}" "$BASE/fine_tuning/jobs"
"""
    return {"train.sh": text}


SERVICES = {
    "openai": (
        "OPENAI_API_KEY",
        "${OPENAI_BASE_URL:-https://api.openai.com/v1}",
        "Authorization: Bearer %s",
        '{"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": 1}}}',
    ),
    "azure": (
        "AZURE_OPENAI_API_KEY",
        '"${AZURE_OPENAI_ENDPOINT:?https://NAME.openai.azure.com}/openai/v1"',
        "api-key: %s",
        '{"type": "dpo", "dpo": {"beta": 0.1, "l2_multiplier": 0.1}}',
    ),
}
"""The variable that holds the key, the address, the header, and the method with its hyper-parameters."""


def _target(name: str, title: str, url: str, version: str, service: str) -> Target:
    form = Form("pair", rows, "input, preferred_output, non_preferred_output", CHAT, bom=service == "azure", splits=SPLITS, refuse=refuse)
    return Target(
        name=name,
        title=title,
        url=url,
        version=version,
        forms={"preference": form},
        extra=partial(extra, service=service),
        complain=partial(complain, service=service),
        notes=partial(notes, service=service),
        part_bytes=PART,
        reasons=REASONS,
    )


OPENAI_DPO = _target(
    "openai-dpo",
    "OpenAI preference fine-tuning",
    "https://developers.openai.com/api/docs/guides/direct-preference-optimization",
    "guide of 2026",
    "openai",
)
AZURE_DPO = _target(
    "azure-dpo",
    "Azure OpenAI preference fine-tuning",
    "https://learn.microsoft.com/azure/foundry/openai/how-to/fine-tuning-direct-preference-optimization",
    "guide of 2026-02-11",
    "azure",
)
