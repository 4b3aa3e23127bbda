"""Folders of local policies: what can be seen without loading them, and the hash that their answers are known by."""

from __future__ import annotations

import hashlib
import os

import orjson

from prefdata.errors import UsageError
from prefdata.io.step import folder_hash
from prefdata.rewards.folder import look


def check_folder(folder: str, option: str) -> None:
    """Raises UsageError unless it holds a causal model with its tokenizer (or a LoRA adapter whose base is on this machine)."""
    found = look(folder, option)
    if found.head != "lm":
        raise UsageError(f"{option}: a sequence classifier; answers are written by a causal model")
    if found.adapter and not os.path.isdir(_base(folder)):
        raise UsageError(f"{option}: an adapter whose base model {_base(folder)!r} is no folder here; merge it into its base first")
    if not os.path.isfile(os.path.join(folder, "tokenizer.json")):
        raise UsageError(f"{option}: no tokenizer.json; save_pretrained of a fast tokenizer writes it")


def model_hash(folder: str) -> str:
    """Hash of the files that answers depend on: another model, base, tokenizer or template is another hash."""
    if os.path.isfile(os.path.join(folder, "config.json")):
        return folder_hash(folder)
    return hashlib.sha256(f"{folder_hash(folder)} on {folder_hash(_base(folder))}".encode()).hexdigest()


def _base(folder: str) -> str:
    """The base model that an adapter names."""
    with open(os.path.join(folder, "adapter_config.json"), "rb") as f:
        return str(orjson.loads(f.read()).get("base_model_name_or_path") or "")
