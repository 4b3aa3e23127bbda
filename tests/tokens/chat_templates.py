"""Chat templates of several habits, and tiny tokenizers to render them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{- bos_token }}\n{%- for message in messages %}\n"
    "    {{- '<|start|>' + message['role'] + '<|end|>\n\n' + message['content'] | trim + '</s>' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|start|>assistant<|end|>\n\n' }}\n{%- endif %}\n"
)
"""Writes BOS and trims, like many."""
STRICT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]{% else %}"
    " {{ message['content'] }}</s>{% endif %}{% endfor %}"
)
GENERATION = (
    "{%- for message in messages %}\n{%- if message.role == 'assistant' %}\n<|im_start|>assistant\n"
    "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n\n"
    "{%- else %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)
TOOLS = (
    "{% set ns = namespace(n=0) %}{% if tools %}"
    "<|im_start|>system\n{{ tools | tojson(indent=2) }} {{ strftime_now('%Y') }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}{% if message.role == 'system' %}{% continue %}{% endif %}{% set ns.n = ns.n + 1 %}"
    "<|im_start|>{{ message.role }} {{ ns.n }}\n{{ message.content }}"
    "{% if message.tool_calls is defined %}{{ message.tool_calls | tojson }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {{ ns.n + 1 }}\n{% endif %}"
)
THINKING = CHATML.replace("{{ message.content }}", "{{ message.content.split('</think>')[-1] }}")
TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "strict": STRICT, "generation": GENERATION, "tools": TOOLS, "thinking": THINKING}

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>"]


def save(folder: Path, tokenizer: Tokenizer, template: str | None, bos: str | None = "<s>", eos: str | None = "</s>", **more: Any) -> str:
    """The folder as `save_pretrained` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", **more}
    config |= {k: v for k, v in (("bos_token", bos), ("eos_token", eos), ("chat_template", template)) if v is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def words(text: str, add_bos: bool = False) -> Tokenizer:
    """One token per word between white space; white space is no token."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys([*SPECIAL, *text.split()]))}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def bytes_(texts: list[str], size: int = 1000) -> Tokenizer:
    """Byte-level BPE, as of GPT-2, trained on texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer
