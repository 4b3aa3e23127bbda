"""Every option of `prefdata train`: one model for the command line, the Python API and recipes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prefdata.options import Options


def _numbered(value: Any) -> Any:
    """`dpo:1,sft:0.1` or `beta=0.1,f=hinge` as a dict; a name without a number has weight 1."""
    if not isinstance(value, str):
        return value
    out: dict[str, Any] = {}
    for item in (part.strip() for part in value.split(",") if part.strip()):
        name, sep, rest = item.partition("=") if "=" in item else item.partition(":")
        out[name.strip()] = rest.strip() if sep else 1.0
    return out


Mix = Annotated[dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(_numbered)]
Arguments = Annotated[dict[str, float | str], BeforeValidator(_numbered)]


class TrainOptions(Options):
    """How a model is trained on records."""

    model: str = Field(
        description="Folder of the model that is trained (safetensors), its name on the hub, or the folder of a LoRA adapter that goes on."
    )
    base: str | None = Field(None, description="Base model, where --model is an adapter; default: the one that the adapter names.")
    tokenizer: str | None = Field(None, description="Folder of the tokenizer; default: the model's.")
    loss: Mix = Field(default_factory=dict, description="Loss ('prefdata list losses'), or a mix of them as dpo:1,sft:0.1.")
    loss_args: Arguments = Field(default_factory=dict, description="Options of the losses, as beta=0.1,label_smoothing=0.1.")
    hard_labels: bool = Field(False, description="Take the direction of pairs alone, where records have soft labels (p_chosen).")
    ld_alpha: float | None = Field(None, ge=0, le=1, description="LD-DPO: weight of the tokens beyond the shorter answer's length.")
    reference: str | None = Field(
        None, description="Folder of the reference model (or adapter); default: the model, or its adapter, as it is before training."
    )
    eval_data: str | None = Field(None, description="Records that are held out: measured during training.")
    epochs: float = Field(1.0, gt=0, description="Passes over the data.")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many optimizer steps.")
    batch: int = Field(64, ge=1, description="Records of one optimizer step, over all processes.")
    micro_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of one forward pass; default: what a GPU holds, at most 16,384; on a CPU 1,024, or more for small models.",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Default: dpo and kto 1e-6, sft 1e-5, rm 1e-5; with LoRA ten times as much."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Course of the learning rate after the warm-up.")
    warmup: float = Field(0.0, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are cut at this norm; 0: not.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Order of the records, and every other draw.")
    max_length: int | None = Field(2048, ge=2, description="Most tokens of prompt and one completion.")
    truncate: Literal["drop", "prompt", "completion"] = Field(
        "drop", description="Longer records: drop them, cut the prompt at its beginning, or cut the completion at its end."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Type of the computation; auto: bfloat16 on a GPU, else float32."
    )
    lora: int | None = Field(None, ge=1, description="Rank of a LoRA adapter; default: all weights are trained.")
    lora_alpha: float | None = Field(None, gt=0, description="LoRA's alpha; default: twice the rank.")
    load_4bit: bool = Field(False, description="QLoRA: keep the base in 4-bit numbers (NF4; needs bitsandbytes and a GPU).")
    merge: bool = Field(False, description="Write the base with the adapter merged into it as well, to OUT/merged.")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field("auto", description="auto: only when the memory estimate needs it.")
    layout: Literal["auto", "shared", "packed", "padded"] = Field(
        "auto", description="shared: prompts once, no padding; auto: shared if it gives this model's own log-probs, else the next."
    )
    save_every: int | None = Field(None, ge=1, description="Steps between checkpoints; default: at the end of each epoch.")
    eval_every: int | None = Field(None, ge=1, description="Steps between measurements of --eval-data; default: at the end of each epoch.")
    keep: int = Field(2, ge=1, description="Checkpoints that stay.")
    save_best: str | None = Field(None, description="Keep the checkpoint with the best value of this metric, as eval_rewards/accuracies.")
    log_every: int = Field(10, ge=1, description="Steps between lines of metrics.")
    report_to: Literal["none", "tensorboard", "wandb"] = Field("none", description="Also log there.")
    center: float = Field(0.0, ge=0, description="rm: weight of the squared sum of a record's scores; 0.01 is usual.")
    aspects: Mix = Field(
        default_factory=dict,
        description="rm: one head per aspect of the annotations, as helpfulness,harmlessness, or with weights in the single score as "
        "helpfulness:2,harmlessness:1.",
    )
    ensemble: int | None = Field(None, ge=2, description="rm: train so many models that differ in their seeds, to OUT/0, OUT/1, ….")
    dry_run: bool = Field(False, description="Train nothing: say steps, tokens and the memory estimate.")
    limit: int | None = Field(None, ge=1, description="Read only the first N rows.")
    force: bool = Field(False, description="Begin anew in a folder that holds another training.")
