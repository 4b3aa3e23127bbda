"""LLaMA-Factory: its entry in dataset_info.json, its converter, and its processors for ranking and KTO rows, whose token ids are decoded.
`torchaudio`, which it imports for audio files, is replaced by an empty module."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import peft  # noqa: F401 - it asks which packages there are, before one is replaced

sys.modules["torchaudio"] = ModuleType("torchaudio")

from common import Arguments, chatml, report, same, tokenizer  # noqa: E402
from llamafactory.data.converter import get_dataset_converter  # noqa: E402
from llamafactory.data.loader import _load_single_dataset  # noqa: E402
from llamafactory.data.parser import get_dataset_list  # noqa: E402
from llamafactory.data.processor import FeedbackDatasetProcessor, PairwiseDatasetProcessor  # noqa: E402
from llamafactory.data.template import get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import DataArguments  # noqa: E402

a = Arguments()
tok = tokenizer()
args = DataArguments(dataset="prefdata", dataset_dir=a.folder, template="chatml", cutoff_len=10**6, overwrite_cache=True)
attr = get_dataset_list(["prefdata"], a.folder)[0]
model_args = SimpleNamespace(cache_dir=None, hf_hub_token=None)
training = SimpleNamespace(local_process_index=0, should_log=False)
rows = _load_single_dataset(attr, model_args, args, training)
template = get_template_and_fix_tokenizer(tok, args)
kto = a.form == "kto"
processor = (FeedbackDatasetProcessor if kto else PairwiseDatasetProcessor)(template, tok, None, args)
found = processor.preprocess_dataset(rows[:])


def learnt(labels):
    return tok.decode([t for t in labels if t != -100])


for column, key in [("completion", "")] if kto else [("chosen", "chosen_"), ("rejected", "rejected_")]:
    whole = [tok.decode(ids) for ids in found[f"{key}input_ids"]]
    same([t.rstrip("\n") for t in whole], [chatml(r["prompt"] + r[column]).rstrip("\n") for r in a.records], column)
    answers = [learnt(ids).rstrip("\n") for ids in found[f"{key}labels"]]
    same(answers, [r[column][0]["content"] + "<|im_end|>" for r in a.records], f"learnt part of {column}")
what = "dataset_info.json, converter, " + type(processor).__name__
if kto:
    same(found["kto_tags"], [r["label"] for r in a.records], "label")
elif a.form == "sharegpt":  # an even prompt is dropped with nothing but a log line
    logging.disable(logging.CRITICAL)
    side = {"from": "gpt", "value": "A"}
    even = {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "chosen": side, "rejected": side}
    out = get_dataset_converter("sharegpt", attr, args)(even)
    assert processor.preprocess_dataset({k: [v] for k, v in out.items()}) == {}, out
    what += "; an even prompt is dropped silently"
report(len(rows), what, "llamafactory", "transformers", "datasets")
