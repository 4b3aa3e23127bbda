"""What the checks share; it is imported in the environment of a consumer, where prefdata is not installed.

A check is called as `check.py EXPECTED FOLDER FORM` and compares what the consumer makes of the exported folder with the records.
"""

import json
import os
import sys

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Arguments:
    """EXPECTED is a JSONL file of the records, in the order in which they were written; FOLDER is the export."""

    def __init__(self):
        expected, self.folder, self.form = sys.argv[1:4]
        with open(expected, encoding="utf-8") as f:
            self.records = [json.loads(line) for line in f]
        self.train = os.path.join(self.folder, "train.jsonl")


def chatml(turns, ask=False):
    """Turns as the template renders them."""
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in turns)
    return text + "<|im_start|>assistant\n" if ask else text


def tokenizer():
    """A byte-level tokenizer of 256 bytes and the marks of ChatML: whatever it encodes, it decodes again to the same text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(marks)
    tok = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )
    tok.chat_template = CHATML
    return tok


def same(got, want, what):
    """Stop at the first difference, showing both."""
    if len(got) != len(want):
        sys.exit(f"{what}: {len(got)} rows, expected {len(want)}")
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a != b:
            sys.exit(f"{what}, row {i}:\n got {str(a)[:600]!r}\nwant {str(b)[:600]!r}")


def report(rows, what, *packages):
    """The line that run.py reads. A package that is not installed, but taken from a commit, is given as name@commit."""
    from importlib.metadata import version

    versions = dict(p.split("@") if "@" in p else (p, version(p)) for p in packages)
    sys.stdout.write("\nRESULT " + json.dumps({"rows": rows, "what": what, "versions": versions}) + "\n")
