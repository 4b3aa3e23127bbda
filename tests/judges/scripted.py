"""A loopback server that answers by a function of the request and keeps every request that it saw."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Said = str | tuple[int, Any]
"""The text of an answer, or a status with a body."""


class Scripted:
    """`say` is asked for every request, in threads; `seen` has the requests in the order in which they came."""

    def __init__(self, say: Callable[[Body], Said]) -> None:
        self.say = say
        self.seen: list[Body] = []
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, body: Body) -> tuple[int, Any]:
        with self.lock:
            self.seen.append(body)
        found = self.say(body)
        if isinstance(found, tuple):
            return found
        choice = {"index": 0, "message": {"role": "assistant", "content": found}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return 200, {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


def cut(text: str) -> tuple[int, Any]:
    """An answer that ended at max_tokens."""
    return 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}]}


def asks_for(body: Body) -> str:
    """`draft`, `critique` or `revision`."""
    last = body["messages"][-1]["content"]
    return "revision" if last.startswith("RevisionRequest: ") else "critique" if "\nCritiqueRequest: " in last else "draft"


def plain(body: Body) -> str:
    """A text of the right kind, another one for every request."""
    mark = sha256(json.dumps(body["messages"]).encode()).hexdigest()[:8]
    return {"draft": f"DRAFT-{mark}.", "critique": f"It is CURT-{mark}.", "revision": f"REVISION-{mark}."}[asks_for(body)]


@contextmanager
def scripted(say: Callable[[Body], Said] = plain) -> Iterator[Scripted]:
    """Serve for the length of a block."""
    server = Scripted(say)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, found = server.answer(body)
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # clients that are killed break connections

    http = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
