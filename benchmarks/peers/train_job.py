"""What the benchmark of training makes for all contenders: a random model, a tokenizer of whole words, pairs of given lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SPECIAL = ["<|pad|>", "<|end|>", "<|assistant|>"]
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% else %} <|assistant|> {{ m['content'] }} <|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %} <|assistant|>{% endif %}"
)


class Shape(NamedTuple):
    """A decoder of Qwen2's kind."""

    vocabulary: int
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    tied: bool


SHAPES = {
    "tiny": Shape(512, 2, 32, 64, 4, 2, False),
    "small": Shape(16_384, 4, 256, 688, 4, 2, False),
    "0.5b": Shape(151_936, 24, 896, 4864, 14, 2, True),
    "1.5b": Shape(151_936, 28, 1536, 8960, 12, 2, True),
}
"""`small` for a CPU; 0.5b and 1.5b are those of Qwen2.5."""


def folder(work: Path, name: str, task: str) -> Path:
    """A folder with random weights (float32, the same in every run) and a tokenizer; reused if it is there."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

    out = work / f"train-{name}-{task}"
    if (out / "model.safetensors").exists():
        return out
    s = SHAPES[name]
    table = {w: i for i, w in enumerate(SPECIAL + [f"w{i}" for i in range(s.vocabulary - len(SPECIAL))])}
    words = Tokenizer(models.WordLevel(table, unk_token=SPECIAL[0]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=words, pad_token=SPECIAL[0], eos_token=SPECIAL[1])
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=s.vocabulary, num_hidden_layers=s.layers, hidden_size=s.hidden, intermediate_size=s.inner, num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads, tie_word_embeddings=s.tied, max_position_embeddings=4096, pad_token_id=0, eos_token_id=1,
        bos_token_id=None, num_labels=1,
    )  # fmt: skip
    kind: Any = Qwen2ForCausalLM if task == "dpo" else Qwen2ForSequenceClassification
    fast.save_pretrained(out)
    kind(config).save_pretrained(out, max_shard_size="100GB")
    return out


def lengths(pairs: int, prompts: tuple[int, int], answers: tuple[int, int]) -> Any:
    """Tokens of prompt, chosen and rejected, [pairs, 3], the special ones among them."""
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(low, high, pairs, endpoint=True) for low, high in (prompts, answers, answers)], 1)


def pairs(out: Path, sizes: Any, vocabulary: int) -> None:
    """A file of pairs with so many tokens."""
    import prefdata

    rng = np.random.default_rng(1)

    def turn(role: str, tokens: int) -> list[dict[str, str]]:
        words = rng.integers(0, vocabulary - len(SPECIAL), tokens - 1)  # and <|assistant|> or <|end|>
        return [{"role": role, "content": " ".join(f"w{i}" for i in words)}]

    raw = out.with_suffix(".raw.jsonl")
    with open(raw, "w") as f:
        for prompt, chosen, rejected in sizes.tolist():
            row = {"prompt": turn("user", prompt), "chosen": turn("assistant", chosen), "rejected": turn("assistant", rejected)}
            f.write(json.dumps(row) + "\n")
    prefdata.convert(str(raw), str(out), to="pair", force=True)


def work(s: Shape, sizes: Any, *, head: bool) -> float:
    """Floating-point operations that steps over these pairs need at least, forward and backward: 6 for each weight and token, prompts once,
    the head at the tokens of answers alone, and 12 for each visible pair of tokens and hidden number."""
    kv = s.hidden * s.kv_heads // s.heads
    body = s.layers * (2 * s.hidden * (s.hidden + kv) + 3 * s.hidden * s.inner)
    prompt, *answers = sizes.T.astype(float)
    seen = prompt**2 / 2 + sum(n * prompt + n**2 / 2 for n in answers)
    scored = s.hidden * s.vocabulary * sum(answers).sum() if head else 0.0
    return float(6 * (body * sizes.sum() + scored) + 12 * s.layers * s.hidden * seen.sum())
