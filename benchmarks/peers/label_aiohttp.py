"""aiohttp as its documentation shows it, on uvloop."""

from __future__ import annotations

import asyncio

import aiohttp
import child
import label_bodies
import orjson
import uvloop


async def worker(session: aiohttp.ClientSession, url: str, todo: list[bytes], done: list[tuple[str, float]]) -> None:
    while todo:
        async with session.post(url, data=todo.pop(), headers={"content-type": "application/json"}) as response:
            done.append(label_bodies.verdict(await response.json(loads=orjson.loads)))


async def ask(url: str, concurrency: int, todo: list[bytes]) -> list[tuple[str, float]]:
    done: list[tuple[str, float]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session, f"{url}/chat/completions", todo, done) for _ in range(concurrency)))
    return done


def job(work: child.Work) -> dict[str, object]:
    s = work.settings
    return label_bodies.report(uvloop.run(ask(s["url"], int(s["concurrency"]), label_bodies.bodies(work.data))))


if __name__ == "__main__":
    child.run(job, "aiohttp", "uvloop")
