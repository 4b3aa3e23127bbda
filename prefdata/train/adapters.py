"""LoRA: fresh adapters, trained ones that a training goes on with, and the frozen adapter that is their reference.

    policy                     reference                                       in memory
    fresh adapter on a base    the adapter switched off                        the base once
    trained adapter            a frozen copy of it (not the base)              the base once, a second adapter
    trained adapter            another adapter on the same base, or the base   the base once

The reference speaks once, before training (`reference.py`); then its adapter leaves the memory, so it is never saved with the policy's.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson
import torch

from prefdata.errors import InputError, UsageError
from prefdata.train.options import TrainOptions

POLICY, REFERENCE = "dpo", "reference"
"""The names of the two adapters in memory."""
FILE = "adapter_config.json"


def is_adapter(folder: str) -> bool:
    """Whether a folder holds a PEFT adapter and not a whole model."""
    return os.path.isfile(os.path.join(folder, FILE))


def about(folder: str) -> dict[str, Any]:
    """The configuration of a LoRA adapter. Raises InputError, or UsageError when training cannot go on with such an adapter."""
    try:
        with open(os.path.join(folder, FILE), "rb") as f:
            said: dict[str, Any] = orjson.loads(f.read())
    except (OSError, orjson.JSONDecodeError) as e:
        raise InputError(f"{folder}: {FILE} cannot be read ({e})") from None
    if said.get("peft_type") != "LORA":
        raise UsageError(f"{folder}: an adapter of the type {said.get('peft_type')}; only LoRA adapters are trained here")
    if said.get("bias", "none") != "none":
        raise UsageError(f"{folder}: this adapter trains biases of the base (bias={said['bias']}), so it cannot stand beside another one")
    if not os.path.isfile(os.path.join(folder, "adapter_model.safetensors")):
        raise UsageError(f"{folder}: no adapter_model.safetensors; other weights can hold code and are not read")
    return said


def base_of(folder: str, base: str | None = None) -> str:
    """The base model's folder or name: `base`, or what the adapter names. Raises UsageError when that folder is not there."""
    named = base or about(folder).get("base_model_name_or_path") or ""
    if not named or (os.path.sep in named and not os.path.isdir(named)):
        raise UsageError(f"{folder}: its base model {named!r} is not there; say where it is with --base FOLDER")
    return str(named)


def tokenizer_of(options: TrainOptions) -> str:
    """The tokenizer's folder: the named one, the model's, or that of the base of an adapter without one."""
    if options.tokenizer is not None:
        return options.tokenizer
    if not is_adapter(options.model):
        if not os.path.isfile(os.path.join(options.model, "tokenizer.json")):
            lack = "has no tokenizer.json" if os.path.isdir(options.model) else "is no folder here"
            raise UsageError(f"--model {options.model}: {lack}; name a folder that has one with --tokenizer, or download the model first")
        return options.model
    own = os.path.isfile(os.path.join(options.model, "tokenizer.json"))
    return options.model if own else base_of(options.model, options.base)


def lora_numbers(model: Any, rank: int) -> int:
    """How many numbers a fresh adapter on all linear layers will have."""
    last = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not last]
    return sum(rank * (m.in_features + m.out_features) for m in linear)


def with_lora(model: Any, options: TrainOptions, head: str) -> Any:
    """The model with a fresh LoRA adapter on all linear layers; a score head is trained in full and saved with it."""
    from peft import LoraConfig, get_peft_model

    assert options.lora is not None
    config = LoraConfig(
        r=options.lora,
        lora_alpha=int(options.lora_alpha or 2 * options.lora),
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM" if head == "lm" else "SEQ_CLS",
        modules_to_save=None if head == "lm" else ["score"],
    )
    return saved_flat(get_peft_model(model, config, adapter_name=POLICY))


def with_adapters(base: Any, policy: str, reference: str | None) -> Any:
    """The base with the trained adapter of the folder `policy`, which learns on, and the one of `reference`, which never learns."""
    from peft import PeftModel

    try:
        model = PeftModel.from_pretrained(base, policy, adapter_name=POLICY, is_trainable=True)
        if reference is not None:
            model.load_adapter(reference, REFERENCE, is_trainable=False)
    except (RuntimeError, ValueError, KeyError) as e:
        raise InputError(f"{policy}: the adapter does not fit its base ({str(e).splitlines()[0][:300]})") from None
    model.set_adapter(POLICY)
    if hasattr(model.get_output_embeddings(), "lora_A"):
        raise UsageError(f"{policy}: an adapter on the output layer; its weights are read without it here, so it would not be trained")
    return saved_flat(model)


