"""Small models through prefdata's API: made from nothing, trained, measured, and asked for answers. All on one thread."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import transformers

import prefdata

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import tiny_model

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
HOW: dict[str, Any] = {"batch": 32, "warmup": 0.05, "weight_decay": 0.01, "log_every": 10}


class Sampled(NamedTuple):
    """One answer of a policy to each prompt; the share of those that are the chosen answer, word for word; their mean length in tokens."""

    prompts: list[Any]
    texts: list[str]
    right: float
    length: float


def untrained(records: Path, folder: Path) -> Path:
    """A random decoder of 2 layers and width 64 with a tokenizer of 2,000 tokens learnt from the records (examples/tiny_model.py)."""
    with _quiet():
        tiny_model.main(str(records), str(folder))
    return folder


def train(method: Literal["dpo", "rm", "sft"], records: Path, out: Path, *, model: Path, **options: Any) -> Any:
    with _quiet():
        return prefdata.train_model(method, str(records), str(out), model=str(model), force=True, **{**HOW, **options})


def eval_rm(records: Path, *, model: Path, reference: Path | None = None) -> dict[str, Any]:
    """The figures of `prefdata eval rm`."""
    with _quiet():
        found = prefdata.eval_rm(str(records), model=str(model), reference=None if reference is None else str(reference))
    figures: dict[str, Any] = found.figures
    return figures


def sampled(policy: Path, records: Path, prompts: int, tokens: int, seed: int) -> Sampled:
    """One answer to each of the first prompts, drawn at temperature 1 and cut after so many tokens."""
    with _quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(policy).eval()
    words = transformers.AutoTokenizer.from_pretrained(policy, padding_side="left")
    rows = prefdata.read(str(records)).head(prompts)
    asked, texts, length = rows["prompt"].to_list(), [], 0
    torch.manual_seed(seed)
    for at in range(0, len(asked), 64):
        rendered = [words.apply_chat_template(p, add_generation_prompt=True, tokenize=False) for p in asked[at : at + 64]]
        given = words(rendered, return_tensors="pt", padding=True, add_special_tokens=False, return_token_type_ids=False)
        with torch.no_grad():
            said = model.generate(**given, do_sample=True, top_k=0, temperature=1.0, max_new_tokens=tokens)[
                :, given["input_ids"].shape[1] :
            ]
        length += int((said != words.pad_token_id).sum())
        texts += words.batch_decode(said, skip_special_tokens=True)
    chosen = [turns[0]["content"] for turns in rows["chosen"].to_list()]
    right = sum(a == b for a, b in zip(texts, chosen, strict=True)) / len(texts)
    return Sampled(asked, texts, right, length / len(texts))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers prints every line of metrics."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
