"""verl: `RMDataset` on the Parquet file; `RLHFDataset` for prompts."""

import os

from common import Arguments, chatml, report, same, tokenizer

a = Arguments()
tok = tokenizer()
path = os.path.join(a.folder, "data", "train-00000-of-00001.parquet")
if a.form == "reward":
    from verl.utils.dataset.rm_dataset import RMDataset

    data = RMDataset(path, tok, max_length=200_000, cache_dir="cache-rm")
    for i, r in enumerate(a.records):
        row = data[i]
        for side, c in enumerate(("chosen", "rejected")):
            ids = row["input_ids"][side][row["attention_mask"][side].bool()].tolist()
            want = r["prompt"][-1]["content"] + "\n" + r[c][0]["content"] + tok.eos_token
            same([tok.decode(ids)], [want], f"{c} of row {i}")
    what = "RMDataset"
else:
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create(
        {"cache_dir": "cache-rl", "max_prompt_length": 10**6, "filter_overlong_prompts": False, "return_raw_chat": True}
    )
    data = RLHFDataset(path, tok, config)
    rows = [data[i] for i in range(len(data))]
    same([list(r["raw_prompt"]) for r in rows], [r["prompt"] for r in a.records], "prompt")
    same([chatml(list(r["raw_prompt"]), ask=True) for r in rows], [chatml(r["prompt"], ask=True) for r in a.records], "text")
    same([r["index"] for r in rows], [int(r["id"][:13], 16) for r in a.records], "index")
    what = "RLHFDataset"
report(len(a.records), what, "verl", "transformers", "datasets")
