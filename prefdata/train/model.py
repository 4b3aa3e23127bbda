"""What a model says about a packed batch: log-probs of completions, or scores. One function for policy, reference and reward model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from prefdata.train.attention import block_mask, packed_attention
from prefdata.train.head import TokenLogps, sums
from prefdata.train.layout import Packed


def hidden_states(model: Any, batch: Packed) -> Tensor:
    """The last layer's states of a decoder (`AutoModelForCausalLM`, `...ForSequenceClassification`) for all tokens, [T, H]."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    mask = block_mask(batch) if batch.ids.is_cuda else None
    with packed_attention(decoder.config):
        out = decoder(
            input_ids=batch.ids[None], position_ids=batch.positions[None], attention_mask=None, use_cache=False, plan=batch.plan, mask=mask
        )
    found: Tensor = out.last_hidden_state[0]
    return found


def token_logps(model: Any, batch: Packed) -> Tensor:
    """Log-prob of each scored token, [N] in float32."""
    states = hidden_states(model, batch).index_select(0, batch.source)
    found: Tensor = TokenLogps.apply(states, model.get_output_embeddings().weight, batch.labels)  # type: ignore[no-untyped-call]
    return found


def logps(model: Any, batch: Packed) -> Tensor:
    """Log-prob of each completion, [S] in float32, summed in float64."""
    return sums(token_logps(model, batch), batch.owner, len(batch.lengths)).float()


def scores(model: Any, batch: Packed) -> Tensor:
    """What a sequence classifier gives each completion at its last token, [S, heads]."""
    found: Tensor = model.score(hidden_states(model, batch).index_select(0, batch.last))
    return found.float()
