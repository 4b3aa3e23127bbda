"""Scores of texts: what else is in a batch does not matter, and memory that is short is less memory, not an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from prefdata.errors import UsageError  # noqa: E402
from prefdata.rewards.load import RewardModel, load  # noqa: E402
from prefdata.rewards.scores import Room, in_batches, out_of_memory, scores  # noqa: E402
from prefdata.rewards.texts import Text, shared  # noqa: E402
from tests.evaluate.test_rm import classifier, encoder  # noqa: E402

torch.set_num_threads(1)
SIZES = (1, 2, 3, 7, 20, 33, 60)


def texts(rm: RewardModel, n: int, seed: int, typed: bool = False) -> list[Text]:
    """Token lists of very different lengths; some end with the tokens that are called end and padding."""
    rng = np.random.default_rng(seed)
    size = rm.model.get_input_embeddings().num_embeddings
    out = []
    for i in range(n):
        ids = rng.integers(4, size, rng.choice(SIZES) + 1).astype(np.int32)
        ids[-1] = (1, ids[-1], 5)[i % 3]
        out.append(Text(ids, 1, len(ids) // 2 if typed else None))
    return out


def alone(rm: RewardModel, given: list[Text]) -> np.ndarray[Any, Any]:
    return np.concatenate([scores(rm, [t], Room(1))[0] for t in given])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RewardModel]:
    at = tmp_path_factory.mktemp("models")
    made = {
        "llama": (classifier(at / "llama"), "template"),
        "padded": (classifier(at / "padded", pad=0), "template"),
        "ended": (classifier(at / "ended", pad=1), "eos"),
        "heads": (classifier(at / "heads", "qwen2", labels=3, pad=0), "template"),
        "window": (classifier(at / "window", "mistral", sliding_window=4, pad=0), "template"),
        "encoder": (encoder(at / "encoder"), "template"),
    }
    return {name: load(str(folder), name, ending=ending) for name, (folder, ending) in made.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["llama", "padded", "ended", "heads", "window", "encoder"])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 24), budget=st.sampled_from([1, 50, 200, 5000]))
def test_a_score_does_not_depend_on_its_batch(models: dict[str, RewardModel], name: str, seed: int, n: int, budget: int) -> None:
    rm = models[name]
    some = texts(rm, n, seed, typed=name == "encoder")
    wanted = alone(rm, some)
    order = np.random.default_rng(seed).permutation(n)
    found, why = scores(rm, [some[i] for i in order], Room(budget))
    assert why == [None] * n
    assert np.abs(found - wanted[order]).max() < 1e-4
    assert found.shape == (n, 3 if name == "heads" else 1)


def test_the_end_of_sequence_is_read_where_texts_end_with_it(models: dict[str, RewardModel]) -> None:
    """A model that calls its end-of-sequence token padding, too: with `eos` the score is read there, alone or not."""
    rm = models["ended"]
    body = np.array([7, 8, 9], np.int32)
    ended, open_ = Text(np.append(body, np.int32(1)), 1), Text(body, 1)
    found, _ = scores(rm, [ended, open_, Text(np.arange(4, 20, dtype=np.int32), 1)], Room(1000))
    assert abs(float(found[0, 0] - found[1, 0])) > 0.01
    assert rm.model.config.pad_token_id == 1  # left as it was


class Short:
    """A model on a machine with too little memory: above a number of tokens (padding included) its forward raises what torch raises."""

    def __init__(self, model: Any, tokens: int, error: BaseException) -> None:
        self.model, self.tokens, self.error, self.sizes = model, tokens, error, list[tuple[int, int]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, input_ids: Any, **more: Any) -> Any:
        if input_ids.numel() > self.tokens:
            raise self.error
        self.sizes.append(tuple(input_ids.shape))
        return self.model(input_ids=input_ids, **more)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        MemoryError(),
    ],
)
def test_short_memory_halves_the_batch(models: dict[str, RewardModel], error: BaseException) -> None:
    rm = models["padded"]
    some = texts(rm, 40, 3)
    wanted = alone(rm, some)
    short = Short(rm.model, 150, error)
    room = Room(100_000)
    found, why = scores(rm._replace(model=short), some, room)
    assert why == [None] * 40
    assert np.abs(found - wanted).max() < 1e-4
    assert sum(rows for rows, _ in short.sizes) == 40  # nothing is computed twice
    assert room.tokens <= 150
    assert room.shrunk >= 3


def test_a_text_that_does_not_fit_alone_has_a_reason(models: dict[str, RewardModel]) -> None:
    rm = models["padded"]
    some = texts(rm, 30, 4)
    long = [len(t.ids) > 40 for t in some]
    assert 0 < sum(long) < 30
    found, why = scores(rm._replace(model=Short(rm.model, 40, MemoryError())), some, Room(5000))
    assert why == ["out-of-memory" if x else None for x in long]
    assert (np.isnan(found[:, 0]) == long).all()


def test_other_errors_are_not_taken_for_short_memory(models: dict[str, RewardModel]) -> None:
    rm = models["padded"]
    with pytest.raises(RuntimeError, match="shapes"):
        scores(rm._replace(model=Short(rm.model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))), texts(rm, 2, 0), Room(9))
    assert not out_of_memory(ValueError("out of range"))


def test_what_has_no_score(models: dict[str, RewardModel]) -> None:
    """Too long a text, one with a reason of its own, and NaN; the others have their scores."""
    rm = models["llama"]
    longest = rm.folder.longest
    assert longest == 512
    given = [Text(np.full(longest + 1, 7, np.int32), 1), Text(np.zeros(0, np.int32), why="template"), Text(np.array([7, 8], np.int32), 1)]
    found, why = scores(rm, given, Room(100))
    assert why == ["context-length", "template", None]
    assert np.isfinite(found[2, 0])
    before = rm.model.model.embed_tokens.weight.data[9].clone()
    rm.model.model.embed_tokens.weight.data[9] = float("nan")
    found, why = scores(rm, [Text(np.array([9, 8], np.int32), 1), Text(np.array([7, 8], np.int32), 1)], Room(1))
    rm.model.model.embed_tokens.weight.data[9] = before
    assert why == ["not-a-number", None]
    with pytest.raises(UsageError, match="beyond its vocabulary"):
        scores(rm, [Text(np.array([100_000], np.int32), 1)], Room(100))


@given(sizes=st.lists(st.integers(1, 50), max_size=40), tokens=st.integers(1, 200), padded=st.booleans())
def test_batches_hold_everything_once(sizes: list[int], tokens: int, padded: bool) -> None:
    seen: list[int] = []

    def run(batch: list[int]) -> None:
        cost = len(batch) * sizes[batch[0]] if padded else sum(sizes[i] for i in batch)
        assert cost <= tokens or len(batch) == 1
        assert sizes[batch[0]] == max(sizes[i] for i in batch)
        seen.extend(batch)

    assert in_batches(np.array(sizes, np.int64), Room(tokens), run, padded=padded) == []
    assert sorted(seen) == list(range(len(sizes)))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=5))
def test_what_texts_share(lists: list[list[int]]) -> None:
    n = shared([np.array(t, np.int32) for t in lists])
    assert all(t[:n] == lists[0][:n] for t in lists)
    assert n < min(map(len, lists))
    assert n == min(map(len, lists)) - 1 or len({t[n] for t in lists}) > 1
