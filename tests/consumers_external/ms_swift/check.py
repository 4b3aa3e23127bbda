"""ms-swift: `load_dataset` on the file, then `TemplateInputs`, which splits a row into the chosen and the rejected conversation."""

from common import Arguments, report, same
from swift.dataset import load_dataset
from swift.template import TemplateInputs

a = Arguments()
data, _ = load_dataset([a.train], shuffle=False, strict=True)


def turns(side):
    """The conversation; the system text stands apart."""
    system = [{"role": "system", "content": side.system}] if side.system else []
    return system + [{"role": m["role"], "content": m["content"]} for m in side.messages]


inputs = [TemplateInputs.from_dict(dict(row)) for row in data]
if a.form == "kto":
    same([turns(i.chosen) for i in inputs], [r["prompt"] + r["completion"] for r in a.records], "messages")
    same([i.chosen.label for i in inputs], [r["label"] for r in a.records], "label")
else:
    same([turns(i.chosen) for i in inputs], [r["prompt"] + r["chosen"] for r in a.records], "chosen")
    same([turns(i.rejected) for i in inputs], [r["prompt"] + r["rejected"] for r in a.records], "rejected")
    if a.form == "reward":
        same([i.chosen.margin for i in inputs], [r["margin"] or 0.0 for r in a.records], "margin")
report(len(inputs), "load_dataset, TemplateInputs", "ms-swift", "datasets")
