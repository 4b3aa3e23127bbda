"""How the cases of a file of test vectors call the losses: one entry per loss name, from inputs and parameters to everything expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prefdata.train import merge
from prefdata.train.losses import Lists, Pairs, Unpaired, batches, lists, pairs, rewards, soft, tokens, unpaired

Found = dict[str, Any]


def _pairs(x: Found, p: Found) -> Pairs:
    lengths = {k: x[k].detach() for k in ("chosen_len", "rejected_len")}
    extra = {mine: torch.tensor(p.pop(theirs), dtype=x["policy_chosen_logps"].dtype) for theirs, mine in _EXTRA.items() if theirs in p}
    return Pairs(x["policy_chosen_logps"], x["policy_rejected_logps"], x["ref_chosen_logps"], x["ref_rejected_logps"], **lengths, **extra)


_EXTRA = {"score_chosen": "score_chosen", "score_rejected": "score_rejected"}


def _pair(function: Callable[..., Tensor], **names: str) -> Callable[[Found, Found], Found]:
    """A case of a loss of pairs; `names` are the options that the vectors call otherwise."""

    def run(x: Found, p: Found) -> Found:
        batch = _pairs(x, p)
        options = {names.get(k, k): v for k, v in p.items()}
        return _with_gradients(function(batch, **options), x)

    return run


def _with_gradients(losses: Tensor, x: Found, per: str = "per_pair") -> Found:
    out: Found = {"loss": losses.mean(), per: losses}
    leaves = {name: t for name, t in x.items() if isinstance(t, Tensor) and t.is_leaf and t.requires_grad}
    grads = torch.autograd.grad(losses.mean(), list(leaves.values()), allow_unused=True)
    out |= {f"grad_{n}": torch.zeros_like(t) if g is None else g for (n, t), g in zip(leaves.items(), grads, strict=True)}
    return out


def _soft_dpo(x: Pairs, *, beta: float, p_chosen: list[float]) -> Tensor:
    return soft(pairs.dpo, x, torch.tensor(p_chosen, dtype=x.chosen.dtype), beta=beta)


def _beta_dpo(x: Pairs, *, beta0: float, alpha: float, M0: float, keep: list[int]) -> Tensor:
    return batches.beta_dpo(x, beta=beta0, alpha=alpha, threshold=M0, keep=torch.tensor(keep))


def _slic(x: Found, p: Found) -> Found:
    """The vectors hold the target's log-prob fixed."""
    batch = _pairs(x, p)
    target = torch.tensor(p["target_logps"], dtype=batch.chosen.dtype)
    given = Pairs(**{**batch.__dict__, "target": target})
    return _with_gradients(pairs.slic(given, delta=p["delta"], sft_weight=p["reg_weight"]), x)


def _sdpo(x: Found, p: Found) -> Found:
    """sDPO is DPO whose reference is the model of the step before."""
    like = x["policy_chosen_logps"]
    previous = {f"ref_{side}_logps": torch.tensor(p[f"prev_{side}_logps"], dtype=like.dtype) for side in ("chosen", "rejected")}
    return _with_gradients(pairs.dpo(_pairs({**x, **previous}, {}), beta=p["beta"]), x)


def _reward(x: Found, p: Found) -> Found:
    p = {"center" if k == "center_rewards_coefficient" else k: v for k, v in p.items()}
    extra = {k: x[k].detach() for k in ("margin", "weight") if k in x}
    c, r = x["chosen_rewards"], x["rejected_rewards"]
    out = _with_gradients(rewards.bradley_terry(c, r, **extra, **p), x)
    return {**out, "per_pair_before_center": rewards.bradley_terry(c, r, **extra, **{**p, "center": 0.0})}


def _plackett_luce(x: Found, p: Found) -> Found:
    rows = list(x["rewards_best_first"])
    longest = max(len(r) for r in rows)
    scores = torch.stack([torch.nn.functional.pad(r.detach(), (0, longest - len(r))) for r in rows]).requires_grad_()
    mask = torch.tensor([[i < len(r) for i in range(longest)] for r in rows])
    each = rewards.plackett_luce(scores, mask)
    (grad,) = torch.autograd.grad(each.mean(), scores)
    return {"loss": each.mean(), "per_list": each, "grad": [g[: len(r)] for g, r in zip(grad, rows, strict=True)]}


def _odin(x: Found, p: Found) -> Found:
    quality = torch.stack([x["quality_chosen"], x["quality_rejected"]])
    length = torch.stack([x["length_chosen"], x["length_rejected"]])
    lengths = torch.stack([x["chosen_len"], x["rejected_len"]])
    parts = rewards.odin(quality, length, lengths, x["w_quality"], x["w_length"], length=p["lambda_length"], ortho=p["lambda_ortho"])
    return {"ranking": parts[0], "length_term": parts[1], "ortho_term": parts[2], "loss": sum(parts)}


