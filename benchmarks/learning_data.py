"""The records of the learning experiments, made with prefdata: converted, split by prompt, flipped, and with noise of known rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import corpus
import numpy as np
import polars as pl
from learning_models import Sampled

import prefdata

EVALS = "model_written_evals/persona.jsonl.gz"
NEW_BEHAVIOURS = 12
Noise = Literal["unequal", "uniform"]
NOISE: tuple[Noise, ...] = ("unequal", "uniform")
"""Chances that a label is flipped: 5 % for one half of the pairs and 45 % for the other; or anything from 0 to 50 %."""


class Split(NamedTuple):
    """Files of pairs; no prompt of one is in another, except that reward models and DPO learn from the same (`train`)."""

    sft: Path
    train: Path
    held_out: dict[str, Path]


def evals(source: Path, work: Path, *, train: int, sft: int, held_out: int) -> Split:
    """Model-written evaluations: a statement, and whether a character would say it; answers are Yes and No. Some behaviours are held out
    altogether."""
    records = converted(source / EVALS, work / "evals.parquet", dimension="matching")
    frame = prefdata.read(str(records)).with_columns(behaviour=pl.col("meta").str.json_path_match("$.behavior"), text=prompts("prompt"))
    new = frame["behaviour"].unique().sort().sample(NEW_BEHAVIOURS, seed=0).to_list()
    known = frame.filter(~pl.col("behaviour").is_in(new))
    strange = frame.filter(pl.col("behaviour").is_in(new)).join(known, on="text", how="anti")
    by_prompt = split(saved(known, work / "known.parquet"), work / "split", 0.1)
    rest = by_prompt["train"].sample(train + sft, seed=0, shuffle=True)
    held = {"new prompts": by_prompt["test"].sample(held_out, seed=0, shuffle=True)}
    held["new behaviours"] = strange.sample(min(held_out, strange.height), seed=0, shuffle=True)
    return Split(
        saved(rest[:sft], work / "sft.parquet"),
        saved(rest[sft:], work / "train.parquet"),
        {k: saved(v, work / f"held-{k.replace(' ', '-')}.parquet") for k, v in held.items()},
    )


def hh(source: Path, work: Path) -> Split:
    """Dialogues in which somebody asks for harm, and two answers. There are few: SFT has the same prompts as DPO."""
    records = converted(source / corpus.HH, work / "hh.parquet")
    by_prompt = split(records, work / "split", 0.25)
    train = saved(by_prompt["train"].sample(fraction=1, seed=0, shuffle=True), work / "train.parquet")
    return Split(train, train, {"new prompts": saved(by_prompt["test"], work / "held-new-prompts.parquet")})


def flipped(pairs: Path, out: Path) -> Path:
    """The same pairs with every label wrong."""
    every = prefdata.read(str(pairs))
    return _swapped(every, out, np.ones(every.height, bool), None)


def noisy(pairs: Path, out: Path, kind: Noise, n: int, seed: int) -> Path:
    """Labels flipped with a chance that each pair has of its own; p_chosen says how sure its label is: 1 less that chance."""
    draw = np.random.default_rng(seed)
    some = prefdata.read(str(pairs)).sample(n, seed=seed)
    chance = draw.choice([0.05, 0.45], n) if kind == "unequal" else draw.uniform(0, 0.5, n)
    return _swapped(some, out, draw.random(n) < chance, 1 - chance)


def _swapped(frame: pl.DataFrame, out: Path, where: Any, p_chosen: Any) -> Path:
    """Chosen and rejected change places where it says so; convert makes the ids anew."""
    frame = frame.with_columns(swap=pl.Series(where))
    turned = [pl.when("swap").then(b).otherwise(a).alias(a) for a, b in (("chosen", "rejected"), ("rejected", "chosen"))]
    frame = frame.with_columns(turned).with_columns([] if p_chosen is None else [pl.Series("p_chosen", p_chosen)])
    return converted(saved(frame, out.with_suffix(".raw.parquet")), out)


def answers_as_pairs(tuned: Sampled, base: Sampled, out: Path) -> tuple[Path, dict[str, int]]:
    """Pairs with the tuned policy's answer as chosen and the base's as rejected; equal and empty answers are left out and counted."""
    answers = {name: [[{"role": "assistant", "content": t}] for t in said.texts] for name, said in (("chosen", tuned), ("rejected", base))}
    raw = out.with_suffix(".jsonl")
    pl.DataFrame({"prompt": base.prompts, **answers}).write_ndjson(raw)
    rejects = prefdata.convert(str(raw), str(out), force=True).counts["rejected"]
    return out, rejects


def converted(source: Path, out: Path, **options: Any) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    prefdata.convert(str(source), str(out), force=True, **options)
    return out


def split(records: Path, folder: Path, share: float) -> dict[str, pl.DataFrame]:
    """By prompt: all pairs of one prompt are on one side."""
    prefdata.export(str(records), str(folder), to="jsonl", split={"test": share}, force=True)
    return {name: prefdata.read(str(folder / f"{name}.jsonl")) for name in ("train", "test")}


def saved(frame: pl.DataFrame, out: Path) -> Path:
    frame.drop("behaviour", "text", "swap", strict=False).write_parquet(out)
    return out


def prompts(column: str) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().struct.field("content")).list.join("\x00")
