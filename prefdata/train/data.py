"""Records of prefdata files for training: read strictly, tokenised, and kept beside the output under the hash of what they depend on."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import polars as pl

from prefdata.errors import InputError, UsageError
from prefdata.io.account import sha256_of
from prefdata.io.open import opened
from prefdata.io.own import own_file
from prefdata.io.plan import plan
from prefdata.io.read import read_shard
from prefdata.io.write import replacing
from prefdata.schema.ids import add_ids
from prefdata.schema.valid import problems
from prefdata.train.store import Store, Tokenised, load_table, save_table, tokenise


def frames(paths: list[str], kind: str, limit: int | None = None) -> Iterator[pl.DataFrame]:
    """The records, shard by shard. Raises InputError when a row cannot be used: `prefdata validate` names all of them."""
    left = limit
    with opened(paths) as files:
        for inp in files:
            how = own_file(inp, None)
            if how.kind != kind:
                raise UsageError(
                    f"{inp.name}: {how.kind} records, and {kind} records are needed; 'prefdata convert --to {kind}' makes them"
                )
            line = 1
            for shard in plan(inp):
                batch = read_shard(shard, how.layout, how.columns)
                named = "id" in how.layout.present
                df = batch.df if named else batch.df.drop("id", strict=False)  # files of others have none
                bad = [(r.line, r.reason) for r in batch.rejects]
                bad = bad or [(batch.line_of(p.row), f"{p.field}: {p.message}") for p in problems(df, kind)]
                if bad:
                    first = min(bad)
                    raise InputError(f"{inp.name}:{line + first[0]}: {first[1]}; 'prefdata validate {inp.name}' names every such row")
                line += batch.line_count
                df = df if named else add_ids(df, kind)
                yield df if left is None else df.head(left)
                if left is not None:
                    left = max(0, left - df.height)
                    if not left:
                        return


def store_of(
    paths: list[str], kind: str, tokenizer: str, folder: str, *, answers: str, limit: int | None, **how: Any
) -> tuple[Store, Tokenised]:
    """The token store of the files, taken from `folder` if it is there for the same bytes, tokenizer and options."""
    with opened(paths) as files:
        inputs = [sha256_of(f.path) for f in files]
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")
    words = [sha256_of(p) for n in names if os.path.exists(p := os.path.join(tokenizer, n))]
    key = hashlib.sha256(orjson.dumps([2, inputs, words, kind, answers, limit, how])).hexdigest()[:32]
    path = os.path.join(folder, f"tokens-{key}.arrow")
    account = f"{path}.json"
    if os.path.exists(path) and os.path.exists(account):
        with open(account, "rb") as f:
            said = orjson.loads(f.read())
        table = load_table(path)
        return Store(table), Tokenised(table, Counter(said["dropped"]), Counter(said["cut"]))
    found = tokenise(frames(paths, kind, limit), answers, tokenizer, **how)
    os.makedirs(folder, exist_ok=True)
    with replacing(path) as temporary:
        save_table(found.table, temporary)
    with replacing(account) as temporary, open(temporary, "wb") as g:
        g.write(orjson.dumps({"dropped": found.dropped, "cut": found.cut}))
    return Store(load_table(path)), found
