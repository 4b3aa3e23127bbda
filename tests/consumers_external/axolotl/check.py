"""axolotl: the transforms of its strategies on every row; for the reward form the strategy that tokenises both sides."""

from axolotl.prompt_strategies.bradley_terry import chat_template as reward
from axolotl.prompt_strategies.dpo import chat_template as dpo
from axolotl.prompt_strategies.dpo import passthrough
from axolotl.prompt_strategies.kto import chatml as kto
from axolotl.utils.dict import DictDefault
from common import Arguments, chatml, report, same, tokenizer
from datasets import load_dataset

a = Arguments()
tok = tokenizer()
data = load_dataset("json", data_files=a.train, split="train")
cfg = DictDefault({"datasets": [{"field_messages": "messages"}], "chat_template": "tokenizer_default", "sequence_len": 10**6})
ask = [chatml(r["prompt"], ask=True) for r in a.records]


def ended(column):
    return [r[column][0]["content"] + "<|im_end|>" for r in a.records]


what = "the strategy's transform"
if a.form in ("dpo", "chatml"):
    transform = dpo.default(cfg)[0] if a.form == "dpo" else passthrough.default(cfg)
    rows = [transform(dict(row), tokenizer=tok) for row in data]
    same([r["prompt"] for r in rows], ask, "prompt")
    for c in ("chosen", "rejected"):
        same([r[c] for r in rows], ended(c), c)
elif a.form == "kto":
    rows = [kto.argilla_chat(cfg)(dict(row)) for row in data]
    same([r["prompt"] for r in rows], ask, "prompt")
    same([r["completion"] for r in rows], ended("completion"), "completion")
    same([r["label"] for r in rows], [r["label"] for r in a.records], "label")
else:
    # the key `system` makes a system turn even where it is empty, and leaving the key out raises
    none = [{"role": "system", "content": ""}]
    whole = {
        c: [chatml((none if x["prompt"][0]["role"] != "system" else []) + x["prompt"] + x[c]) for x in a.records]
        for c in ("chosen", "rejected")
    }
    strategy = reward.load(tok, cfg, {})
    rows = [strategy._tokenize_single_prompt(dict(row)) for row in data]
    for c in ("chosen", "rejected"):
        same([tok.decode(r[f"{c}_ids"]).rstrip("\n") for r in rows], [t.rstrip("\n") for t in whole[c]], c)
    what = "BTChatTemplateStrategy"
if a.form == "dpo":  # what axolotl makes of the answers that prefdata refuses
    cut = dpo.default(cfg)[0]({"messages": "Q", "chosen": "a", "rejected": "user"}, tokenizer=tok)
    assert cut["chosen"].startswith("art|>user") and cut["rejected"].startswith("user\n[[dummy_message]]"), cut
    tok.chat_template = tok.chat_template.replace("m['content']", "m['content'] | trim")
    lost = dpo.default(cfg)[0]({"messages": "Q", "chosen": " yes", "rejected": "no "}, tokenizer=tok)
    assert lost["chosen"] == "" and lost["rejected"] == "", lost
    what += "; refused rows are damaged there"
report(len(rows), what, "axolotl", "transformers", "datasets")
