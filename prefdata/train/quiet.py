"""What transformers says while it trains, without what nobody can act on: bars of a second, and notes about its own insides."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

NOTES = (
    ".*`is_gradient_checkpointing` is deprecated.*",  # peft asks transformers for it
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # torch counts steps of an optimizer that accelerate has wrapped
)
LOGGER = "transformers.modeling_utils"
HEADS = ("lm_head.", "score.")


@contextmanager
def quiet() -> Iterator[None]:
    """Around a training. Everything else that libraries warn of is shown."""
    from transformers.utils import logging as theirs

    bars = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    logging.getLogger(LOGGER).addFilter(_worth_it)
    with warnings.catch_warnings():
        for note in NOTES:
            warnings.filterwarnings("ignore", note)
        try:
            yield
        finally:
            logging.getLogger(LOGGER).removeFilter(_worth_it)
            if bars:
                theirs.enable_progress_bar()


def _worth_it(record: logging.LogRecord) -> bool:
    """Not a report of loading that tells of nothing but another head: what a reward model is made of."""
    said = record.getMessage()
    names = re.findall(r"^(\S+) +\| *\S*(?:UNEXPECTED|MISSING)", said, re.MULTILINE)
    return "LOAD REPORT" not in said or not names or not all(n.startswith(HEADS) for n in names)
