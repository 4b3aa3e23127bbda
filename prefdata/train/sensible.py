"""Options that contradict each other, or the method: said before anything is loaded, all in one message."""

from __future__ import annotations

from prefdata.errors import UsageError
from prefdata.train.adapters import is_adapter
from prefdata.train.losses import LOSSES
from prefdata.train.options import TrainOptions


def check_options(method: str, options: TrainOptions, kind: str) -> None:
    """Raises UsageError with every contradiction."""
    adapted = is_adapter(options.model)
    names = list(options.loss) or (["sft"] if method == "sft" else [])
    without = ""
    if names and all(n in LOSSES and not LOSSES[n].reference for n in names):
        without = " and ".join(names) + (" learn" if len(names) > 1 else " learns")
    wrong = {
        "--lora makes a fresh adapter, and --model is an adapter already: leave --lora out to train it on, or give its --merge'd model": (
            options.lora is not None and adapted
        ),
        "--lora-alpha needs --lora": options.lora_alpha is not None and options.lora is None,
        "--load-4bit trains an adapter: add --lora 16": options.load_4bit and options.lora is None and not adapted,
        "--merge merges an adapter: add --lora 16, or leave it out": options.merge and options.lora is None and not adapted,
        "--base is for an adapter as --model": options.base is not None and not adapted,
        f"--aspects, --ensemble and --center are for reward models, not for {method}": (
            method != "rm" and bool(options.aspects or options.ensemble or options.center)
        ),
        "--loss: train sft learns by its own loss alone; 'train dpo --loss dpo:1,sft:0.1' mixes": method == "sft"
        and bool(set(options.loss) - {"sft"}),
        "--loss and --loss-args: a reward model's loss follows from its records (Bradley-Terry, Plackett-Luce)": (
            method == "rm" and bool(options.loss or options.loss_args)
        ),
        "--reference: a reward model has none": method == "rm" and options.reference is not None,
        f"--reference: {without} without a reference; leave it out": (bool(without) and method != "rm" and options.reference is not None),
        "--ld-alpha compares the lengths of a pair's answers; these are listwise records": (
            options.ld_alpha is not None and kind == "listwise"
        ),
        f"--ld-alpha compares the lengths of a pair's answers, which train {method} does not": (
            options.ld_alpha is not None and method != "dpo"
        ),
    }
    found = [words for words, is_so in wrong.items() if is_so]
    if found:
        raise UsageError("\n".join(found))