@contextmanager
def speaking(model: Any, name: str) -> Iterator[Any]:
    """The model with this adapter active. Switching in peft also switches gradients: they stay as they are, on for the policy, off for
    the reference."""
    model.set_adapter(name, inference_mode=True)
    model.set_requires_grad(POLICY, True)
    model.set_requires_grad(REFERENCE, False)
    try:
        yield model
    finally:
        model.set_adapter(POLICY)


@contextmanager
def as_reference(model: Any, options: TrainOptions) -> Iterator[Any]:
    """The reference, if it can be had without a second base in memory, else None: another folder has to be loaded."""
    adapters = getattr(model, "peft_config", {})
    if REFERENCE in adapters:
        with speaking(model, REFERENCE) as other:
            yield other
    elif options.reference is None:
        yield model
    elif POLICY in adapters and not is_adapter(options.reference) and _same(options.reference, base_of(options.model, options.base)):
        with model.disable_adapter():
            yield model
    else:
        yield None


def reference_folder(options: TrainOptions) -> str | None:
    """The folder of the adapter that is loaded beside the policy's and frozen: the policy's own, or `--reference` where it is an adapter on
    the same base."""
    other = options.reference
    if other is None:
        return options.model
    same = is_adapter(other) and _same(base_of(other, options.base), base_of(options.model, options.base))
    return other if same else None


def _same(a: str, b: str) -> bool:
    return a == b or (os.path.isdir(a) and os.path.isdir(b) and os.path.samefile(a, b))


def forget_reference(model: Any) -> None:
    """The reference has spoken: its adapter leaves the memory, and what is saved is the policy's alone."""
    if REFERENCE in getattr(model, "peft_config", {}):
        model.delete_adapter(REFERENCE)
        model.set_adapter(POLICY)


def active_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and tensors that the model's answers depend on now, under the base's own names: no adapter that is not active."""
    adapters = getattr(model, "peft_config", {})
    status = model.get_model_status() if adapters else None
    active = set(status.active_adapters) if status is not None and status.enabled else set()
    silent = "|".join(re.escape(n) for n in adapters if n not in active)
    left_out = re.compile(rf"\.(lora_\w+|modules_to_save)\.({silent})(\.|$)") if silent else None
    found = []
    for name, tensor in model.state_dict().items():
        if left_out is None or not left_out.search(name):
            plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")
            for adapter in active:
                plain = plain.replace(f".{adapter}.", ".")
            found.append((plain, tensor))
    yield from sorted(found, key=lambda item: item[0])
    for adapter in sorted(active):  # rank and alpha scale the answers and are no weights
        said = {k: v for k, v in adapters[adapter].to_dict().items() if k not in ("base_model_name_or_path", "inference_mode")}
        yield "adapter " + orjson.dumps(said, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode(), torch.zeros(0)


def saved_flat(model: Any) -> Any:
    """The model, whose `save_pretrained` puts the policy's adapter into the folder itself: `PeftModel.from_pretrained(base, folder)` loads
    it. peft would make a sub-folder for a name other than `default`."""
    model.save_pretrained = partial(_save, model, model.save_pretrained)
    return model


def _save(model: Any, save: Any, folder: str, **how: Any) -> None:
    save(folder, **{**how, "selected_adapters": [POLICY], "save_embedding_layers": False})  # the vocabulary never changes here
    inner = os.path.join(folder, POLICY)
    for name in os.listdir(inner) if os.path.isdir(inner) else ():
        os.replace(os.path.join(inner, name), os.path.join(folder, name))
    shutil.rmtree(inner, ignore_errors=True)
    if how.get("is_main_process", True) and hasattr(model.config, "num_labels") and model.peft_config[POLICY].task_type == "SEQ_CLS":
        model.config.save_pretrained(folder)  # number and names of the outputs
