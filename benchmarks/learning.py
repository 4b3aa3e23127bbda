"""Do small models learn from real pairs, with prefdata's own trainer and on one core? Reward models, SFT and DPO, labels that are all
wrong, and soft labels.

python benchmarks/learning.py [--data FOLDER] [--only NAME] [--work FOLDER] [--json FILE] [--table FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import corpus
import learning_data as rows_of
import learning_table
import report
from learning_models import Sampled, eval_rm, sampled, train, untrained

SEED = 0
POLICIES = {
    "DPO alone": ({"dpo": 1}, False),
    "DPO + SFT": ({"dpo": 1, "sft": 1}, False),
    "DPO + SFT, all labels flipped": ({"dpo": 1, "sft": 1}, True),
}
"""Loss, and whether all labels are wrong."""
SEEDS = 6
"""Draws of the noise, of the pairs and of their order."""


def reward_model(name: str, data: rows_of.Split, work: Path, **options: Any) -> dict[str, Any]:
    """A reward model from scratch, next to rules that look at the length alone."""
    cpu = time.process_time()
    learnt = train("rm", data.train, work / "reward", model=untrained(data.train, work / "untrained"), epochs=2, **options)
    out = {"data": name, "pairs": learnt.counts["kept"], "cpu_s": time.process_time() - cpu}
    held = {what: against_length(eval_rm(pairs, model=work / "reward")) for what, pairs in data.held_out.items()}
    return {**out, "held_out": held}


def against_length(figures: dict[str, Any]) -> dict[str, Any]:
    """Accuracy and the two rules: the longer answer, the shorter one. better, worse: pairs on which just one of model and rule is right."""
    from scipy.stats import binomtest

    length = figures["length"]
    longer, shorter = length["chosen_longer"], length["chosen_shorter"]
    better = round((longer["value"] or 0) * longer["n"])
    worse = round((1 - (shorter["value"] or 0)) * shorter["n"])
    p = float(binomtest(better, better + worse).pvalue) if better + worse else None
    rules = {
        "longest": {"value": length["longest_wins"]["value"], **length["against_longest"]},
        "shortest": {"value": 1 - length["longest_wins"]["value"], "wins": better, "losses": worse, "p_value": p},
    }
    return {"accuracy": figures["accuracy"], "log_loss": figures["calibration"]["raw"]["log_loss"], **rules}


def sft(data: rows_of.Split, work: Path, **options: Any) -> None:
    """The base of all policies, from scratch."""
    how = {"epochs": 2, "learning_rate": 2e-3, **options}
    train("sft", data.sft, work / "sft", model=untrained(data.train, work / "untrained"), **how)


def policies(
    name: str, data: rows_of.Split, work: Path, *, kinds: dict[str, Any] = POLICIES, prompts: int, tokens: int, **options: Any
) -> dict[str, Any]:
    """DPO of the SFT model (work/sft) on the labels, and on the same pairs with all labels wrong: implicit rewards of held-out pairs
    against the SFT model, and what the reward model of the same data (work/reward) says of new answers; no answers with prompts=0."""
    base, held, wrong = work / "sft", data.held_out["new prompts"], rows_of.flipped(data.train, work / "flipped.parquet")
    said = sampled(base, held, prompts, tokens, SEED) if prompts else None
    rows: list[dict[str, Any]] = [{"policy": "SFT", **implicit(base, base, held), **spoken(said)}]
    for number, (what, (loss, flipped)) in enumerate(kinds.items()):
        tuned, cpu = work / f"policy-{number}", time.process_time()
        train("dpo", wrong if flipped else data.train, tuned, model=base, loss=loss, loss_args={"beta": 0.5}, **options)
        row = {"policy": what, "cpu_s": time.process_time() - cpu, **implicit(tuned, base, held)}
        if said:
            answers = sampled(tuned, held, prompts, tokens, SEED + 1)
            row |= {**spoken(answers), "reward": compared(answers, said, work)}
        rows.append(row)
    return {"data": name, "policies": rows}


def implicit(policy: Path, base: Path, held: Path) -> dict[str, Any]:
    """Accuracy of beta (log pi - log pi_base) on pairs that were not trained on; of the base itself all are ties."""
    return {"accuracy": eval_rm(held, model=policy, reference=base)["accuracy"]}


def spoken(said: Sampled | None) -> dict[str, Any]:
    return {"as_chosen": said.right, "tokens": said.length} if said else {}


def compared(tuned: Sampled, base: Sampled, work: Path) -> dict[str, Any]:
    """The reward model on the answers of both policies to the same prompts, as pairs with the tuned one as chosen."""
    pairs, left_out = rows_of.answers_as_pairs(tuned, base, work / "answers.parquet")
    found = eval_rm(pairs, model=work / "reward")
    difference = {"mean": found["margins"]["mean"], "interval": found["margins"]["mean_interval"]}
    return {"prompts": len(base.texts), "left_out": left_out, "tuned_better": found["accuracy"], "difference": difference}


def noise(data: rows_of.Split, work: Path, kind: rows_of.Noise, *, pairs: int, seeds: int = SEEDS, **options: Any) -> dict[str, Any]:
    """A reward model that has learnt from few clean pairs goes on with labels that were flipped with a known chance per pair, told of it
    (p_chosen) or not (the same file with hard_labels)."""
    start, held, cpu = work / "reward-clean", data.held_out["new prompts"], time.process_time()
    train("rm", data.sft, start, model=untrained(data.train, work / "untrained"), epochs=2, learning_rate=2e-3)
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        labels = rows_of.noisy(data.train, work / "noisy.parquet", kind, pairs, seed)
        run: dict[str, Any] = {"seed": seed}
        for what in ("soft", "hard"):
            train("rm", labels, work / f"noisy-{what}", model=start, seed=seed, hard_labels=what == "hard", **options)
            run[what] = measures(eval_rm(held, model=work / f"noisy-{what}"))
        runs.append(run)
    gains = {m: learning_table.paired([r["soft"][m] for r in runs], [r["hard"][m] for r in runs]) for m in runs[0]["soft"]}
    first = measures(eval_rm(held, model=start))
    return {"noise": kind, "pairs": pairs, "start": first, "runs": runs, "soft_minus_hard": gains, "cpu_s": time.process_time() - cpu}


def measures(figures: dict[str, Any]) -> dict[str, float]:
    calibration = figures["calibration"]
    losses = {"log_loss": calibration["raw"]["log_loss"], "log_loss_at_temperature": calibration["tempered"]["log_loss"]}
    return {"accuracy": figures["accuracy"]["value"], **losses}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", help="folder with hh_rlhf_harmless/ and model_written_evals/")
    p.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "prefdata-learning", help="(default: %(default)s)")
    p.add_argument("--only", choices=("evals", "hh", "noise"), action="append", default=[], help="only these experiments")
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to this file")
    p.add_argument("--table", type=Path, metavar="FILE", help="write the tables (Markdown) to this file as well")
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    a = arguments(argv)
    only, source = {*a.only} or {"evals", "hh", "noise"}, corpus.find_data(a.data)
    if {"evals", "noise"} & only and not (source / rows_of.EVALS).exists():
        raise SystemExit(f"no {rows_of.EVALS} in {source}; say where it is: --data FOLDER (--only hh does without)")
    found: dict[str, Any] = {"machine": report.machine(), "reward_models": [], "policies": [], "noise": []}
    started = time.process_time()
    if {"evals", "noise"} & only:
        name, work = "model-written evals", a.work / "evals"
        data = rows_of.evals(source, work, train=8000, sft=2000, held_out=3000)
    if "evals" in only:
        found["reward_models"].append(reward_model(name, data, work, learning_rate=2e-3))
        sft(data, work)
        how: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-3}
        found["policies"].append(policies(name, data, work, prompts=1000, tokens=4, **how))
    if "noise" in only:
        found["noise"] += [noise(data, work, kind, pairs=4000, epochs=2, learning_rate=1e-3) for kind in rows_of.NOISE]
    if "hh" in only:
        name, work, cut = "HH-RLHF harmless", a.work / "hh", {"max_length": 256, "truncate": "prompt"}
        data = rows_of.hh(source, work)
        found["reward_models"].append(reward_model(name, data, work, learning_rate=1e-3, **cut))
        how = {"epochs": 2, "learning_rate": 3e-4, **cut}
        sft(data, work, **cut)
        found["policies"].append(policies(name, data, work, prompts=400, tokens=48, **how))
    found["cpu_minutes"] = (time.process_time() - started) / 60
    text = learning_table.tables(found)
    print(text)
    if a.json:
        a.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if a.table:
        a.table.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
