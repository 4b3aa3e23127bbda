"""Lists, margins and stages: losses of K candidates through whole trainings, by hand-derived numbers."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import UsageError
from prefdata.train.losses import LOSSES, OTHERS, Lists
from prefdata.train.losses.rewards import plackett_luce, plackett_luce_by
from prefdata.train.run import train
from prefdata.train.store import Store, load_table
from tests.checks.build import binary, listwise, pair, write
from tests.train import tiny
from tests.train.build import WORDS, answer_logps, lines, options, pairs

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.saved(tmp_path_factory.mktemp("model"), WORDS, hidden=32)


def lists(n: int) -> list[dict[str, Any]]:
    """Two to four candidates; yes is best, no is worst; every third list has a tie, every fifth an unscored candidate."""
    rows = []
    for i in range(n):
        texts, scores = [f"yes {i}", f"no {i}", f"dog {i}", f"cat {i}"], [3.0, 0.0, 2.0, 2.0 if i % 3 == 0 else 1.0]
        k = 2 + i % 3
        found: list[Any] = scores[:k]
        if i % 5 == 2 and k == 4:
            found[2] = None
        rows.append(listwise(*texts[:k], prompt=f"Q {WORDS[i % 8]} {i}", scores=found))
    return rows


@pytest.mark.parametrize("loss", ["dpo-pl", "infonca", "nca-list", "exo-list", "lipo", "pro"])
def test_every_list_loss_trains(model: str, tmp_path: Path, loss: str) -> None:
    """Lists of different lengths in one step; the micro-batches change nothing; the best candidate rises over the worst."""
    data = write(tmp_path / "in.jsonl", lists(24))
    for name, tokens in (("whole", 100_000), ("cut", 60)):
        train("dpo", data, str(tmp_path / name), options(model, loss=loss, epochs=2, micro_tokens=tokens))
    whole, cut = lines(tmp_path / "whole"), lines(tmp_path / "cut")
    assert [x["loss"] for x in cut] == pytest.approx([x["loss"] for x in whole], rel=1e-5)
    assert [x["grad_norm"] for x in cut] == pytest.approx([x["grad_norm"] for x in whole], rel=1e-3)
    margins = [x["rewards/margins"] for x in whole]
    assert margins[-1] > margins[0] and whole[-1]["loss"] < whole[0]["loss"]
    if loss != "pro":  # which has no reference
        assert margins[0] == pytest.approx(0, abs=1e-5) and whole[0]["rewards/accuracies"] == pytest.approx(0.5)


def test_the_first_loss_is_known(model: str, tmp_path: Path) -> None:
    """With equal policy and reference a ranking of K costs ln K! (each place is drawn evenly), InfoNCA ln K, NCA 2 ln 2."""
    data = write(tmp_path / "in.jsonl", [listwise("yes", "no", "cat", prompt=f"Q{i}", scores=[3.0, 1.0, 2.0]) for i in range(4)])
    for loss, wanted in (("dpo-pl", math.log(6)), ("infonca", math.log(3)), ("nca-list", 2 * math.log(2))):
        train("dpo", data, str(tmp_path / loss), options(model, loss=loss, max_steps=1))
        assert lines(tmp_path / loss)[0]["loss"] == pytest.approx(wanted, abs=1e-5)


def test_two_candidates_are_a_pair(model: str, tmp_path: Path) -> None:
    """Plackett–Luce of two is DPO: the same losses and gradients as on the pairs, whichever candidate comes first."""
    two = [listwise(f"no {i}", f"yes {i}", prompt=f"Q{i}", ranks=[2.0, 1.0]) for i in range(8)]
    same = [pair(f"yes {i}", f"no {i}", prompt=f"Q{i}") for i in range(8)]
    for name, rows in (("lists", two), ("pairs", same)):
        train("dpo", write(tmp_path / f"{name}.jsonl", rows), str(tmp_path / name), options(model, epochs=3))
    a, b = ([(x["loss"], x["grad_norm"]) for x in lines(tmp_path / name)] for name in ("lists", "pairs"))
    assert [v for x in a for v in x] == pytest.approx([v for x in b for v in x], rel=1e-3)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 3)), min_size=2, max_size=6))
def test_plackett_luce_by_scores(rows: list[tuple[float, int]]) -> None:
    """Without ties the ranking's likelihood; with ties those pairs are left out; the order of the candidates does not matter."""
    values = torch.tensor([v for v, _ in rows], dtype=torch.float64)
    scores = torch.tensor([float(s) for _, s in rows], dtype=torch.float64)
    found = float(plackett_luce_by(values, scores))
    by_hand = 0.0
    for i in range(len(rows)):
        worse = [float(values[j]) for j in range(len(rows)) if scores[j] < scores[i]]
        by_hand += math.log(sum(math.exp(v) for v in worse) + math.exp(float(values[i]))) - float(values[i]) if worse else 0.0
    assert found == pytest.approx(by_hand, abs=1e-9)
    turned = float(plackett_luce_by(values.flip(0), scores.flip(0)))
    assert turned == pytest.approx(found, abs=1e-9)
    distinct = torch.arange(len(rows), 0, -1, dtype=torch.float64)
    assert float(plackett_luce_by(values, distinct)) == pytest.approx(float(plackett_luce(values[None])[0]), abs=1e-9)


