"""The real data sets, how validate reads them, and what is known of them from elsewhere; their counts stand in `real_counts.json`.

python -m tests.checks.real_sets --write FOLDER   (FOLDER has the sets; after a change of rules, look at every difference)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import prefdata

COUNTS = Path(__file__).with_name("real_counts.json")


class RealSet(NamedTuple):
    """Files that are checked together, with their options."""

    files: tuple[str, ...]
    known: str
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


MWE = "model_written_evals"
BBM = "big_bench_mistake"
SETS = {
    "HH-RLHF harmless-base": RealSet(
        ("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz",),
        "its README counts 2 mismatched contexts, 3 empty turns, 6 rows whose roles do not alternate (2 of them are counted under other "
        "codes), 33 rows with a role name inside a turn",
    ),
    "PKU layout": RealSet(
        ("pku_layout_derived/pku_saferlhf_layout.jsonl",),
        "made of PandaLM's votes, 422 verdicts for response_0 and 472 for response_1; 52 blank answers, 6 answers that are JSON true",
    ),
    "align-anything layout": RealSet(("pku_layout_derived/align_anything_t2t_layout.jsonl",), "the same pairs as in the PKU layout"),
    "LLaMA-Factory DPO demo": RealSet(("llamafactory_demo/dpo_en_demo.json",), "a sample of other public mixes"),
    "LLaMA-Factory KTO demo": RealSet(("llamafactory_demo/kto_en_demo_part.json",), "113 desirable, 107 undesirable"),
    "LLMBar Adversarial Neighbor": RealSet(("llmbar/Adversarial_Neighbor.dataset.json",), "written so that the worse answer looks better"),
    "LLMBar Adversarial GPTInst": RealSet(("llmbar/Adversarial_GPTInst.dataset.json",), "as above"),
    "OASST1 trees (listwise)": RealSet(
        ("oasst_trees/en_trees_part.jsonl.gz",), "151 groups with ranks without gaps; 21 only children have no rank"
    ),
    "PandaLM test set": RealSet(("pandalm_testset/testset-v1.json",), "three votes per pair, ties dropped"),
    "Topical-Chat scores (listwise)": RealSet(
        ("topical_chat_scores/topical_chat.json",), "60 dialogues with 6 answers each; equal scores are common", {"dimension": "overall"}
    ),
    "Tulu-1 human evaluation": RealSet(
        ("tulu1_human_eval/annotations_part.csv.gz",), "127 rows repeat an annotated instance, some with another verdict; 276 ties"
    ),
    "UKP arguments, strict": RealSet(("ukp_convarg/strict_csv/*.csv.gz",), "24 topics; the prompt is the topic"),
    "UKP arguments, ranking": RealSet(("ukp_convarg/ranking_csv/*.csv",), "784 arguments, a lower value is more convincing"),
    "WMT-MQM TED en-de (listwise)": RealSet(("wmt_mqm_ted/mqm_ted_ende.tsv.gz",), "529 segments, 14 translations each, many exact ties"),
    "XSTest, GPT-4": RealSet(("xstest/xstest_v2_completions_gpt4.csv",), "230 compliances, 211 refusals, 9 partial"),
    "XSTest, Mistral guard": RealSet(("xstest/xstest_v2_completions_mistralguard.csv",), "210 / 199 / 41"),
    "XSTest, Llama 2": RealSet(("xstest/xstest_v2_completions_llama2new.csv",), "176 / 230 / 44; completions begin with white space"),
    "Model-written evals, persona": RealSet(
        (f"{MWE}/persona.jsonl.gz",), "answers are Yes and No; 120,166 distinct questions in 121,204 rows", {"dimension": "matching"}
    ),
    "Model-written evals, both files": RealSet(
        (f"{MWE}/advanced_ai_risk_lm.jsonl.gz", f"{MWE}/persona.jsonl.gz"), "leakage between files is looked for", {"dimension": "matching"}
    ),
    "BIG-Bench-Mistake (binary)": RealSet(
        tuple(f"{BBM}/{t}.jsonl.gz" for t in ("dyck_languages", "logical_deduction", "multistep_arithmetic")),
        "404 chains without a mistake, 1,182 with one",
        {"dimension": "trace"},
    ),
}


def counts(found: RealSet, place: Callable[[str], Path]) -> dict[str, Any]:
    """Rows and findings by rule of one set, all rules on."""
    files = [str(place(f) if "*" not in f else place(str(Path(f).parent)) / Path(f).name) for f in found.files]
    result = prefdata.validate(files, select=["PD"], **found.options)
    return {"rows": result.rows, "counts": dict(sorted(result.counts.items()))}


def main(folder: str) -> None:
    found = {name: counts(s, lambda f: Path(folder) / f) for name, s in SETS.items()}
    COUNTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[2])
