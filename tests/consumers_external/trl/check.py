"""TRL: `load_dataset` on the folder, then the real trainer with a tiny model, whose prepared token ids are decoded and compared. One
optimiser step is made. Where the prompt is implicit, TRL's own `extract_prompt` must find the records' prompts again."""

import sys

from common import Arguments, chatml, report, same, tokenizer
from datasets import load_dataset
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.data_utils import apply_chat_template, extract_prompt

a = Arguments()
tok = tokenizer()
data = load_dataset(a.folder)["train"]
answers = {c: [chatml(r[c]) for r in a.records] for c in ("chosen", "rejected", "completion") if c in a.records[0]}
after = {c: [t.removeprefix("<|im_start|>assistant\n") for t in texts] for c, texts in answers.items()}
whole = {c: [chatml(r["prompt"] + r[c]) for r in a.records] for c in answers}
ask = [chatml(r["prompt"], ask=True) for r in a.records]


def model(cls=LlamaForCausalLM, **more):
    return cls(
        LlamaConfig(
            vocab_size=len(tok), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            max_position_embeddings=65536, pad_token_id=tok.pad_token_id, eos_token_id=tok.eos_token_id, **more
        )
    )  # fmt: skip


def saved():
    """The folder of a model: DPO and KTO load it a second time as reference."""
    model().save_pretrained("tiny")
    return "tiny"


def settings(cls, **more):
    return cls(output_dir="trained", max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, bf16=False, **more)


def texts(rows, column):
    return [tok.decode(ids) for ids in rows[column]]


def dpo():
    return DPOTrainer(saved(), args=settings(DPOConfig, max_length=None), train_dataset=data, processing_class=tok)


def reward():
    judge = model(LlamaForSequenceClassification, num_labels=1)
    return RewardTrainer(judge, args=settings(RewardConfig, max_length=None), train_dataset=data, processing_class=tok)


what = ""
if a.form in ("preference", "standard"):
    trainer = dpo()
    rows = trainer.train_dataset
    if a.form == "standard":
        eos = tok.eos_token
        ask = [r["prompt"][-1]["content"] for r in a.records]
        after = {c: ["\n" + r[c][0]["content"] + eos for r in a.records] for c in answers}
    same(texts(rows, "prompt_ids"), ask, "prompt")
    for c in ("chosen", "rejected"):
        same(texts(rows, f"{c}_ids"), after[c], c)
    what = "DPOTrainer, one step"
elif a.form in ("reward", "implicit"):
    trainer = reward()
    rows = trainer.train_dataset
    for c in ("chosen", "rejected"):
        same(texts(rows, f"{c}_ids"), whole[c], c)
    what = "RewardTrainer, one step"
    if a.form == "reward":
        same(rows["margin"], [r["margin"] or 0.0 for r in a.records], "margin")
    else:
        found = [extract_prompt(row) for row in data]
        same([f["prompt"] for f in found], [r["prompt"] for r in a.records], "extracted prompt")
        same([f["chosen"] for f in found], [r["chosen"] for r in a.records], "extracted answer")
        what += "; extract_prompt"
elif a.form == "sft":
    trainer = SFTTrainer(model(), args=settings(SFTConfig, max_length=None), train_dataset=data, processing_class=tok)
    rows = trainer.train_dataset
    same(texts(rows, "input_ids"), whole["chosen"], "text")
    learnt = [[t for t in ids if t != -100] for ids in rows["labels"]]
    same([tok.decode(ids) for ids in learnt], after["chosen"], "learnt part")
    what = "SFTTrainer, one step"
elif a.form == "unpaired":
    trainer = KTOTrainer(saved(), args=settings(KTOConfig, max_length=None), train_dataset=data, processing_class=tok)
    rows = trainer.train_dataset
    same(texts(rows, "prompt_ids"), ask, "prompt")
    same(texts(rows, "completion_ids"), after["completion"], "completion")
    same(rows["label"], [r["label"] for r in a.records], "label")
    what = "KTOTrainer, one step"
elif a.form == "prompt-only":
    rows, trainer = data, None
    same([apply_chat_template(row, tok)["prompt"] for row in data], ask, "prompt")
    what = "apply_chat_template, as GRPOTrainer calls it"
else:
    sys.exit(f"unknown form {a.form}")
if trainer is not None:
    trainer.train()
report(len(rows), what, "trl", "transformers", "datasets", "torch")