def test_losses_of_lists_take_batches() -> None:
    """[B, K] gives what each list gives alone, gradients too."""
    torch.manual_seed(0)
    logps, ref, rewards = (torch.randn(5, 4, dtype=torch.float64) for _ in range(3))
    lengths = torch.full((5, 4), 7.0, dtype=torch.float64)
    for name, loss in LOSSES.items():
        if loss.rows == "listwise":
            x = logps.clone().requires_grad_()
            together = loss.function(Lists(x, ref, rewards, lengths))
            alone = torch.stack([loss.function(Lists(x[i], ref[i], rewards[i], lengths[i])) for i in range(5)])
            assert torch.allclose(together, alone), name
            a, b = (torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for y in (together, alone))
            assert torch.allclose(a, b) and bool(a.isfinite().all()), name


def test_a_reward_model_learns_a_ranking(model: str, tmp_path: Path) -> None:
    """End to end: candidates stand in any order, and the scores that come out order those of held-out lists."""
    orders = list(itertools.permutations([("yes", 3.0), ("cat", 2.0), ("no", 1.0)]))
    rows = [listwise(*[f"{t} {i}" for t, _ in o], prompt=f"Q{i}", scores=[s for _, s in o]) for i, o in enumerate(orders * 8)]
    data, held = write(tmp_path / "in.jsonl", rows[:36]), write(tmp_path / "held.jsonl", rows[36:])
    result = train("rm", data, str(tmp_path / "out"), options(model, epochs=6, eval_data=held, learning_rate=1e-2))
    assert result.eval["eval_accuracy"] > 0.9 and result.eval["eval_margin"] > 1
    flat = [listwise("yes", "no", prompt="Q", scores=[1.0, 1.0]), *rows[:3], listwise("a", "b", prompt="R", ranks=[None, 2.0])]
    result = train("rm", write(tmp_path / "flat.jsonl", flat), str(tmp_path / "flat"), options(model, max_steps=1))
    assert result.counts["dropped"] == {"no-order": 2} and result.counts["read"] == 5


def scored(i: int, chosen: float | None, rejected: float | None, **more: Any) -> dict[str, Any]:
    said = [
        {"annotator": "a", "kind": "human", "completions": [side], "aspect": None, "score": s}
        for side, s in (("chosen", chosen), ("rejected", rejected))
        if s is not None
    ]
    return pair(f"yes {i}", f"no {i}", prompt=f"Q{i}", annotations=said, **more)


def test_odpo_takes_margins_and_scores(model: str, tmp_path: Path) -> None:
    """−ls(βD − α ln gap) at D = 0: ln(1 + gap^α). The margin first, else the distance of the scores; pairs with neither are dropped."""
    rows = [
        pair("yes", "no", prompt="Q", margin=3.0),
        scored(1, 5.0, 1.0),
        scored(2, 5.0, 1.0, margin=1.0),
        scored(3, 5.0, None),
        *pairs(2),
    ]
    rows += [scored(4, 2.0, 2.0), pair("yes", "no", prompt="zero", margin=0.0)]
    result = train("dpo", write(tmp_path / "in.jsonl", rows), str(tmp_path / "out"), options(model, loss="odpo", max_steps=1))
    assert result.counts["dropped"] == {"no-margin": 5} and result.counts["kept"] == 3
    assert lines(tmp_path / "out")[0]["loss"] == pytest.approx((math.log(4) + math.log(5) + math.log(2)) / 3, abs=1e-5)
    soft = write(tmp_path / "soft.jsonl", [pair("yes", "no", prompt=f"Q{i}", margin=1.0, p_chosen=0.8) for i in range(4)])
    with pytest.raises(UsageError, match=r"odpo .* cannot use soft labels .*--hard-labels"):
        train("dpo", soft, str(tmp_path / "soft"), options(model, loss="odpo"))


