"""What a model says about a batch: log-probs of completions' tokens, or scores. One function for policy, reference and reward model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from prefdata.train.attention import block_mask, packed_attention
from prefdata.train.head import TokenLogps
from prefdata.train.layout import Batch, Padded


def hidden_states(model: Any, batch: Batch) -> Tensor:
    """The last layer's states of a decoder (`AutoModelForCausalLM`, `...ForSequenceClassification`) at all places, flat, [places, H]."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if isinstance(batch, Padded):
        out = decoder(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
    else:
        mask = block_mask(batch) if batch.ids.is_cuda else None
        with packed_attention(decoder.config):
            places = {"input_ids": batch.ids[None], "position_ids": batch.positions[None], "attention_mask": None}
            out = decoder(**places, use_cache=False, plan=batch.plan, mask=mask)
    found: Tensor = out.last_hidden_state
    return found.reshape(-1, found.shape[-1])


def token_logps(model: Any, batch: Batch) -> Tensor:
    """Log-prob of each scored token, [N] in float32."""
    states = hidden_states(model, batch).index_select(0, batch.source)
    return _through(model.get_output_embeddings(), states, batch.labels)


def _through(head: Any, states: Tensor, labels: Tensor) -> Tensor:
    """The log-probs as a call of the head's module. FSDP and ZeRO-3 gather a module's weight around its calls, and again for the backward
    pass; read from outside, the weight is a part of itself."""
    inner = getattr(head, "_fsdp_wrapped_module", head)
    before = vars(inner).get("forward")
    inner.forward = lambda hidden: TokenLogps.apply(hidden, inner.weight, labels)  # type: ignore[no-untyped-call]
    try:
        found: Tensor = head(states)
    finally:
        del inner.forward
        if before is not None:
            inner.forward = before
    return found


def scores(model: Any, batch: Batch) -> Tensor:
    """What a sequence classifier gives each completion at its last token, [S, heads] in float32."""
    found: Tensor = model.score(hidden_states(model, batch).index_select(0, batch.last))
    return found.float()


def attach(model: Any, says: Callable[[Any, Batch], Tensor]) -> None:
    """`model(batch=...)` gives what `says` does, through `forward`, so that the wrappers of distributed training see the call; all other
    calls stay as they are."""
    model.forward = partial(_forward, model, says, model.forward)


def _forward(
    model: Any, says: Callable[[Any, Batch], Tensor], before: Callable[..., Any], *args: Any, batch: Any = None, **kwargs: Any
) -> Any:
    return before(*args, **kwargs) if batch is None else says(model, batch)
