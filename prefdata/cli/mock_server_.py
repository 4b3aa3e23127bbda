"""`prefdata mock-server`."""

from __future__ import annotations

from typing import Any

from prefdata.cli.options import command as make
from prefdata.llm.mock_options import MockOptions

HELP = """A scripted judge on this machine, for demos and tests: an OpenAI-compatible server on 127.0.0.1 that needs no model.

It prints its base URL and serves until Ctrl-C. GET /stats says what it has counted.

Examples:

  prefdata mock-server --judge longest

  prefdata mock-server --port 8089 --script rules.jsonl --latency 0.1 --rpm 600 --faults 0.3
"""

EXTRA: dict[str, Any] = {}


def run(options: MockOptions) -> int:
    from prefdata.llm.mock_server import serve

    serve(options, lambda url: print(url, flush=True))
    return 0


command = make(MockOptions, EXTRA, run)
