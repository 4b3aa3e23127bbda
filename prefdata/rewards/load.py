"""A reward model in memory: a sequence classifier from a folder on this machine, safetensors only, no code of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from prefdata.errors import InputError, UsageError
from prefdata.rewards.folder import ModelFolder, look
from prefdata.rewards.texts import Ending, Texts

Dtype = Literal["float32", "bfloat16"]


class RewardModel(NamedTuple):
    """A loaded model with the maker of its texts."""

    folder: ModelFolder
    model: Any
    texts: Texts


def needs_torch(what: str) -> None:
    """Raise UsageError where local models cannot be loaded at all."""
    missing = [m for m in ("torch", "transformers") if find_spec(m) is None]
    if missing:
        raise UsageError(f"{what} needs {' and '.join(missing)}: pip install 'prefdata[train]'")


def load(path: str, where: str, *, ending: Ending | Literal["auto"] = "auto", dtype: Dtype = "float32") -> RewardModel:
    """The model in 32-bit floats (with 16 bits a score depends on what else is in the batch), on the GPU when there is one.

    Raises UsageError when the folder has no reward model, InputError when it cannot be read.
    """
    folder = look(path, where)
    if folder.head != "score":
        raise UsageError(f"{where}: a causal model; a reward model is a sequence classifier (score --implicit reads causal ones)")
    if folder.adapter:
        raise UsageError(f"{where}: an adapter without its base; merge the two first ('prefdata train --merge' writes OUT/merged)")
    needs_torch(where)
    return RewardModel(folder, ready(weights(folder, where, dtype)), Texts(folder.path, ending_of(folder, ending)))


def ending_of(folder: ModelFolder, wanted: Ending | Literal["auto"]) -> Ending:
    """How texts end: models of prefdata's read the end-of-sequence token, others what their chat template ends with."""
    return wanted if wanted != "auto" else "eos" if folder.own else "template"


def weights(folder: ModelFolder, where: str, dtype: Dtype) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    kind, how = getattr(torch, dtype), {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with quiet():
            model, about = AutoModelForSequenceClassification.from_pretrained(folder.path, dtype=kind, **how)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise InputError(f"{where}: the model cannot be loaded ({str(e).splitlines()[0][:200]})") from None
    lacks = sorted(about["missing_keys"])
    if lacks:  # transformers would fill them with random numbers
        raise UsageError(f"{where}: the weights lack {', '.join(lacks[:3])}; this is no reward model")
    return model


def ready(model: Any) -> Any:
    """The model for scoring: no dropout, no cache of keys and values, where its device is."""
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    return model.to(device()).eval()


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and reports: what is wrong is said in our words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
