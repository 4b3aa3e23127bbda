"""Which split does a record belong to? By its prompt, never by its row: two answers to one question must not stand on both sides."""

from __future__ import annotations

import polars as pl
import polars_hash as plh

from prefdata.errors import UsageError
from prefdata.exporters.options import ExportOptions
from prefdata.schema.ids import turns_key_of

TRAIN = "train"


def splits_of(df: pl.DataFrame, o: ExportOptions) -> pl.Series:
    """The split of each record: drawn by the content of its prompt and the seed where shares are given, else what the record states, else
    train. The same prompt is drawn into the same split in every file and every run."""
    if not o.split:
        if "split" not in df.columns:
            return pl.Series("_split", [TRAIN] * df.height, dtype=pl.String)
        return df.select(pl.col("split").fill_null(TRAIN).str.replace_all(r"[^A-Za-z0-9_.-]", "_").alias("_split"))["_split"]
    if sum(o.split.values()) >= 1:
        raise UsageError(f"--split: the shares leave nothing for {TRAIN} ({', '.join(f'{k}={v:g}' for k, v in o.split.items())})")
    keys = pl.DataFrame({"k": turns_key_of(df["prompt"])}, schema={"k": pl.String})
    digest = plh.concat_str(pl.lit(f"{o.seed}\n"), "k").chash.sha2_256()
    unit = digest.str.head(13).str.to_integer(base=16, dtype=pl.Int64) / 16**13  # 52 bits: exact as a float
    low = 0.0
    out = pl.lit(TRAIN)
    for name, share in o.split.items():
        out = pl.when(pl.col("u").is_between(low, low + share, closed="left")).then(pl.lit(name)).otherwise(out)
        low += share
    return keys.select(unit.alias("u")).select(out.alias("_split"))["_split"]
