"""prefdata label, whole: reading, templates, HTTP, parsing, the journal, the output and its account."""

from __future__ import annotations

import os
from typing import Any

import child
import label_bodies

from prefdata.judges.options import LabelOptions
from prefdata.judges.run import label

NUMBERS = {"concurrency", "limit"}


def job(work: child.Work) -> dict[str, Any]:
    given: dict[str, Any] = {k: int(v) if k in NUMBERS else v for k, v in work.settings.items() if k != "url"}
    found = label([work.data], work.out, LabelOptions(model="bench", base_url=[work.settings["url"]], **given))
    journal = os.path.getsize(f"{work.out}.journal") / 1e6
    return {"rows": found.counts["read"], "stages": {"cpu": label_bodies.cpu(), "journal_mb": journal}}


if __name__ == "__main__":
    child.run(job, "prefdata", "aiohttp", "uvloop", "polars")
