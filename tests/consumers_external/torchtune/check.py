"""torchtune: `preference_dataset` with a tokenizer that keeps the messages as text; labels must cover the assistant turns."""

from common import Arguments, chatml, report, same, tokenizer
from torchtune.datasets import preference_dataset

a = Arguments()
tok = tokenizer()


class Messages:
    """torchtune's tokenizers have one method; this one renders in ChatML."""

    def tokenize_messages(self, messages, **_):
        ids, masks = [], []
        for m in messages:
            part = tok.encode(chatml([{"role": m.role, "content": m.text_content}]))
            ids += part
            masks += [m.masked] * len(part)
        return ids, masks


data = preference_dataset(Messages(), source="json", data_files=a.train, split="train", train_on_input=False)
rows = [data[i] for i in range(len(data))]
for c in ("chosen", "rejected"):
    same([tok.decode(r[f"{c}_input_ids"]) for r in rows], [chatml(x["prompt"] + x[c]) for x in a.records], c)
    learnt = [tok.decode([t for t in r[f"{c}_labels"] if t != -100]) for r in rows]
    same(learnt, [chatml([m for m in x["prompt"] + x[c] if m["role"] == "assistant"]) for x in a.records], f"learnt part of {c}")
report(len(rows), "preference_dataset", "torchtune", "datasets")
