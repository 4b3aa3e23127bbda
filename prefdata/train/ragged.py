"""Numbers of completions by row: rows have different numbers of candidates, tensors do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

Numbers = np.ndarray[Any, np.dtype[np.float64]]


def placed(found: Tensor, sizes: Tensor, width: int) -> Tensor:
    """[S, ...] in order of rows, which have `sizes` completions each, as [B, width, ...]: zeros beyond a row's end."""
    real = torch.arange(width, device=found.device) < sizes[:, None]
    out = found.new_zeros(len(sizes), width, *found.shape[1:])
    return out.index_put(torch.nonzero(real, as_tuple=True), found)


def filled(lists: Any, width: int) -> Numbers:
    """A column of lists of numbers as [rows, width], NaN where there is nothing."""
    n = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    values = pc.list_flatten(lists)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    out = np.full((len(n), width), np.nan)
    out[np.repeat(np.arange(len(n)), n), np.arange(n.sum()) - np.repeat(n.cumsum() - n, n)] = values.cast(pa.float64()).to_numpy(False)
    return out


def filled_by_name(column: Any, name: str, width: int) -> Numbers:
    """Of a column of lists of (name, values): the values under this name as [rows, width], NaN where there are none."""
    rows = pl.DataFrame({"said": pl.Series(column.combine_chunks())}).with_row_index("row")
    found = rows.explode("said", empty_as_null=False, keep_nulls=False).unnest("said").filter(pl.col("name") == name)
    out = np.full((len(rows), width), np.nan)
    out[found["row"].to_numpy()] = filled(found["values"].to_arrow(), width)
    return out


def ordered_right(values: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Of each list the share of its ordered pairs of candidates whose values have the same order (ties count one half), and the value of
    the best minus that of the worst; [B, K] to [B]. Scores are NaN where a candidate has none."""
    better = scores[:, :, None] > scores[:, None, :]
    right = (torch.sign(values[:, :, None] - values[:, None, :]) + 1) / 2
    share = (right * better).sum((1, 2)) / better.sum((1, 2)).clamp(min=1)
    best = torch.where(scores.isnan(), -torch.inf, scores).argmax(1, keepdim=True)
    worst = torch.where(scores.isnan(), torch.inf, scores).argmin(1, keepdim=True)
    return share, (values.gather(1, best) - values.gather(1, worst)).squeeze(1)
