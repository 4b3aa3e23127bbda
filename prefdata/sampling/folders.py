"""Folders of local models: what can be seen without loading them, and the hash that what they say is known by."""

from __future__ import annotations

import hashlib
import os

import orjson

from prefdata.errors import UsageError
from prefdata.io.account import sha256_of
from prefdata.io.step import folder_hash
from prefdata.rewards.folder import ModelFolder, look

WORDS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")


MERGE = "'prefdata train --merge' writes OUT/merged"


def check_folder(folder: str, option: str) -> None:
    """Raises UsageError unless it holds a causal model with its tokenizer (or a LoRA adapter whose base is on this machine)."""
    found = look(folder, option)
    if found.head != "lm":
        raise UsageError(f"{option}: a sequence classifier; answers are written by a causal model")
    check_parts(found, option)


def check_parts(found: ModelFolder, option: str, tokenizer: bool = True) -> None:
    """Raises UsageError when its tokenizer is missing, where that is needed, or an adapter's base."""
    folder = found.path
    if found.adapter and not os.path.isdir(_base(folder)):
        raise UsageError(
            f"{option}: an adapter whose base model {_base(folder)!r} is no folder here; merge it into its base first ({MERGE})"
        )
    if tokenizer and not os.path.isfile(os.path.join(folder, "tokenizer.json")):
        raise UsageError(f"{option}: no tokenizer.json; save_pretrained of a fast tokenizer writes it")


def model_hash(folder: str) -> str:
    """Hash of the files that answers depend on: another model, base, tokenizer or template is another hash."""
    if not os.path.isfile(os.path.join(folder, "adapter_config.json")):
        return folder_hash(folder)
    return hashlib.sha256(f"{folder_hash(folder)} on {folder_hash(_base(folder))}".encode()).hexdigest()


def words_hash(folder: str) -> str:
    """Hash of the files that texts and tokens depend on."""
    files = [os.path.join(folder, n) for n in WORDS]
    return hashlib.sha256("".join(f"{os.path.basename(p)} {sha256_of(p)}\n" for p in files if os.path.isfile(p)).encode()).hexdigest()


def _base(folder: str) -> str:
    """The base model that an adapter names."""
    with open(os.path.join(folder, "adapter_config.json"), "rb") as f:
        return str(orjson.loads(f.read()).get("base_model_name_or_path") or "")
