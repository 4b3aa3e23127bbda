"""Draws of tokens: the right frequencies, and each row's own, whatever stands beside it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from prefdata.sampling.gumbel import SMALLEST, Ends, Gumbel, processors  # noqa: E402

LOGITS = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0])


def drawn(rows: int, steps: int, temperature: float, top_k: int | None, top_p: float) -> torch.Tensor:
    """How often each token is drawn by rows with seeds 0, 1, ... in all their steps."""
    chain = processors(temperature, top_k, top_p, range(rows), "cpu")
    none = torch.zeros((rows, 0), dtype=torch.long)
    picks = [chain(none, LOGITS.repeat(rows, 1)).argmax(-1) for _ in range(steps)]
    return torch.bincount(torch.cat(picks), minlength=len(LOGITS)).double()


def exact(temperature: float, kept: int) -> torch.Tensor:
    """Softmax at a temperature over the `kept` likeliest tokens (the logits fall)."""
    p = torch.softmax(LOGITS.double() / temperature, -1)
    p[kept:] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "kept", "limit"),
    [
        (1.0, None, 1.0, 8, 24.32),
        (0.5, None, 1.0, 8, 24.32),
        (1.0, 4, 1.0, 4, 16.27),
        # the running sums at temperature 1 are .405, .650, .799, .889, .944: five tokens reach 0.9
        (1.0, None, 0.9, 5, 18.47),
        # of six at temperature 2: .285, .506
        (2.0, 6, 0.5, 2, 10.83),
    ],
)
def test_frequencies_are_those_of_softmax(temperature: float, top_k: int | None, top_p: float, kept: int, limit: float) -> None:
    """Chi-square of 40,000 draws, below the 99.9 % point for kept - 1 degrees of freedom. Half of them are the streams' first numbers: rows
    with neighbouring seeds are independent."""
    for rows, steps in ((20_000, 1), (200, 100)):
        expected = exact(temperature, kept) * rows * steps
        counts = drawn(rows, steps, temperature, top_k, top_p)
        assert not counts[kept:].any()
        assert float(((counts - expected)[:kept] ** 2 / expected[:kept]).sum()) < limit


def test_a_row_does_not_see_its_neighbours() -> None:
    """Alone, among others, in another order: bit for bit the same scores."""
    logits = torch.randn((5, 100), generator=torch.Generator().manual_seed(0))
    logits[2] = logits[0]
    ids = torch.zeros((5, 0), dtype=torch.long)
    seeds = [3, 2**63 - 1, 3, 0, 7]
    together = Gumbel(seeds, "cpu")
    steps = [together(ids, logits) for _ in range(4)]
    for i, seed in enumerate(seeds):
        alone = Gumbel([seed], "cpu")
        assert all(torch.equal(alone(ids[:1], logits[i : i + 1])[0], step[i]) for step in steps)
    assert torch.equal(steps[0][0], steps[0][2])  # the same seed is the same noise
    assert not torch.equal(steps[0][0], steps[1][0])


def test_what_is_ruled_out_stays_out() -> None:
    """-inf is never drawn, and noise is finite also where the exponential variate is 0."""
    scores = Gumbel([1], "cpu")(torch.zeros((1, 0)), torch.full((1, 10_000), -torch.inf))
    assert torch.isneginf(scores).all()
    assert -torch.log(torch.tensor(SMALLEST)) < 18
    assert not processors(0, 5, 0.5, [1], "cpu")  # greedy: nothing is drawn


def test_rows_end_at_their_own_most_tokens() -> None:
    """Row 0 after 1 token, row 1 after 3, row 2 when its text has the stop text, also one that two tokens make together."""
    words = {5: "so", 6: " ST", 7: "OP!", 8: "."}
    ends = Ends(2, [1, 3, 9], ["STOP"], lambda ids: "".join(words[i] for i in ids), "cpu")
    ids = torch.tensor([[0, 0], [0, 0], [0, 0]])
    ended = []
    for column in ([5, 5, 6], [8, 6, 7], [8, 8, 8]):
        ids = torch.cat([ids, torch.tensor(column)[:, None]], 1)
        ended.append(ends(ids, None).tolist())
    assert ended == [[True, False, False], [True, False, True], [True, True, True]]
