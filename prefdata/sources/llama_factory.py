"""LLaMA-Factory's Alpaca layouts (https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md): a ranking file with `instruction`,
`input`, `chosen`, `rejected`, and a KTO file with `output` and `kto_tag`. Its ShareGPT layouts are `sharegpt` and `sharegpt-kto`.

The prompt is the instruction and, on the next line, the input. `history` is a list of earlier [question, answer] exchanges.
"""

from __future__ import annotations

import polars as pl

from prefdata.io.columns import BOOL, TEXT, may, need
from prefdata.schema.dtypes import TURNS
from prefdata.sources import build
from prefdata.sources.source import Choices, Defect, Source, columns_of

URL = "https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md"
LICENCE = "as its sources"
PROMPT = columns_of(instruction=need(TEXT), input=may(TEXT), system=may(TEXT), history=may(pl.List(pl.List(TEXT))))
UNEVEN = Defect("bad-turn", "reject", "an exchange of history is not a question and an answer", URL)


def _prompt() -> pl.Expr:
    """System, history, then the instruction with its input."""
    given = pl.col("input").fill_null("")
    asked = pl.when(given == "").then(pl.col("instruction")).otherwise(pl.concat_str("instruction", given, separator="\n"))
    sides = [
        pl.struct(pl.lit(role).alias("role"), pl.element().list.get(i, null_on_oob=True).alias("content"))
        for i, role in enumerate(("user", "assistant"))
    ]
    earlier = pl.col("history").list.eval(pl.concat_list(sides)).list.eval(pl.element().explode(keep_nulls=False, empty_as_null=False))
    turns = pl.concat_list(earlier.fill_null(pl.lit([], TURNS)), build.user(asked))
    return build.with_system("system", turns).alias("prompt")


def _fate() -> pl.Expr:
    uneven = pl.col("history").list.eval(pl.element().list.len() != 2).list.any().fill_null(False)
    return build.fate((UNEVEN.code, uneven))


def read_ranking(df: pl.DataFrame, choices: Choices) -> pl.DataFrame:
    return df.select(_prompt(), build.assistant("chosen").alias("chosen"), build.assistant("rejected").alias("rejected"), _fate())


def read_kto(df: pl.DataFrame, choices: Choices) -> pl.DataFrame:
    return df.select(_prompt(), build.assistant("output").alias("completion"), pl.col("kto_tag").alias("label"), _fate())


LLAMA_FACTORY = Source(
    name="llama-factory",
    title="LLaMA-Factory ranking file in Alpaca layout: instruction, input, chosen, rejected",
    url=URL,
    licence=LICENCE,
    columns={**PROMPT, "chosen": need(TEXT), "rejected": need(TEXT)},
    emits="pair",
    read=read_ranking,
    signature=frozenset({"instruction", "chosen", "rejected"}),
    defects=(UNEVEN,),
)
LLAMA_FACTORY_KTO = Source(
    name="llama-factory-kto",
    title="LLaMA-Factory KTO file in Alpaca layout: instruction, input, output, kto_tag",
    url=URL,
    licence=LICENCE,
    columns={**PROMPT, "output": need(TEXT), "kto_tag": need(BOOL)},
    emits="binary",
    read=read_kto,
    signature=frozenset({"instruction", "output", "kto_tag"}),
    defects=(UNEVEN,),
)