def _kto(x: Found, p: Found) -> Found:
    z0 = unpaired.kto_z0(x["kl_policy_logps"], x["kl_ref_logps"])
    out = _with_gradients(unpaired.kto(_unpaired(x), z0=z0, **p), x, "per_example")
    return {**out, "z0": z0, "z0_before_clamp": (x["kl_policy_logps"] - x["kl_ref_logps"]).mean()}


def _unpaired(x: Found) -> Unpaired:
    return Unpaired(x["policy_logps"], x["ref_logps"], x.get("desirable", torch.ones_like(x["policy_logps"], dtype=torch.bool)))


def _bco_unpaired(x: Found, p: Found) -> Found:
    return _with_gradients(unpaired.bco_unpaired(_unpaired(x), **p), x, "per_example")


def _dro(x: Found, p: Found) -> Found:
    return _with_gradients(unpaired.dro_v(_unpaired(x), x["rewards"], x["values"], **p), x, "per_example")


def _sft(x: Found, p: Found) -> Found:
    rows = list(x["token_logps"])
    return {
        "token_mean": -torch.cat(rows).mean(),
        "sequence_mean": torch.stack([-r.sum() / len(r) for r in rows]).mean(),
        "sequence_sum": torch.stack([-r.sum() for r in rows]).mean(),
    }


def _sums(x: Found, alpha: float | None = None) -> Pairs:
    """Pairs from token log-probs, summed whole or as LD-DPO does."""
    sides = {(who, side): list(x[f"{who}_{side}_token_logps"]) for who in ("policy", "ref") for side in ("chosen", "rejected")}
    lengths = {side: [len(r) for r in sides["policy", side]] for side in ("chosen", "rejected")}
    shorter = [min(a, b) for a, b in zip(lengths["chosen"], lengths["rejected"], strict=True)]

    def summed(who: str, side: str) -> Tensor:
        each = zip(sides[who, side], shorter, strict=True)
        return torch.stack([r.sum() if alpha is None else tokens.ld_sum(r, n, alpha) for r, n in each])

    four = [summed(who, side) for who in ("policy", "ref") for side in ("chosen", "rejected")]
    return Pairs(four[0], four[1], four[2], four[3], torch.tensor(lengths["chosen"]), torch.tensor(lengths["rejected"]))


def _ld_dpo(x: Found, p: Found) -> Found:
    each = pairs.dpo(_sums(x, p["alpha"]), beta=p["beta"])
    return {"loss": each.mean(), "per_pair": each}


def _wpo(x: Found, p: Found) -> Found:
    both = zip(x["policy_chosen_token_logps"], x["policy_rejected_token_logps"], strict=True)
    weights = torch.stack([tokens.wpo_weight(c, r) for c, r in both])
    each = weights * pairs.dpo(_sums(x), beta=p["beta"])
    return {"loss": each.mean(), "per_pair": each, "weights": weights}


def _tdpo(x: Found, p: Found) -> Found:
    kl = {s: tokens.sequence_kl(x[f"policy_{s}_logits"], x[f"ref_{s}_logits"]) for s in ("chosen", "rejected")}
    logp = {(w, s): _logp(x[f"{w}_{s}_logits"], x[f"{s}_tokens"]).sum()[None] for w in ("policy", "ref") for s in ("chosen", "rejected")}
    one = torch.ones(1)
    batch = Pairs(logp["policy", "chosen"], logp["policy", "rejected"], logp["ref", "chosen"], logp["ref", "rejected"], one, one)
    out: Found = {f"tdpo{v}": tokens.tdpo(batch, kl["chosen"], kl["rejected"], **p, version=v).mean() for v in (1, 2)}
    out |= {f"{s}_seq_kl": kl[s] for s in kl}
    return {**out, "chosen_margin": batch.u_c[0], "rejected_margin": batch.u_r[0]}


def _logp(logits: Tensor, ids: Tensor) -> Tensor:
    return tokens.sequence_logp(logits, ids.long(), torch.ones_like(ids))


def _cringe(x: Found, p: Found) -> Found:
    logits, ids = x["negative_logits"], x["negative_tokens"].long()
    others = logits.scatter(-1, ids.unsqueeze(-1), float("-inf")).topk(int(x["topk"])).indices
    picked = others.gather(-1, x["sampled_rank_after_removing_label"].long().unsqueeze(-1)).squeeze(-1)
    each, ce = tokens.cringe(logits, ids, picked), -x["positive_token_logps"].mean()
    loss = ce + p["alpha"] * each.mean()
    return {"cringe_per_token": each, "picked_token": picked, "cringe_mean": each.mean(), "ce_mean": ce, "loss": loss}


