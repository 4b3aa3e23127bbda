"""The ceiling: hand-written HTTP over asyncio streams with uvloop. Nobody should send requests like this; nobody can be much faster."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import child
import label_bodies
import orjson
import uvloop


async def worker(host: str, port: int, todo: list[bytes], done: list[tuple[str, float]]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: ".encode()
    while todo:
        body = todo.pop()
        writer.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        got = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(got[got.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
        done.append(label_bodies.verdict(orjson.loads(await reader.readexactly(length))))
    writer.close()


async def ask(url: str, concurrency: int, todo: list[bytes]) -> list[tuple[str, float]]:
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    done: list[tuple[str, float]] = []
    await asyncio.gather(*(worker(parts.hostname, parts.port, todo, done) for _ in range(concurrency)))
    return done


def job(work: child.Work) -> dict[str, object]:
    s = work.settings
    return label_bodies.report(uvloop.run(ask(s["url"], int(s["concurrency"]), label_bodies.bodies(work.data))))


if __name__ == "__main__":
    child.run(job, "uvloop")
