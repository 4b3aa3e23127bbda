"""What a loss sees of a batch. Log-probs are natural logarithms, summed over the completion's tokens with its end-of-sequence token;
every tensor has one number per row, shape [B].

    u_c = chosen − ref_chosen, u_r = rejected − ref_rejected     log-ratios of policy and reference
    D   = u_c − u_r                                               the implicit margin before beta
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Chosen and rejected completions of B prompts."""

    chosen: Tensor
    """log π(chosen | prompt)"""
    rejected: Tensor
    ref_chosen: Tensor
    """log π_ref(chosen | prompt); losses without a reference do not look at it."""
    ref_rejected: Tensor
    chosen_len: Tensor
    """Number of completion tokens."""
    rejected_len: Tensor
    score_chosen: Tensor | None = None
    """Scores of the answers, for losses that use them (odpo, infonca)."""
    score_rejected: Tensor | None = None
    target: Tensor | None = None
    """Log-prob of an SFT target; None: the chosen answer is the target."""

    @property
    def u_c(self) -> Tensor:
        return self.chosen - self.ref_chosen

    @property
    def u_r(self) -> Tensor:
        return self.rejected - self.ref_rejected

    @property
    def D(self) -> Tensor:
        return self.u_c - self.u_r

    @property
    def mean_chosen(self) -> Tensor:
        """Mean log-prob per token."""
        return self.chosen / self.chosen_len

    @property
    def mean_rejected(self) -> Tensor:
        return self.rejected / self.rejected_len

    def swapped(self) -> Pairs:
        """The same pairs with the opposite labels."""
        return replace(
            self,
            chosen=self.rejected,
            rejected=self.chosen,
            ref_chosen=self.ref_rejected,
            ref_rejected=self.ref_chosen,
            chosen_len=self.rejected_len,
            rejected_len=self.chosen_len,
            score_chosen=self.score_rejected,
            score_rejected=self.score_chosen,
        )


@dataclass(frozen=True)
class Unpaired:
    """Single completions that are desirable (true) or not."""

    logps: Tensor
    ref_logps: Tensor
    desirable: Tensor

    @property
    def u(self) -> Tensor:
        return self.logps - self.ref_logps


@dataclass(frozen=True)
class Lists:
    """K candidates of one prompt, or of B prompts with K each: tensors of shape [..., K]. Rewards are better when higher."""

    logps: Tensor
    ref_logps: Tensor
    rewards: Tensor
    lengths: Tensor | None = None
    """Number of tokens, for losses of means."""

    @property
    def u(self) -> Tensor:
        return self.logps - self.ref_logps
