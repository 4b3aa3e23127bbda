"""Public and generic layouts of preference data: one file per source, one line in this table.

A value is `module:NAME`; a module is imported when its source is used or recognised.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefdata.sources.source import Source

SOURCES = {
    "prefdata-pair": "own:PAIR",
    "prefdata-binary": "own:BINARY",
    "prefdata-listwise": "own:LISTWISE",
    "table": "table:TABLE",
    "trl": "trl:EXPLICIT",
    "trl-implicit": "trl:IMPLICIT",
    "trl-unpaired": "trl:UNPAIRED",
    "openai-dpo": "openai_dpo:OPENAI_DPO",
    "sharegpt": "sharegpt:SHAREGPT",
    "sharegpt-kto": "sharegpt:SHAREGPT_KTO",
    "llama-factory": "llama_factory:LLAMA_FACTORY",
    "llama-factory-kto": "llama_factory:LLAMA_FACTORY_KTO",
    "hh-rlhf": "hh_rlhf:HH_RLHF",
    "pku-saferlhf": "pku_saferlhf:PKU_SAFERLHF",
    "align-anything-t2t": "align_anything:ALIGN_ANYTHING_T2T",
    "beavertails": "beavertails:BEAVERTAILS",
    "ultrafeedback": "ultrafeedback:ULTRAFEEDBACK",
    "ultrafeedback-binarized": "ultrafeedback_binarized:ULTRAFEEDBACK_BINARIZED",
    "argilla-binarized": "ultrafeedback_binarized:ARGILLA_BINARIZED",
    "shp": "shp:SHP",
    "helpsteer": "helpsteer:HELPSTEER",
    "helpsteer2-preference": "helpsteer_preference:HELPSTEER2_PREFERENCE",
    "helpsteer3": "helpsteer_preference:HELPSTEER3",
    "nectar": "nectar:NECTAR",
    "webgpt": "webgpt:WEBGPT",
    "hh-red-team": "hh_red_team:HH_RED_TEAM",
    "ultrainteract": "ultrainteract:ULTRAINTERACT",
    "reward-bench": "reward_bench:REWARD_BENCH",
    "reward-bench-2": "reward_bench:REWARD_BENCH_2",
    "rm-bench": "rm_bench:RM_BENCH",
    "alpaca-eval": "alpaca:ALPACA_EVAL",
    "alpaca-farm": "alpaca:ALPACA_FARM",
    "model-written-evals": "model_written_evals:MODEL_WRITTEN_EVALS",
    "llmbar": "llmbar:LLMBAR",
    "llmbar-judge": "llmbar:LLMBAR_JUDGE",
    "pandalm": "pandalm:PANDALM",
    "pandalm-judges": "pandalm:PANDALM_JUDGES",
    "xstest": "xstest:XSTEST",
    "ukp-strict": "ukp:UKP_STRICT",
    "ukp-ranking": "ukp:UKP_RANKING",
    "ukp-xml": "ukp_xml:UKP_XML",
    "wmt-mqm": "wmt_mqm:WMT_MQM",
    "topical-chat": "topical_chat:TOPICAL_CHAT",
    "tulu1-human-eval": "tulu1_human_eval:TULU1_HUMAN_EVAL",
    "auto-j": "auto_j:AUTO_J",
    "oasst": "oasst:OASST",
    "oasst-flat": "oasst:OASST_FLAT",
    "summarize-feedback": "summarize_feedback:SUMMARIZE_FEEDBACK",
    "summarize-axis": "summarize_feedback:SUMMARIZE_AXIS",
    "arena-conversations": "arena:ARENA_CONVERSATIONS",
    "arena-55k": "arena:ARENA_55K",
    "arena-140k": "arena:ARENA_140K",
    "mt-bench-human": "mt_bench:MT_BENCH_HUMAN",
    "orca-dpo-pairs": "orca:ORCA_DPO_PAIRS",
    "distilabel-orca": "orca:DISTILABEL_ORCA",
    "skywork": "message_pairs:SKYWORK",
    "tulu3-mixture": "message_pairs:TULU3",
    "capybara-dpo": "message_pairs:CAPYBARA",
    "dpo-mix-7k": "message_pairs:DPO_MIX",
    "preference-collection": "prometheus:PREFERENCE_COLLECTION",
    "feedback-collection": "prometheus:FEEDBACK_COLLECTION",
    "kto-mix": "kto:KTO_MIX",
    "kto-conversation": "kto:KTO_CONVERSATION",
    "kto-strings": "kto:KTO_STRINGS",
    "orca-kto": "kto:ORCA_KTO",
    "prm800k": "prm800k:PRM800K",
    "math-shepherd": "math_shepherd:MATH_SHEPHERD",
    "big-bench-mistake": "big_bench_mistake:BIG_BENCH_MISTAKE",
}


@cache
def load(name: str) -> Source:
    """The source of that name. Raises KeyError for an unknown one."""
    module, attribute = SOURCES[name].split(":")
    source: Source = getattr(import_module(f"prefdata.sources.{module}"), attribute)
    return source
