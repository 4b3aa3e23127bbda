"""What the libraries have loaded is kept out of the garbage collector: a training collects once, which would take longer than its steps."""

from __future__ import annotations

import gc

import peft  # noqa: F401
import torch  # noqa: F401
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer  # noqa: F401

gc.collect()
gc.freeze()
