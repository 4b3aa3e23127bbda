"""Models for training: weights, adapters, no dropout, and the checks that stop a training which would learn the wrong thing."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import torch

from prefdata.errors import InputError, UsageError
from prefdata.train import adapters
from prefdata.train.adapters import base_of, is_adapter
from prefdata.train.arguments import compute_dtype
from prefdata.train.layout import Group, laid_out
from prefdata.train.model import scores, token_logps
from prefdata.train.options import TrainOptions

LAYOUTS = ("shared", "packed", "padded")
AGREE = {torch.float32: 2e-3, torch.bfloat16: 0.3}
"""Nats per token (or points of a score) by which layouts may differ from the model's own answer."""


def load_model(path: str, *, head: str, dtype: torch.dtype, heads: int = 1, whole: bool = False, four_bit: bool = False) -> Any:
    """A causal model (`lm`) or a sequence classifier (`score`), from a folder or the hub, safetensors only, no remote code. Weights
    that the folder lacks are an error; but a new reward model's head, unless `whole`, is filled with random numbers. The folder of an
    adapter gives its base with the adapter merged into it."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    if is_adapter(path):
        return merged(path, head=head, dtype=dtype, heads=heads)
    if os.path.sep in path and not os.path.isdir(path):
        raise UsageError(f"--model {path}: no such folder")
    kind = AutoModelForCausalLM if head == "lm" else AutoModelForSequenceClassification
    more: dict[str, Any] = {} if head == "lm" else {"num_labels": heads}
    if four_bit:
        more |= {"quantization_config": four_bits(), "device_map": {"": torch.cuda.current_device()}}
    try:
        model, about = kind.from_pretrained(path, dtype=dtype, use_safetensors=True, output_loading_info=True, **more)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise InputError(f"{path}: the model cannot be loaded ({str(e).splitlines()[0][:300]})") from None
    lacks = sorted(k for k in about["missing_keys"] if whole or not (head == "score" and k.startswith("score.")))
    if lacks:
        raise UsageError(f"{path}: the weights lack {', '.join(lacks[:3])}; this is no whole model")
    without_dropout(model)
    return model


def merged(folder: str, *, head: str, dtype: torch.dtype, heads: int = 1, base: str | None = None) -> Any:
    """The base of an adapter with the adapter's weights added to its own: a plain model. The base is read in `dtype`, also where the
    adapter was trained on 4-bit weights: what is merged into 4 bits is rounded away."""
    from peft import PeftModel

    said = adapters.about(folder)
    if head == "score" and "score" not in (said.get("modules_to_save") or ()):
        raise UsageError(f"{folder}: an adapter without a score head; a reward model's is saved with it (modules_to_save)")
    model = load_model(base_of(folder, base), head=head, dtype=dtype, heads=heads, whole=head == "lm")
    try:
        model = PeftModel.from_pretrained(model, folder).merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, KeyError) as e:
        raise InputError(f"{folder}: the adapter cannot be merged into its base ({str(e).splitlines()[0][:300]})") from None
    without_dropout(model)
    return model


def write_merged(out: str, options: TrainOptions, tokenizer: Any, head: str) -> None:
    """The trained adapter in `out`, as it was saved, merged into its base: a whole model in OUT/merged."""
    dtype = torch.bfloat16 if options.load_4bit else compute_dtype(options)
    heads = max(1, len(options.aspects))
    model = merged(out, head=head, dtype=dtype, heads=heads, base=options.base)
    name_heads(model, options.aspects)
    model.save_pretrained(os.path.join(out, "merged"))
    tokenizer.save_pretrained(os.path.join(out, "merged"))


def name_heads(model: Any, aspects: dict[str, float]) -> None:
    """The outputs of a reward model bear the aspects' names; their weights in the single score stand in the configuration."""
    if aspects:
        model.config.id2label = dict(enumerate(aspects))
        model.config.label2id = {name: i for i, name in enumerate(aspects)}
        model.config.aspect_weights = list(aspects.values())


def starting_model(options: TrainOptions, *, head: str, heads: int = 1) -> Any:
    """What is trained: a whole model, or a base with a trained adapter and its frozen reference. A fresh adapter comes later, when the
    base has spoken as the reference."""
    adapted = is_adapter(options.model)
    four = options.load_4bit
    dtype = compute_dtype(options) if options.lora or adapted else torch.float32
    if not adapted:
        return load_model(options.model, head=head, dtype=dtype, heads=heads, four_bit=four)
    said = adapters.about(options.model)
    wanted = "CAUSAL_LM" if head == "lm" else "SEQ_CLS"
    if said.get("task_type") not in (None, wanted):
        raise UsageError(f"--model {options.model}: an adapter for {said['task_type']}, and {wanted} is trained here")
    place = base_of(options.model, options.base)
    base = load_model(place, head=head, dtype=dtype, heads=heads, four_bit=four)
    model = adapters.with_adapters(base, options.model, adapters.reference_folder(options) if head == "lm" else None)
    model.peft_config[adapters.POLICY].base_model_name_or_path = place
    without_dropout(model)
    return model


def four_bits() -> Any:
    """NF4 weights with double quantisation (QLoRA, arXiv:2305.14314); heads stay in 16 bits. Raises UsageError where it cannot run."""
    if not torch.cuda.is_available():
        raise UsageError("--load-4bit needs a GPU; without it, leave the option out")
    if find_spec("bitsandbytes") is None:
        raise UsageError("--load-4bit needs bitsandbytes: pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["lm_head", "score"],
    )


def without_dropout(model: Any) -> None:
    """Every dropout off, also the attention's, which is no module: with it the reference is not what the policy starts from."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    if isinstance(getattr(model.config, "attention_dropout", None), float):
        model.config.attention_dropout = 0.0


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
    found = []
    for i, (ids, mask) in enumerate(zip(padded.ids, padded.mask, strict=True)):  # row by row: the logits of all would be the peak of memory
        logits = model(input_ids=ids[None], attention_mask=mask[None]).logits[0]
        here = padded.owner == i
        rows = logits.index_select(0, padded.source[here] - i * len(ids)).float()
        found.append(rows.gather(1, padded.labels[here, None]).squeeze(1) - torch.logsumexp(rows, -1))
    return torch.cat(found)
