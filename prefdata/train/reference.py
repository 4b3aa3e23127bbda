"""Log-probs of the reference, as a stage of its own: computed once without gradients, kept, and used by every epoch and every loss.

The key is the hash of everything that they depend on: the token ids (and with them tokenizer, template and truncation), the weights
(and with them adapters), their type and the layout. What is kept is one float32 per scored token, so that a loss may sum them as it likes.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import torch

from prefdata.io.write import replacing
from prefdata.train.adapters import active_weights
from prefdata.train.layout import laid_out
from prefdata.train.model import token_logps
from prefdata.train.processes import count, largest, rank, summed
from prefdata.train.store import Store

VERSION = b"reference 2\n"
NO_MATTER = ("_name_or_path", "transformers_version", "architectures", "use_cache")
"""What a configuration says that no log-prob depends on."""


def key_of(store: Store, model: Any, layout: str, dtype: torch.dtype = torch.float32) -> str:
    """Hash of tokens, weights, their type, the model's configuration, its active adapter, the layout and the type of the computation, 64
    hexadecimal digits."""
    digest = hashlib.sha256(VERSION + f"{layout} {dtype}".encode())
    config = {k: v for k, v in model.config.to_dict().items() if k not in NO_MATTER}
    config["attention"] = model.config._attn_implementation
    digest.update(orjson.dumps(config, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))
    for numbers in store.tokens():
        digest.update(f"\n{len(numbers)}\n".encode())
        digest.update(np.ascontiguousarray(numbers).data)
    for name, tensor in active_weights(model):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def reference_logps(
    store: Store, model: Any, folder: str, layout: str, *, budget: int, dtype: torch.dtype = torch.float32
) -> pa.ChunkedArray:
    """Log-probs of all completions' tokens by row: list<list<float32>> in the shape of `completions`. Taken from `folder` if they are there
    under this key; else computed with the model in evaluation mode, longest rows together, and kept."""
    path = os.path.join(folder, f"reference-{key_of(store, model, layout, dtype)[:32]}.arrow")
    if not largest(not os.path.exists(path)):
        return pa.ipc.open_file(pa.memory_map(path)).read_all().column("logps")
    found = computed(store, model, layout, budget=budget, dtype=dtype)
    table = pa.table({"logps": found})
    if not rank():
        os.makedirs(folder, exist_ok=True)
        with replacing(path) as temporary, pa.OSFile(temporary, "wb") as f, pa.ipc.new_file(f, table.schema) as writer:
            writer.write_table(table)
    return table.column("logps")


@torch.no_grad()
def computed(store: Store, model: Any, layout: str, *, budget: int, dtype: torch.dtype = torch.float32) -> pa.Array:
    was_training = model.training
    model.eval()  # functional dropout of attention would stay active in training mode
    device = next(model.parameters()).device
    ends, offsets = store.completion_offsets()
    out = np.zeros(int(offsets[-1]), np.float32)
    for rows in by_length(store.lengths, budget)[rank() :: count()]:
        groups = [store.group(i) for i in rows]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            values = token_logps(model, laid_out(groups, layout).to(device)).float().cpu().numpy()
        at = 0
        for i in rows:
            begin, end = offsets[ends[i]], offsets[ends[i + 1]]
            out[begin:end] = values[at : at + end - begin]
            at += end - begin
    model.train(was_training)
    inner = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(summed(torch.from_numpy(out)).numpy()))
    return pa.LargeListArray.from_arrays(pa.array(ends), inner)


def by_length(lengths: Any, budget: int) -> list[list[int]]:
    """Rows in runs of at most `budget` tokens (one row at least), the longest first, so that what does not fit is seen at once."""
    out: list[list[int]] = []
    used = budget + 1
    for i in np.argsort(-lengths, kind="stable").tolist():
        if used + lengths[i] > budget:
            out.append([])
            used = 0
        out[-1].append(i)
        used += lengths[i]
    return out
