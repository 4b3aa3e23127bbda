"""The tokenizer beside a trained model: the files that its records were tokenised with, as they are.

transformers chooses a tokenizer's class by the model's configuration (5.x: Qwen2Tokenizer for all of qwen2, whatever tokenizer_config.json
names). Saved from there it would be a tokenizer that cuts texts in other places than the one of the training.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import Any

import orjson

from prefdata.tokens.tokenizer import Loaded, load

CONFIG, ENDS = "tokenizer_config.json", "generation_config.json"
FILES = (
    *("tokenizer.json", CONFIG, "chat_template.jinja", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model"),
)


def words_of(folder: str) -> Any:
    """The tokenizer of a folder for transformers' Trainer, which reads its special tokens; saving it is `copy_words`."""
    from transformers import PreTrainedTokenizerFast

    loaded = load(folder)
    named = {k: t for k, t in loaded.special.items() if k in ("bos_token", "eos_token", "pad_token", "unk_token")}
    words = PreTrainedTokenizerFast(tokenizer_object=loaded.tokenizer, **named)
    words.save_pretrained = partial(copy_words, loaded)
    return words


def copy_words(loaded: Loaded, out: str, **_: Any) -> None:
    """Copy the tokenizer's files; those that an earlier training with another tokenizer left go away."""
    os.makedirs(out, exist_ok=True)
    if os.path.samefile(loaded.folder, out):
        return
    for name in FILES:
        source, to = os.path.join(loaded.folder, name), os.path.join(out, name)
        if os.path.isfile(source):
            shutil.copyfile(source, to)
        elif os.path.isfile(to):
            os.unlink(to)
    _without_code(os.path.join(out, CONFIG))
    _same_ends(loaded, os.path.join(out, ENDS))


def _without_code(path: str) -> None:
    """A configuration may name code of its folder, which was not used and is not copied."""
    said = _json(path)
    if said.pop("auto_map", None) is not None:
        _write(path, said)


def _same_ends(loaded: Loaded, path: str) -> None:
    """Tokens that end an answer beside EOS are named by generation_config.json, which a reward model or an adapter is saved without: texts
    would then end otherwise than in the training."""
    said = _json(path)
    given = said.get("eos_token_id")
    named = {loaded.id_of("eos_token"), *(given if isinstance(given, list) else [given])} - {None}
    ids = {i for t in loaded.ends if (i := loaded.tokenizer.token_to_id(t)) is not None}
    if ids != named:
        _write(path, {**said, "eos_token_id": sorted(ids)})


def _json(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    with open(path, "rb") as f:
        found = orjson.loads(f.read())
    return found if isinstance(found, dict) else {}


def _write(path: str, said: dict[str, Any]) -> None:
    with open(path, "wb") as f:
        f.write(orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
