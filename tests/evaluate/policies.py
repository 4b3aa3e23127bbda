"""What the tests of eval policy share: models made here from real pairs, and the table as plain rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import prefdata
from prefdata.evaluate.policy_result import EvalPolicyResult
from tests.train import tiny

PAIRS = str(Path(__file__).parents[2] / "examples" / "data" / "hh_rlhf_harmless" / "*.jsonl.gz")


class Made(NamedTuple):
    """A base, the same after DPO on real pairs, a reward model of the same pairs, and other prompts, all files or folders."""

    base: str
    tuned: str
    rm: str
    prompts: str


def made(folder: Path) -> Made:
    pairs = str(folder / "pairs.parquet")
    prefdata.convert(PAIRS, pairs, limit=160)
    df = prefdata.read(pairs)
    train, held = df.head(64), df.tail(60).unique("prompt", maintain_order=True).head(40)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": r["prompt"], "source": f"s{i % 2}"}) + "\n" for i, r in enumerate(held.to_dicts())))
    train.write_parquet(folder / "train.parquet")
    base = tiny.saved(folder / "base", [m["content"] for turns in train["chosen"].to_list() for m in turns], hidden=32)
    plain: dict[str, Any] = {"model": base, "batch": 16, "micro_tokens": 4096}
    prefdata.train_model("dpo", str(folder / "train.parquet"), str(folder / "tuned"), learning_rate=1e-2, **plain)
    prefdata.train_model("rm", str(folder / "train.parquet"), str(folder / "rm"), learning_rate=1e-2, **plain)
    return Made(base, str(folder / "tuned"), str(folder / "rm"), str(prompts))


def run(data: str, out: Path, base: str, tuned: str, **options: Any) -> EvalPolicyResult:
    found = prefdata.eval_policy(data, str(out), base=base, tuned=tuned, **options)
    assert isinstance(found, EvalPolicyResult)
    return found


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "table.jsonl").read_text(encoding="utf-8").splitlines()]
