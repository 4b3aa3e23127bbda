"""Reward models behind a server, by the three interfaces of vLLM. One request asks about one candidate.

    /score      {"model", "text_1": prompt, "text_2": answer}      -> {"data": [{"index", "score"}]}
    /classify   {"model", "messages" or "input"}                   -> {"data": [{"index", "label", "probs", "num_classes"}]}
    /pooling    {"model", "messages" or "input"}                   -> {"data": [{"index", "data": [numbers]}]}

`use_activation: false` asks for the model's own numbers, where the server would squash them into probabilities (`activation` is the name
that it had before vLLM 0.12). Requests, retries and the journal are those of the client of chat completions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import orjson

from prefdata.io.journal import Journal, Stored
from prefdata.llm.endpoints import Pool, address, authorization, pool_of
from prefdata.llm.plan import Plan
from prefdata.llm.request import OK, Reply, Request
from prefdata.rewards.texts import Texts, joined
from prefdata.sampling.score_options import ScoreOptions
from prefdata.sampling.score_said import NO_REPLY, Dict, Said, candidates, weighed

POOL = "reward"


class ServerScorer:
    """A reward model on servers."""

    kind = "reward_model"
    aspects: tuple[str, ...] | None = None

    def __init__(self, o: ScoreOptions, kind: str, pools: dict[str, Pool]) -> None:
        pool = replace(pool_of(o), base_url=tuple(o.reward_server), provider="openai", api_version=None, path=f"/{o.reward_api}")
        if not (o.offline or o.dry_run):
            authorization(pool)
        for base in pool.base_url:
            address(pool, base, "")
        pools[POOL] = pool
        self.name = f"rm:{o.model or urlsplit(o.reward_server[0]).netloc}"
        self._o, self._kind, self._api = o, kind, o.reward_api
        self._texts = Texts(o.tokenizer, "template") if o.tokenizer is not None else None

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "api": self._api, "model": self._o.model, "tokenizer": self._o.tokenizer}

    def fillers(self) -> Sequence[Any]:
        return ()

    def plans(self, row: Dict) -> list[Plan[Any]]:
        return [_asking(r) for r in self._requests(row) if isinstance(r, Request)]

    def _requests(self, row: Dict) -> list[Request | str]:
        """One for every candidate; the reason where its text cannot be rendered."""
        answers = candidates(row, self._kind)
        if self._api == "score":
            return [self._request(text_1=joined(row["prompt"]), text_2=joined(a)) for a in answers]
        if self._texts is None:
            return [self._request(messages=[{k: v for k, v in t.items() if v is not None} for t in (*row["prompt"], *a)]) for a in answers]
        texts = self._texts.whole(row["prompt"], answers, row.get("tools"))
        return ["template" if t is None else self._request(input=t, add_special_tokens=False) for t in texts]

    def _request(self, **about: Any) -> Request:
        plain = {"use_activation": False, "activation": False, **about}
        body = orjson.dumps({"model": self._o.model, **plain} if self._o.model is not None else plain, option=orjson.OPT_SORT_KEYS)
        return Request(hashlib.sha256(b"reward/%s\n" % self._api.encode() + body).digest(), body, 0, POOL)

    def _read(self, request: Request, reply: Reply) -> Said:
        if reply.code != OK:
            return Said(why=reply.code, request=request.id)
        data = reply.body.get("data")
        first = data[0] if isinstance(data, list) and len(data) == 1 else None
        found = first.get({"score": "score", "classify": "probs", "pooling": "data"}[self._api]) if isinstance(first, dict) else None
        given = found if isinstance(found, list) else [found]
        numbers = [float(n) for n in given if isinstance(n, int | float) and not isinstance(n, bool)]
        if not numbers or len(numbers) < len(given):
            return Said(why="no-score", request=request.id)
        if not all(map(isfinite, numbers)):
            return Said(why="not-a-number", request=request.id)
        if len(numbers) == 1:
            return Said(numbers[0], request=request.id)
        return weighed({str(i): n for i, n in enumerate(numbers)}, self._o.aspect_weights)._replace(request=request.id)

    def said(self, rows: Sequence[Dict], journal: Journal) -> list[list[list[Said]]]:
        asked = [self._requests(row) for row in rows]
        keys = [r.key for some in asked for r in some if isinstance(r, Request)]
        found = dict(zip(keys, journal.find(keys), strict=True))
        return [[[self._said(r, found, journal)] for r in some] for some in asked]

    def _said(self, asked: Request | str, found: dict[bytes, Stored | None], journal: Journal) -> Said:
        if isinstance(asked, str):
            return Said(why=asked)
        stored = found[asked.key]
        if stored is None:
            return Said(why=f"{NO_REPLY}: {journal.why(asked.key)}", request=asked.id)
        return self._read(asked, Reply(asked.key, stored.code, stored.raw))


def _asking(request: Request) -> Plan[None]:
    """A plan of its own for each: one candidate's failure is not that of the others."""
    yield [request]
