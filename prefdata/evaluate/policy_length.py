"""The win rate at equal length: how often the tuned policy would win if its answers were as long as the base's.

AlpacaEval 2 (Dubois et al. 2024, arXiv:2404.04475, equation 2) fits, over prompts x,

    logit P(m wins over b on x) = (theta_m - theta_b) + phi tanh((len(m) - len(b)) / std(len(m) - len(b))) + (psi_m - psi_b) gamma_x

and takes the mean prediction with the length term at 0. gamma_x, the difficulty of an instruction, is fitted there over many models and
means nothing for two: it is left out here. So the prediction is the same for every prompt, and the figure is sigmoid(theta).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from prefdata.judges.agreement import Ints, Numbers
from prefdata.judges.calibration import sigmoid
from prefdata.statistics import Z

RIDGE = 0.01
"""Half of it times |(theta, phi)|² is added to the loss: too little to be seen, but where one side wins everything, or the longer answer
always does, the maximum of the likelihood lies at infinity."""
STEPS = 100


def length_controlled(outcome: Numbers, lengths: Numbers, cluster: Ints) -> dict[str, Any] | None:
    """Win rate at equal length with its interval, of N comparisons: outcomes [N] (1 tuned wins, 1/2 a tie, 0; NaN is left out), characters
    of base and tuned [N, 2], a number of the prompt [N]. None of nothing. Changing the sides gives 1 minus the figure.

    The variance is the larger one of the inverse information's and the sandwich's with the scores of a prompt summed: ties make the first
    too large, several answers to a prompt make it too small.
    """
    there = ~np.isnan(outcome)
    n = int(there.sum())
    if not n:
        return None
    y, at, difference = outcome[there], cluster[there], (lengths[:, 1] - lengths[:, 0])[there]
    spread = float(difference.std())
    x = np.stack([np.ones(n), np.tanh(difference / spread) if spread > 0 else np.zeros(n)], 1)
    beta = fitted(x, y)
    theta, phi = beta.tolist()
    errors = standard_errors(x, y, beta, at)
    return {
        "value": float(sigmoid(beta[:1])[0]),
        "low": float(sigmoid(np.array([theta - Z * errors[0]]))[0]),
        "high": float(sigmoid(np.array([theta + Z * errors[0]]))[0]),
        "n": n,
        "theta": theta,
        "phi": phi if spread > 0 else None,
        "phi_interval": (phi - Z * errors[1], phi + Z * errors[1]) if spread > 0 else None,
        "std_length": spread,
    }


def fitted(x: Numbers, y: Numbers) -> Numbers:
    """Coefficients of the logistic model with shares y as outcomes, by Newton's method; the loss is strictly convex, and steps are halved
    until it falls."""
    beta = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = sigmoid(x @ beta)
        gradient = x.T @ (p - y) + RIDGE * beta
        step = np.linalg.solve(_information(x, p), gradient)
        size, now = 1.0, _loss(x, y, beta)
        while _loss(x, y, beta - size * step) > now and size > 1e-10:
            size /= 2
        beta = beta - size * step
        if float(np.abs(size * step).max()) < 1e-12:
            break
    found: Numbers = beta
    return found


def standard_errors(x: Numbers, y: Numbers, beta: Numbers, cluster: Ints) -> list[float]:
    """Of each coefficient."""
    p = sigmoid(x @ beta)
    inverse = np.linalg.inv(_information(x, p))
    at = np.unique(cluster, return_inverse=True)[1]
    scores = np.stack([np.bincount(at, weights=(y - p) * column) for column in x.T], 1)
    groups = len(scores)
    sandwich = inverse @ (scores.T @ scores) @ inverse * (groups / max(1, groups - 1))
    return [sqrt(max(float(a), float(b))) for a, b in zip(np.diag(inverse), np.diag(sandwich), strict=True)]


def _information(x: Numbers, p: Numbers) -> Numbers:
    found: Numbers = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
    return found


def _loss(x: Numbers, y: Numbers, beta: Numbers) -> float:
    at = x @ beta
    return float(np.sum(np.logaddexp(0, at) - y * at) + RIDGE / 2 * (beta @ beta))