def _pairwise_cringe(x: Found, p: Found) -> Found:
    logps = x["chosen_logp"], x["rejected_logp"]
    each = tokens.pairwise_cringe(x["ce_chosen"], x["cringe_rejected"], *logps, **p)
    gate = tokens.pairwise_cringe(torch.ones_like(each), torch.zeros_like(each), *logps, **p)
    return {"gate": gate, "per_pair": each, "loss": each.mean()}


def _list(x: Found, rewards_: str) -> Lists:
    return Lists(x["policy_logps"], x["ref_logps"], x[rewards_].detach())


def _lipo(x: Found, p: Found) -> Found:
    given = _list(x, "labels")
    scores = p["beta"] * given.u
    rank = (scores[:, None] < scores).sum(1) + 1
    return {**_with_gradients(lists.lipo(given, **p), x), "scores": scores, "rank": rank}


def _infonca(x: Found, p: Found) -> Found:
    given = _list(x, "rewards")
    return {"infonca": lists.infonca(given, **p), "nca": lists.nca_list(given, **p)}


def _pro(x: Found, p: Found) -> Found:
    ranking, loss = lists.pro(x["mean_logps_best_first"], x["rewards_best_first"], x["best_sum_logp"], **p)
    return {"ranking": ranking, "loss": loss}


def _rloo(x: Found, p: Found) -> Found:
    advantages, loss = lists.rloo(x["rewards"], x["sequence_logps"])
    return {"advantages": advantages, "loss": loss}


def _ties(x: Found, p: Found) -> Found:
    delta = merge.ties(x["deltas"], p["density"])
    merged = x["base"] + p["scale"] * delta
    return {"merged_delta": delta, "merged_weights": merged, "linear_average": x["base"] + merge.linear(x["deltas"])}


def _sequence_logp(x: Found, p: Found) -> Found:
    found = tokens.sequence_logp(x["logits"], x["tokens"].long(), x["mask"])
    return {"token_logps": found, "sum": found.sum(), "mean": found.sum() / x["mask"].sum()}


CASES: dict[str, Callable[[Found, Found], Found]] = {
    "dpo_sigmoid": _pair(pairs.dpo),
    "cdpo": _pair(pairs.dpo),
    "robust_dpo": _pair(pairs.robust),
    "soft_label_dpo": _pair(_soft_dpo),
    "ipo_sum": _pair(pairs.ipo),
    "ipo_mean": _pair(pairs.ipo_mean),
    "hinge": _pair(pairs.hinge),
    "slic_direct": _slic,
    "rso_sigmoid_norm": _pair(pairs.rso),
    "rso_hinge_norm": _pair(pairs.hinge, gamma="beta"),
    "sigmoid_norm": _pair(pairs.sigmoid_norm),
    "dpop": _pair(pairs.dpop, lam="penalty"),
    "r_dpo": _pair(pairs.r_dpo),
    "simpo": _pair(pairs.simpo),
    "alphapo": _pair(pairs.alphapo),
    "cpo_seq_nll": _pair(pairs.cpo, nll_weight="sft_weight"),
    "orpo": _pair(pairs.orpo),
    "nca_pair": _pair(pairs.nca),
    "bco_pair": _pair(pairs.bco),
    "apo_zero": _pair(pairs.apo_zero),
    "apo_down": _pair(pairs.apo_down),
    "sppo_hard": _pair(pairs.sppo),
    "exo_pair": _pair(pairs.exo),
    "discopop": _pair(pairs.discopop),
    "aot_paired": _pair(batches.aot),
    "aot_unpaired": _pair(batches.aot_unpaired),
    "beta_dpo": _pair(_beta_dpo),
    "odpo": _pair(pairs.odpo),
    "rpo_nll": _pair(pairs.rpo),
    "sdpo_step2": _sdpo,
    "gpo": _pair(pairs.gpo),
    "f_dpo": _pair(pairs.f_dpo),
    "rm_bradley_terry": _reward,
    "rm_plackett_luce": _plackett_luce,
    "odin": _odin,
    "kto": _kto,
    "bco_unpaired": _bco_unpaired,
    "dro_v": _dro,
    "sft_nll": _sft,
    "ld_dpo": _ld_dpo,
    "wpo_unaligned": _wpo,
    "tdpo": _tdpo,
    "cringe": _cringe,
    "pairwise_cringe": _pairwise_cringe,
    "lipo_lambda": _lipo,
    "pro": _pro,
    "infonca_nca": _infonca,
    "rloo": _rloo,
    "paft_merge_ties": _ties,
    "sequence_logp": _sequence_logp,
}
