"""Tiny models and a tokenizer for tests, made in a second: no downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]


def tokenizer(texts: list[str], size: int = 1000) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on the texts."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = TEMPLATE
    return fast


FAMILIES: dict[str, Any] = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def model(family: str = "llama", vocabulary: int = 1000, seed: int = 0, hidden: int = 64, layers: int = 2, **more: Any) -> Any:
    """A random decoder; grouped-query attention, so that the layouts' broadcasting is tested too."""
    config, kind = FAMILIES[family]
    torch.manual_seed(seed)
    shape = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers, "num_attention_heads": 4}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    return kind(config(vocab_size=vocabulary, num_key_value_heads=2, max_position_embeddings=2048, **shape, **ends, **more))


def saved(folder: Path, texts: list[str], **how: Any) -> str:
    """A folder with a model and its tokenizer."""
    words = tokenizer(texts)
    model(vocabulary=len(words), **how).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
