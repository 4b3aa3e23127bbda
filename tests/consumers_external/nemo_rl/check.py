"""NeMo-RL (commit 7ea279a): `PreferenceDataset` on the file, then the preprocessor that DPO and reward models share."""

from common import Arguments, chatml, report, same, tokenizer
from nemo_rl.data.datasets.preference_datasets.preference_dataset import PreferenceDataset
from nemo_rl.data.interfaces import TaskDataSpec
from nemo_rl.data.processors import preference_preprocessor

a = Arguments()
tok = tokenizer()
data = PreferenceDataset(a.train).dataset
spec = TaskDataSpec(task_name="check")
rows = [preference_preprocessor(row, spec, tok, max_seq_length=10**6, idx=i) for i, row in enumerate(data)]
for c in ("chosen", "rejected"):
    found = [tok.decode([int(t) for m in r[f"message_log_{c}"] for t in m["token_ids"]]) for r in rows]
    same([f.rstrip("\n") for f in found], [chatml(x["prompt"] + x[c]).rstrip("\n") for x in a.records], c)
assert all(r["loss_multiplier"] == 1.0 for r in rows)
report(len(rows), "PreferenceDataset, preference_preprocessor", "NeMo-RL@7ea279a", "transformers", "datasets")
