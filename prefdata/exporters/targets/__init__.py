"""Whom prefdata writes files for: one file per target, one line in this table. A value is `module:NAME`, imported when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module

from prefdata.errors import UsageError
from prefdata.exporters.target import Target

TARGETS = {
    "trl": "trl:TRL",
    "llama-factory": "llama_factory:LLAMA_FACTORY",
    "openrlhf": "openrlhf:OPENRLHF",
    "axolotl": "axolotl:AXOLOTL",
    "nemo-rl": "nemo_rl:NEMO_RL",
    "torchtune": "torchtune:TORCHTUNE",
    "verl": "verl:VERL",
    "halos": "halos:HALOS",
    "ms-swift": "ms_swift:MS_SWIFT",
    "align-anything": "align_anything:ALIGN_ANYTHING",
    "azure-dpo": "openai_dpo:AZURE_DPO",
    "openai-dpo": "openai_dpo:OPENAI_DPO",
    "jsonl": "plain:JSONL",
    "csv": "plain:CSV",
    "hub": "plain:HUB",
}


@cache
def load(name: str) -> Target:
    """The target of that name. Raises UsageError with the nearest names."""
    if name not in TARGETS:
        near = get_close_matches(name, TARGETS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "'prefdata list exporters' shows all of them"
        raise UsageError(f"unknown target {name!r}: {hint}")
    module, attribute = TARGETS[name].split(":")
    target: Target = getattr(import_module(f"prefdata.exporters.targets.{module}"), attribute)
    return target
