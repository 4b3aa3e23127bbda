"""A tiny model that was taught to answer: some of what it says is right, and it thinks first where the system text asks for it."""

from __future__ import annotations

import json
from pathlib import Path

from prefdata.sampling.thoughts import ANSWER, INSTRUCTION, THOUGHT
from prefdata.train.options import TrainOptions
from prefdata.train.run import train
from tests.checks.build import binary, turn, write
from tests.train import tiny

SUMS = [(a, b) for a in (2, 3, 4) for b in (1, 3)]


def question(a: int, b: int) -> str:
    return f"What is {a} + {b}?"


def answers(a: int, b: int) -> list[str]:
    """Right ones and wrong ones, short and longer."""
    return [text.format(n) for n in (a + b, a + b + 1) for text in ("It is {}.", "{}", "If you count it all, it is {}.")]


def thoughts(a: int, b: int) -> list[str]:
    return [f"{THOUGHT}\n{hm}\n{ANSWER}\n{text}" for hm in ("Hm.", "Count!") for text in answers(a, b)[:3]]


def made(folder: Path) -> None:
    """The model in `policy`, a random reward model in `rm`, `prompts.jsonl` with the sums' results in meta, and `people.jsonl`, pairs in
    which the right answer is chosen."""
    from transformers import AutoModelForSequenceClassification

    rows = [binary(text, prompt=question(*ab)) for ab in SUMS for text in answers(*ab)]
    for ab in SUMS:
        asked = [turn("system", INSTRUCTION), turn("user", question(*ab))]
        rows += [binary(text, prompt=asked) for text in thoughts(*ab)]
    write(folder / "taught.jsonl", rows)
    texts = [m["content"] for row in rows for m in (*row["prompt"], *row["completion"])]
    tiny.saved(folder / "untaught", texts, hidden=64)
    how = {"model": str(folder / "untaught"), "batch": 12, "epochs": 20, "learning_rate": 5e-3, "schedule": "cosine", "save_every": 1000}
    train("sft", str(folder / "taught.jsonl"), str(folder / "policy"), TrainOptions.model_validate(how))
    words = tiny.tokenizer(texts)
    config = tiny.model(vocabulary=len(words), hidden=32, seed=3).config
    config.num_labels = 1
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder / "rm")
    words.save_pretrained(folder / "rm")
    asked_for = [{"prompt": question(a, b), "meta": json.dumps({"answer": str(a + b)})} for a, b in SUMS]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in asked_for), encoding="utf-8")
    people = [{"prompt": question(*ab), "chosen": answers(*ab)[i], "rejected": answers(*ab)[i + 3]} for ab in SUMS for i in range(3)]
    (folder / "people.jsonl").write_text("".join(json.dumps(r) + "\n" for r in people), encoding="utf-8")
