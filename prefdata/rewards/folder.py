"""What lies in the folder of a model: a reward model or a causal one, how long its texts may be, and that nothing of it is code."""

from __future__ import annotations

import os
import re
from typing import Any, Literal, NamedTuple

import orjson

from prefdata.errors import InputError, UsageError

CLASSIFIER, CAUSAL = "ForSequenceClassification", ("ForCausalLM", "LMHeadModel")
ENSEMBLE = "ensemble.json"
_PART = re.compile(r"merged|checkpoint-\d+")
_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ModelFolder(NamedTuple):
    """A folder that was looked at. `longest` is the most tokens of a text; `own`: prefdata trained it."""

    path: str
    head: Literal["score", "lm"]
    names: tuple[str, ...]
    """The outputs of a classifier, as its configuration calls them (id2label)."""
    longest: int | None
    own: bool
    adapter: bool
    """Whether it has an adapter's weights only."""
    shares: tuple[float, ...] | None = None
    """What its training gave each output in the single score (aspect_weights of its configuration), one in sum."""

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def name(self) -> str:
        return os.path.basename(os.path.abspath(self.path))


def look(path: str, where: str) -> ModelFolder:
    """What is there, without loading it; `where` begins the messages. Raises UsageError when it cannot be used, InputError when it cannot
    be read."""
    if not os.path.isdir(path):
        raise UsageError(f"{where}: no such folder; names of models are not looked up, download the model first")
    adapter, config = _json(path, "adapter_config.json"), _json(path, "config.json")
    if os.path.isfile(os.path.join(path, ENSEMBLE)) and not config:
        raise UsageError(f"{where}: an ensemble; name one of its members here, as {os.path.join(path, members_of(path, where)[0])}")
    if not config and not adapter:
        raise UsageError(f"{where}: no config.json (or an empty one); save_pretrained of a model writes it")
    _harmless(path, where)
    base = adapter.get("base_model_name_or_path")
    local = base if isinstance(base, str) and os.path.isdir(base) else None
    if local is not None:
        _harmless(local, f"{where}: its base {local}")
    places = config or (_json(local, "config.json") if local is not None else {})
    own = any(str(_json(p, "model.manifest.json").get("command", "")).startswith("train ") for p in _homes(path))
    return ModelFolder(path, _head(config, adapter, where), _names(config), _longest(path, places), own, bool(adapter), _shares(config))


def members_of(path: str, where: str) -> list[str]:
    """The folders of an ensemble's members, which lie in its folder; of any other folder itself. Raises UsageError and InputError."""
    if not os.path.isfile(os.path.join(path, ENSEMBLE)):
        return [path]
    found = _json(path, ENSEMBLE).get("members")
    if not isinstance(found, list) or not found or not all(isinstance(m, str) and _MEMBER.fullmatch(m) for m in found):
        raise UsageError(f'{where}: {ENSEMBLE} names no members, as {{"members": ["0", "1"]}}, which are folders beside it')
    return [os.path.join(path, m) for m in found]


def _homes(path: str) -> list[str]:
    """Where the manifest of a model may lie: with it, with the ensemble that it is a member of, or with the training that it is a
    checkpoint of, or the merged model."""
    parent, name = os.path.split(os.path.abspath(path))
    return [path, parent] if os.path.isfile(os.path.join(parent, ENSEMBLE)) or _PART.fullmatch(name) else [path]


def _harmless(path: str, where: str) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _json(path, name):
            raise UsageError(f"{where}: {name} names code of its own (auto_map), and no code of a model's folder is run")
    if not any(n.endswith(".safetensors") for n in os.listdir(path)):
        raise UsageError(f"{where}: it has no .safetensors; other weights can hold code and are not read")


def _head(config: dict[str, Any], adapter: dict[str, Any], where: str) -> Literal["score", "lm"]:
    """An adapter's own word comes first: a configuration beside it is that of its base."""
    names = [n for n in config.get("architectures") or () if isinstance(n, str)]
    task = adapter.get("task_type")
    if task == "SEQ_CLS" or (task is None and any(n.endswith(CLASSIFIER) for n in names)):
        return "score"
    if task == "CAUSAL_LM" or (task is None and any(n.endswith(CAUSAL) for n in names)):
        return "lm"
    raise UsageError(f"{where}: neither a sequence classifier nor a causal model (architectures: {', '.join(names) or 'not named'})")


def _names(config: dict[str, Any]) -> tuple[str, ...]:
    """The outputs of a classifier: transformers counts its labels, and takes two where none are named."""
    labels = config.get("id2label")
    if isinstance(labels, dict):
        return tuple(str(labels[k]) for k in sorted(labels, key=lambda k: (len(k), k)))
    return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels") or (2 if config else 1))))


def _shares(config: dict[str, Any]) -> tuple[float, ...] | None:
    given = config.get("aspect_weights")
    if not isinstance(given, list) or len(given) != len(_names(config)) or not all(isinstance(w, int | float) and w > 0 for w in given):
        return None
    return tuple(w / sum(given) for w in given)


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
        except orjson.JSONDecodeError as e:
            raise InputError(f"{path}: not JSON ({e.msg})") from None
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
