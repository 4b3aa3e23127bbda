"""How fast is `prefdata score` with a reward model, beside the text-classification pipeline of transformers on the same texts?

python benchmarks/score.py [--shape tiny|small|0.5b] [--prompts N] [--n N] [--threads N] [--repeat N] [--batch-sizes 1,2,4,8,16]

The model is made here with random weights (speed does not depend on them). Prompts and answers are of ragged lengths, log-normal, as those
of chats are. The pipeline gets texts that are rendered already, in the order of the file; prefdata is the whole command: it reads the
records, renders and tokenises them, loads and hashes the model, keeps the scores and writes the output. The scores are compared.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast, pipeline

import prefdata
from prefdata.schema.ids import completion_id, record_id
from prefdata.schema.records import Listwise, Message

SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    "small": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2},
}
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
WORDS = 2000


class Took(NamedTuple):
    """Seconds by the clock, and of all cores."""

    wall: float
    cpu: float
    scores: Any


def make(folder: Path, shape: str) -> None:
    """The model's folder with a tokenizer of words: one token each."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = [*SPECIAL, *(f"w{i}" for i in range(WORDS))]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=words, pad_token=SPECIAL[0], eos_token=SPECIAL[1], unk_token="w0")
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None, "num_labels": 1}
    config = LlamaConfig(vocab_size=151_936 if shape == "0.5b" else len(names), max_position_embeddings=4096, **SHAPES[shape], **ends)
    LlamaForSequenceClassification(config).save_pretrained(folder)


def records(prompts: int, n: int, prompt: float, answer: float) -> list[dict[str, Any]]:
    """Lists of n candidates; `prompt` and `answer` are median lengths in tokens."""
    rng = np.random.default_rng(0)

    def text(median: float) -> str:
        length = int(np.clip(rng.lognormal(np.log(median), 0.8), 2, 1500))
        return " ".join(f"w{i}" for i in rng.integers(0, WORDS, length))

    out = []
    for _ in range(prompts):
        completions = []
        for _ in range(n):
            messages = [Message(role="assistant", content=text(answer))]
            completions.append({"id": completion_id(messages), "messages": [{"role": "assistant", "content": messages[0].content}]})
        row = {"prompt": [{"role": "user", "content": text(prompt)}], "completions": completions}
        out.append({"id": record_id(Listwise.model_validate({"id": "0" * 32, **row})), **row})
    return out


def timed(run: Callable[[], Any]) -> Took:
    gc.collect()
    began, cpu = time.perf_counter(), spent()
    found = run()
    wall = time.perf_counter() - began
    gc.collect()  # ends the process that renders, so that its time counts
    return Took(wall, spent() - cpu, found)


def spent() -> float:
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--n", type=int, default=8, help="candidates of a prompt")
    parser.add_argument("--prompt-tokens", type=float, default=120, help="median")
    parser.add_argument("--answer-tokens", type=float, default=80, help="median")
    parser.add_argument("--batch-sizes", default="1,2,4,8,16", help="of the pipeline")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as at:
        show(a, compare(a, Path(at)))


def compare(a: argparse.Namespace, at: Path) -> dict[str, list[Took]]:
    """Every way in turn, `repeat` times over: what else the machine does meets all of them."""
    make(at / "rm", a.shape)
    rows = records(a.prompts, a.n, a.prompt_tokens, a.answer_tokens)
    (at / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = AutoTokenizer.from_pretrained(at / "rm")
    texts = [words.apply_chat_template(r["prompt"] + c["messages"], tokenize=False) for r in rows for c in r["completions"]]
    lengths = [len(t.split("w")) for t in texts]
    ragged = f"{min(lengths)} to {max(lengths)} tokens, median {int(np.median(lengths))}"
    print(f"{len(texts):,} texts of {ragged}; {a.shape}, {a.threads} thread(s)")
    classify = pipeline(
        "text-classification",
        model=str(at / "rm"),
        device=0 if torch.cuda.is_available() else -1,
        function_to_apply="none",
        dtype=torch.float32,
    )

    def piped(size: int) -> Any:
        return np.array([r["score"] for r in classify(texts, batch_size=size)])

    def ours() -> Any:
        for name in os.listdir(at):
            if name.startswith("out."):
                os.unlink(at / name)
        prefdata.score(str(at / "in.jsonl"), str(at / "out.jsonl"), reward_model=str(at / "rm"))
        found = prefdata.read(str(at / "out.jsonl")).to_dicts()
        return np.array([c["score"] for r in found for c in r["completions"]])

    ways: dict[str, Callable[[], Any]] = {f"pipeline, batch {b}": (lambda b=int(b): piped(b)) for b in a.batch_sizes.split(",")}  # type: ignore[misc]
    ways["prefdata score"] = ours
    classify(texts[:4])
    ours()
    found: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(a.repeat):
        for name, run in ways.items():
            found[name].append(timed(run))
    for name, runs in found.items():
        assert np.abs(runs[0].scores - found["prefdata score"][0].scores).max() < 1e-3, name
    return found


def show(a: argparse.Namespace, found: dict[str, list[Took]]) -> None:
    """Best of the repeats, by CPU seconds and by the clock."""
    texts = a.prompts * a.n
    best = {name: (min(r.wall for r in runs), min(r.cpu for r in runs)) for name, runs in found.items()}
    print("\n| way | wall s | CPU s | texts/s |\n|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {texts / wall:,.0f} |")
    ours = best.pop("prefdata score")
    for i, what in enumerate(("wall", "CPU")):
        name = min(best, key=lambda k: best[k][i])
        one = best.get("pipeline, batch 1")
        against_one = f"{one[i] / ours[i]:.2f} x batch size 1, " if one else ""
        print(f"{what}: {against_one}{best[name][i] / ours[i]:.2f} x its best ({name})")


if __name__ == "__main__":
    main()
