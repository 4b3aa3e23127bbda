"""What is seen in a folder before anything of it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import InputError, PrefdataError, UsageError
from prefdata.rewards.folder import look, members_of


def folder(path: Path, config: dict[str, Any] | None = None, **files: str) -> str:
    path.mkdir(parents=True)
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(b"")
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return str(path)


SCORE: dict[str, Any] = {"architectures": ["LlamaForSequenceClassification"], "max_position_embeddings": 64}


def test_a_reward_model(tmp_path: Path) -> None:
    names = {str(i): f"aspect {i}" for i in range(11)}
    found = look(folder(tmp_path / "rm", SCORE | {"id2label": names}), "here")
    assert (found.head, found.outputs, found.longest, found.own, found.name) == ("score", 11, 64, False, "rm")
    assert found.names == tuple(names.values())  # 10 comes behind 9
    limit = json.dumps({"model_max_length": 50})
    own = folder(tmp_path / "own", SCORE, model__manifest__json=json.dumps({"command": "train rm"}), tokenizer_config__json=limit)
    assert (look(own, "").own, look(own, "").longest) == (True, 50)


def test_what_a_training_leaves_is_its_own(tmp_path: Path) -> None:
    """Checkpoints and the merged model have no manifest of their own; a model of others that lies there is not ours."""
    folder(tmp_path / "out", SCORE, model__manifest__json=json.dumps({"command": "train rm"}))
    weights = {"id2label": {"0": "kind", "1": "safe"}, "aspect_weights": [3, 1]}
    for name, own in (("merged", True), ("checkpoint-12", True), ("other", False), ("checkpoint-x", False)):
        found = look(folder(tmp_path / "out" / name, SCORE | weights), "here")
        assert (found.own, found.shares) == (own, (0.75, 0.25)), name
    for i, bad in enumerate(([1], [1, 0], [1, "x"], "1", None)):
        assert look(folder(tmp_path / str(i), SCORE | weights | {"aspect_weights": bad}), "here").shares is None


def test_an_adapter_says_itself_what_it_is(tmp_path: Path) -> None:
    base = {"architectures": ["LlamaForCausalLM"]}
    path = folder(tmp_path / "a", base, adapter_config__json=json.dumps({"task_type": "SEQ_CLS"}))
    assert (look(path, "").head, look(path, "").adapter) == ("score", True)
    unsafe = folder(tmp_path / "base", base | {"auto_map": {"AutoModel": "x.Y"}})
    path = folder(tmp_path / "b", None, adapter_config__json=json.dumps({"task_type": "CAUSAL_LM", "base_model_name_or_path": unsafe}))
    with pytest.raises(UsageError, match=r"its base .*code of its own"):
        look(path, "here")


def test_ensembles(tmp_path: Path) -> None:
    top = tmp_path / "rms"
    for i in range(2):
        folder(top / str(i), SCORE)
    (top / "ensemble.json").write_text('{"members": ["0", "1"]}')
    (top / "model.manifest.json").write_text('{"command": "train rm"}')
    assert members_of(str(top), "here") == [str(top / "0"), str(top / "1")]
    assert all(look(m, "here").own for m in members_of(str(top), "here"))
    assert members_of(str(top / "0"), "here") == [str(top / "0")]
    with pytest.raises(UsageError, match="an ensemble; name one of its members here"):
        look(str(top), "--judge rm:x")
    for members in ("[]", '["../../etc"]', '[".."]', '["/etc"]', "[1]", '"0"'):
        (top / "ensemble.json").write_text(f'{{"members": {members}}}')
        with pytest.raises(UsageError, match="names no members"):
            members_of(str(top), "here")


@pytest.mark.parametrize(
    ("config", "files", "words"),
    [
        (None, {}, "no config.json"),
        (SCORE | {"auto_map": {"AutoModel": "x.Y"}}, {}, "code of its own"),
        (SCORE, {"tokenizer_config__json": '{"auto_map": {}}'}, "tokenizer_config.json names code"),
        ({"architectures": ["T5Model"]}, {}, "neither a sequence classifier nor a causal model"),
        (None, {"config__json": "{"}, "not JSON"),
        (None, {"config__json": "[]"}, "not a JSON object"),
    ],
)
def test_what_is_refused(config: Any, files: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, InputError), match=words) as e:
        look(folder(tmp_path / "m", config, **files), "--reward-model m")
    assert isinstance(e.value, PrefdataError)
