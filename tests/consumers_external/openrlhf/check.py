"""OpenRLHF: `blending_datasets` on the file, then `RewardDataset` as train_dpo and train_rm build it."""

from types import SimpleNamespace

from common import Arguments, chatml, report, same, tokenizer
from openrlhf.datasets.reward_dataset import RewardDataset
from openrlhf.datasets.utils import blending_datasets

a = Arguments()
data_args = SimpleNamespace(
    prompt_key=None, chosen_key="chosen", rejected_key="rejected", apply_chat_template=True, tokenizer_chat_template=None
)
strategy = SimpleNamespace(args=SimpleNamespace(data=data_args, use_ms=False), print=print, is_rank_0=lambda: True)
dpo = a.form == "preference"
rows = blending_datasets(a.train, None, strategy, dataset_split="train")
data = RewardDataset(rows, tokenizer(), 10**6, strategy, is_dpo=dpo, num_processors=1)
ask = [chatml(r["prompt"], ask=True) for r in a.records]
same(list(data.prompts), ask if dpo else ["" for _ in ask], "prompt")
for name, got in (("chosen", data.chosens), ("rejected", data.rejects)):
    whole = [chatml(r["prompt"] + r[name]) for r in a.records]
    same(list(got), [w[len(p) :] for w, p in zip(whole, ask, strict=True)] if dpo else whole, name)
if not dpo:
    same(list(data.extras), [r["margin"] or 0.0 for r in a.records], "margin")
report(len(data), "blending_datasets, RewardDataset as in " + ("train_dpo" if dpo else "train_rm"), "openrlhf", "datasets")
