"""Models for training: weights, adapters, no dropout, and the checks that stop a training which would learn the wrong thing."""

from __future__ import annotations

import os
from typing import Any

import torch

from prefdata.errors import InputError, UsageError
from prefdata.train.layout import Group, laid_out
from prefdata.train.model import scores, token_logps
from prefdata.train.options import TrainOptions

LAYOUTS = ("shared", "packed", "padded")
AGREE = {torch.float32: 2e-3, torch.bfloat16: 0.3}
"""Nats per token (or points of a score) by which layouts may differ from the model's own answer."""


def load_model(path: str, *, head: str, dtype: torch.dtype, heads: int = 1, whole: bool = False) -> Any:
    """A causal model (`lm`) or a sequence classifier (`score`), from a folder or the hub, safetensors only, no remote code. With `whole`
    weights that the folder lacks are an error (transformers fills them with random numbers, as a new reward model needs it)."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    if os.path.sep in path and not os.path.isdir(path):
        raise UsageError(f"--model {path}: no such folder")
    kind = AutoModelForCausalLM if head == "lm" else AutoModelForSequenceClassification
    more = {} if head == "lm" else {"num_labels": heads}
    try:
        model, about = kind.from_pretrained(path, dtype=dtype, use_safetensors=True, output_loading_info=True, **more)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise InputError(f"{path}: the model cannot be loaded ({str(e).splitlines()[0][:300]})") from None
    if whole and about["missing_keys"]:
        raise UsageError(f"{path}: the weights lack {', '.join(sorted(about['missing_keys'])[:3])}; this is no whole model")
    without_dropout(model)
    return model


def without_dropout(model: Any) -> None:
    """Every dropout off, also the attention's, which is no module: with it the reference is not what the policy starts from."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    if isinstance(getattr(model.config, "attention_dropout", None), float):
        model.config.attention_dropout = 0.0


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
    return get_peft_model(model, config)


@torch.no_grad()
def choose_layout(model: Any, groups: list[Group], wanted: str, head: str) -> str:
    """The wanted layout, or for `auto` the fastest that agrees with the model's own answer to padded rows. Raises UsageError when the
    wanted one does not: this model mixes tokens along the row (sliding windows, state spaces, ALiBi) or scales its logits."""
    model.eval()
    device = next(model.parameters()).device
    padded = laid_out(groups, "padded").to(device)
    own = own_answer(model, padded, head)
    limit = AGREE.get(own.dtype if own.dtype in AGREE else torch.float32, 2e-3)
    says = token_logps if head == "lm" else scores
    differ = {}
    for layout in LAYOUTS if wanted == "auto" else (wanted,):
        try:
            found = says(model, laid_out(groups, layout).to(device))
        except (TypeError, ValueError, NotImplementedError, AttributeError) as e:
            differ[layout] = f"{type(e).__name__}: {str(e)[:100]}"
            continue
        gap = float((found - own).abs().max())
        if gap <= limit:
            return layout
        differ[layout] = f"off by {gap:.3g}"
    words = "; ".join(f"{k}: {v}" for k, v in differ.items())
    raise UsageError(f"--layout {wanted}: the log-probs are not the model's own ({words}); this model cannot be trained here yet")


def own_answer(model: Any, padded: Any, head: str) -> Any:
    """What the model itself says of padded rows, without any of our ways to compute it: log-probs of the scored tokens, or scores."""
    if head != "lm":
        return scores(model, padded)
    logits = model(input_ids=padded.ids, attention_mask=padded.mask).logits
    flat = logits.reshape(-1, logits.shape[-1]).index_select(0, padded.source).float()
    return flat.gather(1, padded.labels[:, None]).squeeze(1) - torch.logsumexp(flat, -1)
