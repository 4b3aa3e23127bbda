"""The openai package's AsyncOpenAI, with its default transport or its aiohttp one."""

from __future__ import annotations

import asyncio
from typing import Any

import child
import label_bodies
import openai


async def worker(client: openai.AsyncOpenAI, todo: list[bytes], done: list[tuple[str, float]]) -> None:
    while todo:
        found = await client.chat.completions.create(**label_bodies.ready(todo.pop()))
        choice = found.choices[0]
        assert choice.logprobs and choice.logprobs.content and choice.message.content
        done.append((choice.message.content, choice.logprobs.content[0].top_logprobs[0].logprob))


async def ask(settings: dict[str, str], todo: list[bytes]) -> list[tuple[str, float]]:
    more: dict[str, Any] = {"http_client": openai.DefaultAioHttpClient()} if settings["transport"] == "aiohttp" else {}
    done: list[tuple[str, float]] = []
    async with openai.AsyncOpenAI(base_url=settings["url"], api_key="none", **more) as client:
        await asyncio.gather(*(worker(client, todo, done) for _ in range(int(settings["concurrency"]))))
    return done


def job(work: child.Work) -> dict[str, Any]:
    todo = label_bodies.bodies(work.data)
    if work.settings.get("loop") == "uvloop":
        import uvloop

        return label_bodies.report(uvloop.run(ask(work.settings, todo)))
    return label_bodies.report(asyncio.run(ask(work.settings, todo)))


if __name__ == "__main__":
    child.run(job, "openai")
