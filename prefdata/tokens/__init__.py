"""What will the trainer see? Records through a tokenizer and its chat template, cut as the target cuts them.

lens = open_lens("path/to/tokenizer", target="trl", form="preference", max_length=None)
seen = look(records, "pair", lens)  # one Seen per frame; Seen.add merges them
print(*seen.lines(), sep="\\n")
"""

from prefdata.tokens.look import Lens, look, open_lens
from prefdata.tokens.rules import RULES, SeenRule
from prefdata.tokens.tally import Seen
from prefdata.tokens.truncation import TRUNCATION, Truncation

__all__ = ["RULES", "TRUNCATION", "Lens", "Seen", "SeenRule", "Truncation", "look", "open_lens"]
