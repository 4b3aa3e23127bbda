"""What lies in the folder of a model: a reward model or a causal one, how long its texts may be, and that nothing of it is code."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

import orjson

from prefdata.errors import InputError, UsageError

CLASSIFIER, CAUSAL = "ForSequenceClassification", ("ForCausalLM", "LMHeadModel")


class ModelFolder(NamedTuple):
    """A folder that was looked at. `longest` is the most tokens of a text; `own`: prefdata trained it."""

    path: str
    head: Literal["score", "lm"]
    outputs: int
    longest: int | None
    own: bool


def look(path: str, flag: str) -> ModelFolder:
    """What is there, without loading it. Raises UsageError when it cannot be used, InputError when it cannot be read."""
    if not os.path.isdir(path):
        raise UsageError(f"{flag} {path}: no such folder; names of models are not looked up, download the model first")
    adapter = _json(path, "adapter_config.json")
    config = _json(path, "config.json")
    if not config and not adapter:
        raise UsageError(f"{flag} {path}: no config.json; save_pretrained of a model writes it")
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _json(path, name):
            raise UsageError(f"{flag} {path}: {name} names code of its own (auto_map), and no code of a model's folder is run")
    if not any(n.endswith(".safetensors") for n in os.listdir(path)):
        raise UsageError(f"{flag} {path}: it has no .safetensors; other weights can hold code and are not read")
    base = adapter.get("base_model_name_or_path")
    places = config or (_json(base, "config.json") if isinstance(base, str) and os.path.isdir(base) else {})
    own = str(_json(path, "model.manifest.json").get("command", "")).startswith("train ")
    return ModelFolder(path, _head(config, adapter, f"{flag} {path}"), _outputs(config), _longest(path, places), own)


def _head(config: dict[str, Any], adapter: dict[str, Any], where: str) -> Literal["score", "lm"]:
    names = [n for n in config.get("architectures") or () if isinstance(n, str)]
    if any(n.endswith(CLASSIFIER) for n in names) or (not names and adapter.get("task_type") == "SEQ_CLS"):
        return "score"
    if any(n.endswith(CAUSAL) for n in names) or (not names and adapter.get("task_type") == "CAUSAL_LM"):
        return "lm"
    raise UsageError(f"{where}: neither a sequence classifier nor a causal model (architectures: {', '.join(names) or 'not named'})")


def _outputs(config: dict[str, Any]) -> int:
    """How many numbers a classifier gives: transformers counts its labels, and takes two where none are named."""
    if isinstance(config.get("id2label"), dict):
        return len(config["id2label"])
    return int(config.get("num_labels") or (2 if config else 1))


def _longest(path: str, config: dict[str, Any]) -> int | None:
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    given = [(text or {}).get(n) for n in ("max_position_embeddings", "n_positions")]
    given.append(_json(path, "tokenizer_config.json").get("model_max_length"))
    found = [int(n) for n in given if isinstance(n, int | float) and 0 < n < 1 << 30]
    return min(found, default=None)


def _json(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        return {}
    with open(path, "rb") as f:
        try:
            found = orjson.loads(f.read())
        except orjson.JSONDecodeError:
            raise InputError(f"{path}: not JSON") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a JSON object")
    return found


def same_tokens(tokenizer: str, reference: str) -> None:
    """Raise UsageError when the reference has a tokenizer with another vocabulary: probabilities of other tokens cannot be compared."""
    from prefdata.tokens.tokenizer import load

    if not os.path.isfile(os.path.join(reference, "tokenizer.json")):
        return
    ours, theirs = (load(folder).tokenizer.get_vocab(with_added_tokens=False) for folder in (tokenizer, reference))
    if ours != theirs:
        raise UsageError(
            f"--reference {reference}: its tokenizer has another vocabulary than that of {tokenizer}: no log-prob can be compared"
        )
