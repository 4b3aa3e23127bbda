"""HALOs (commit 4831988): `get_feedback` of train/data.py. Its train/utils.py, which imports the client of a paid service, is replaced by
an empty module with the names that data.py takes from it; `datasets` is imported for other sources of data."""

import os
import sys
from types import ModuleType

utils = ModuleType("train.utils")
utils.rank0_print = utils.on_rank0 = utils.delete_dict = lambda *_: None
sys.modules["train.utils"] = utils

from common import Arguments, report, same  # noqa: E402
from train.data import get_feedback  # noqa: E402

a = Arguments()
data = get_feedback(os.path.join(a.folder, "train.json"), "train")
plain = {}
for example in data.data.values():
    key = str(example.prompt)
    answers = example.generations
    if a.form == "pairwise":
        plain[key] = [(answers[i][0]["content"], answers[j][0]["content"]) for i, j in example.pairs]
        assert answers[example.sft_index][0]["content"] in [good for good, _ in plain[key]]
    else:
        plain[key] = list(zip([g[0]["content"] for g in answers], example.desirable, strict=True))
wanted = {}
for r in a.records:
    texts = [r[c][0]["content"] for c in ("chosen", "rejected", "completion") if c in r]
    wanted.setdefault(str(r["prompt"]), []).append((texts[0], texts[1] if a.form == "pairwise" else r["label"]))
same(sorted(plain), sorted(wanted), "prompts")
same([plain[k] for k in sorted(plain)], [wanted[k] for k in sorted(wanted)], "preferences")
report(sum(map(len, plain.values())), f"get_feedback ({len(plain)} prompts)", "HALOs@4831988")