def test_sdpo_goes_in_stages(model: str, tmp_path: Path) -> None:
    """The second stage's reference is the first's model: its own start, or named beside a policy that starts anew."""
    easy, hard = write(tmp_path / "easy.jsonl", pairs(8)), write(tmp_path / "hard.jsonl", pairs(16)[8:])
    one = str(tmp_path / "one")
    train("dpo", easy, one, options(model, loss="sdpo", epochs=2))
    train("dpo", hard, str(tmp_path / "chained"), options(one, loss="sdpo"))
    assert lines(tmp_path / "chained")[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    train("dpo", hard, str(tmp_path / "anew"), options(model, loss="sdpo", reference=one, max_steps=1))
    from transformers import AutoModelForCausalLM

    store = Store(load_table(str(next((tmp_path / "anew" / "cache").glob("tokens-*.arrow")))))
    policy, reference = (answer_logps(AutoModelForCausalLM.from_pretrained(f), store) for f in (model, one))
    gap = 0.1 * (policy - reference)
    first = lines(tmp_path / "anew")[0]
    assert first["rewards/chosen"] == pytest.approx(float(gap[:, 0].mean()), abs=1e-4)
    assert first["loss"] == pytest.approx(float(torch.nn.functional.softplus(gap[:, 1] - gap[:, 0]).mean()), abs=1e-4)


def test_names_say_where_they_belong(model: str, tmp_path: Path) -> None:
    data, ranked = write(tmp_path / "in.jsonl", pairs(4)), write(tmp_path / "lists.jsonl", lists(4))
    with pytest.raises(UsageError, match=r"lipo is a loss of listwise records \('train dpo'\), these are pair records"):
        train("dpo", data, str(tmp_path / "o"), options(model, loss="lipo"))
    with pytest.raises(UsageError, match=r"kto is a loss of binary records \('train kto'\), these are listwise records"):
        train("dpo", ranked, str(tmp_path / "o"), options(model, loss="kto"))
    with pytest.raises(UsageError, match="tdpo is not for this method: needs the distributions"):
        train("dpo", data, str(tmp_path / "o"), options(model, loss="tdpo"))
    with pytest.raises(UsageError, match="--ld-alpha compares the lengths of a pair"):
        train("dpo", ranked, str(tmp_path / "o"), options(model, ld_alpha=0.5))
    with pytest.raises(UsageError, match="train sft learns by its own loss alone"):
        train("sft", data, str(tmp_path / "o"), options(model, loss="dpo"))
    with pytest.raises(UsageError, match="a reward model's loss follows from its records"):
        train("rm", data, str(tmp_path / "o"), options(model, loss="lipo"))
    assert not LOSSES.keys() & OTHERS.keys()


def test_the_list_of_losses() -> None:
    """Which method takes each, on which records; what no training calls says so."""
    done = subprocess.run(
        [sys.executable, "-c", "from prefdata.cli.main import main; main()", "list", "losses", "--json"], capture_output=True
    )
    said = {row["name"]: row for row in json.loads(done.stdout)}
    assert said.keys() == LOSSES.keys() | OTHERS.keys() and all(row["what"] for row in said.values())
    shown = {n: (said[n]["method"], said[n]["rows"]) for n in ("odpo", "kto", "lipo", "sft", "bradley-terry", "tdpo")}
    assert shown == {
        "odpo": ("dpo", "pair"),
        "kto": ("kto", "binary"),
        "lipo": ("dpo", "listwise"),
        "sft": ("sft, dpo", "pair"),
        "bradley-terry": ("rm", "pair"),
        "tdpo": ("function only", "pair"),
    }
    assert said["slic"]["options"] == {"delta": 1.0, "sft_weight": 0.5} and said["bco"]["options"] == {"beta": 0.1}


@pytest.mark.parametrize("loss", ["kto", "bco-unpaired"])
def test_held_out_losses_do_not_depend_on_micro_batches(model: str, tmp_path: Path, loss: str) -> None:
    """z0 is that of an evaluation batch of --batch records, however it is cut."""
    rows = [binary(f"yes {i}" if i % 2 else f"no {i}", prompt=f"Q{i}", label=bool(i % 2)) for i in range(30)]
    data, held = write(tmp_path / "in.jsonl", rows[:16]), write(tmp_path / "held.jsonl", rows[10:])
    found = [
        train("kto", data, str(tmp_path / str(n)), options(model, loss=loss, epochs=2, eval_data=held, micro_tokens=n)).eval
        for n in (100_000, 80, 1)
    ]
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-7, abs=1e-7)
