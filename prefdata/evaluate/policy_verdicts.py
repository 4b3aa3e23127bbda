"""What judges said of the pairs of answers, settled as label settles it, from the replies in its journal."""

from __future__ import annotations

from typing import Any

import polars as pl

from prefdata.evaluate.policy_table import LOSS, TIE, VERDICTS, WIN
from prefdata.io.journal import Journal
from prefdata.io.open import opened
from prefdata.judges.ask import Job, settled
from prefdata.judges.members import panel_of
from prefdata.judges.options import LabelOptions
from prefdata.judges.records import columns_of, sources_of
from prefdata.judges.work import Work

OUTCOMES = {"first": WIN, "tie": TIE, "second": LOSS}
NO_VERDICTS = pl.DataFrame(schema=VERDICTS)


def verdicts(pairs: str, options: LabelOptions, journal: str) -> pl.DataFrame:
    """One row per pair (`VERDICTS`): the outcome for chosen, the probability that it is better where the judge gave one, and why it is a
    tie or nothing at all."""
    rows: list[dict[str, Any]] = []
    with opened([pairs]) as files, Journal(journal, write=False) as stored:
        sources, kind = sources_of(files, "pair")
        work = Work(sources, columns_of(sources, kind), Job(panel_of(options), options, kind), options, "eval policy")
        work.settle(stored)
        for row, heard in work.heard(stored):
            found = settled(heard, work.job).jury[0, 1]
            why = heard.why or found.why
            outcome = None if heard.why is not None else OUTCOMES.get(found.outcome)
            rows.append({"pair": row["id"], "outcome": outcome, "p_tuned": found.p if outcome else None, "why": why})
    return pl.DataFrame(rows, schema=VERDICTS)
