"""Records to export: all real samples of this repository, and a few made rows with system texts, history and unusual characters."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.run import convert
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.shape import skip
from prefdata.exporters.target import Form

DATA = Path(__file__).parents[2] / "examples" / "data"
FILES = {
    "hh.parquet": ("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz", "pair"),
    "tulu.parquet": ("tulu1_human_eval/annotations_part.csv.gz", "pair"),
    "llmbar.parquet": ("llmbar/Adversarial_Neighbor.dataset.json", "pair"),
    "pku.parquet": ("pku_layout_derived/pku_saferlhf_layout.jsonl", "pair"),
    "oasst.parquet": ("oasst_trees/en_trees_part.jsonl.gz", "pair"),
    "xstest.parquet": ("xstest/xstest_v2_completions_gpt4.csv", "binary"),
    "lists.parquet": ("oasst_trees/en_trees_part.jsonl.gz", "listwise"),
}
ODD = [
    "é e\u0301",
    "𝄞 \U0001f469\u200d\U0001f52c",
    "\u2028 \u2029 \x85",
    "\u202eabc\u202c",
    '"\\n" \\ \t {x} {{y}}',
    "漢字 العربية",
    "=1+1",
    "<b>&amp;",
    "nul\x00l",
]
SAMPLES = {
    "pair": ["hh.parquet", "tulu.parquet", "llmbar.parquet", "pku.parquet", "oasst.parquet", "made-pair.parquet"],
    "binary": ["xstest.parquet", "made-binary.parquet"],
    "listwise": ["lists.parquet"],
}


def made() -> list[dict[str, object]]:
    """Every odd text as system text, question, earlier answer and answer."""
    out: list[dict[str, object]] = []
    for i, text in enumerate(ODD):
        turns = [{"role": "system", "content": f"Be brief. {text}"}] if i % 2 else []
        if i % 3:
            turns += [{"role": "user", "content": f"First: {text}"}, {"role": "assistant", "content": f"Well, {text}!"}]
        turns.append({"role": "user", "content": f"What is {text}?"})
        good, bad = ([{"role": "assistant", "content": f"{word} {text} {i}."}] for word in ("A good answer:", "A bad answer:"))
        out.append({"prompt": turns, "chosen": good, "rejected": bad})
    return out


def write_samples(work: Path) -> None:
    """The record files named in SAMPLES."""
    for name, (source, kind) in FILES.items():
        convert([str(DATA / source)], str(work / name), ConvertOptions(to=kind))
    lines = [json.dumps(row) for row in made()]
    labels = [{"prompt": r["prompt"], "completion": r[side], "label": side == "chosen"} for r in made() for side in ("chosen", "rejected")]
    (work / "made.jsonl").write_text("\n".join(lines) + "\n")
    (work / "made-labels.jsonl").write_text("\n".join(json.dumps(row) for row in labels) + "\n")
    convert([str(work / "made.jsonl")], str(work / "made-pair.parquet"), ConvertOptions(to="pair"))
    convert([str(work / "made-labels.jsonl")], str(work / "made-binary.parquet"), ConvertOptions(to="binary"))


def expected(files: list[Path], kind: str, form: Form) -> pl.DataFrame:
    """The records that the form can express, in order."""
    df = pl.concat([pl.read_parquet(f) for f in files], how="diagonal_relaxed")
    keep = [c for c in ("prompt", "chosen", "rejected", "completion", "label", "margin", "id") if c in df.columns]
    return df.with_columns(skip(df, kind, form, ExportOptions(to="jsonl"))).filter(pl.col("_skip").is_null()).select(keep)
