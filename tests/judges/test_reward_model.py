"""A local reward model as a judge: a tiny model that is made here scores real records."""

from __future__ import annotations

import json
import shutil
from math import exp
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from prefdata.errors import InputError, UsageError  # noqa: E402
from prefdata.judges import reward_model  # noqa: E402
from prefdata.judges.statement import Statement, Verdict  # noqa: E402
from prefdata.llm.mock_server import serving  # noqa: E402
from tests.judges.labelling import binary, listwise, pair, rows_of, run, store, truthful, turns  # noqa: E402

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
NOWHERE = "http://127.0.0.1:9/v1"


def make(folder: Path, *, template: str | None = TEMPLATE, labels: int = 1, pad: int | None = None) -> Path:
    """A Llama of 2 layers with random weights, and a tokenizer of words learnt from a few lines."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    lines = [f"question {n} quality {n} candidate answer" for n in range(50)]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "</s>", "<user>", "<assistant>"]))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", chat_template=template)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, num_labels=labels, pad_token_id=pad, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    model.score.weight.data.mul_(20)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models") / "tiny-rm")


def scores(rm: reward_model.RewardModel, rows: list[dict[str, Any]]) -> list[float | None]:
    return [s.verdict.score for row in reward_model.statements(rm, rows, "pair") for s in row]


@pytest.mark.parametrize("pad", [None, 1])
def test_scores_do_not_depend_on_the_batch(pad: int | None, tmp_path: Path) -> None:
    """One by one or padded together, with and without a padding token of the model's: the same scores."""
    rm = reward_model.load(str(make(tmp_path / "rm", pad=pad)))
    rows = [pair(n, n, n + 7) for n in range(8)]
    rows[3]["chosen"] = turns("a much longer answer " * 2)
    rows[5]["prompt"] = turns("why?", "user")
    together = scores(rm, rows)
    alone = [s for row in rows for s in scores(rm, [row])]
    assert together == pytest.approx(alone, abs=1e-3)
    assert len({round(s or 0, 3) for s in together}) > 8
    assert rm.model.config.pad_token_id == pad


def test_the_score_is_that_of_the_model(folder: Path) -> None:
    """The template's text without a second set of special tokens, read at its last token."""
    rm = reward_model.load(str(folder))
    row = pair(0, 5, 1)
    text = "<user>question 0</s><assistant>quality 5 c</s>"
    words = transformers.AutoTokenizer.from_pretrained(folder)
    ids = words(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        expected = rm.model(input_ids=ids).logits[0, 0].item()
    assert scores(rm, [row])[0] == pytest.approx(expected, abs=1e-5)


def test_without_a_template(tmp_path: Path) -> None:
    rm = reward_model.load(str(make(tmp_path / "rm", template=None)))
    assert all(isinstance(s, float) for s in scores(rm, [pair(0, 5, 1), pair(1, 2, 3)]))


def test_labels_by_a_reward_model(folder: Path, tmp_path: Path) -> None:
    """No server and no journal; p = σ(r1 − r2), and the better score is chosen."""
    data = store(tmp_path / "p.jsonl", [pair(n, n % 6, n % 5 + 1) for n in range(12)])
    out = tmp_path / "out.parquet"
    result = run(data, out, NOWHERE, judge=f"rm:{folder}", decide="soft", model=None)
    rows = rows_of(out)
    assert len(rows) == 12
    for row in rows:
        said = {a["completions"][0]: a["score"] for a in row["annotations"]}
        assert {(a["annotator"], a["kind"], a["request"]) for a in row["annotations"]} == {("rm:tiny-rm", "reward_model", None)}
        assert said["chosen"] > said["rejected"]
        assert row["p_chosen"] == pytest.approx(1 / (1 + exp(said["rejected"] - said["chosen"])))
    assert {p.name for p in tmp_path.iterdir()} == {
        "p.jsonl",
        "out.parquet",
        "out.parquet.manifest.json",
        "out.parquet.disagreements.jsonl",
    }
    assert result.report["judges"]["rm:tiny-rm"]["calls"] == {"score": 24}
    assert run(data, out, NOWHERE, judge=f"rm:{folder}", decide="soft", model=None).up_to_date


def test_lists_and_single_answers(folder: Path, tmp_path: Path) -> None:
    lists = store(tmp_path / "l.jsonl", [listwise(0, [1, 2, 3])])
    run(lists, tmp_path / "lo.jsonl", NOWHERE, judge=f"rm:{folder}", model=None)
    row = rows_of(tmp_path / "lo.jsonl")[0]
    assert [a["completions"] for a in row["annotations"]] == [[c["id"]] for c in row["completions"]]
    run(store(tmp_path / "b.jsonl", [binary(0, 4)]), tmp_path / "bo.jsonl", NOWHERE, judge=f"rm:{folder}", model=None)
    assert rows_of(tmp_path / "bo.jsonl")[0]["annotations"][0]["completions"] == []


def test_a_text_that_is_too_long_has_no_score(folder: Path, tmp_path: Path) -> None:
    """Half an answer would be another answer."""
    rows = [pair(0, 1, 2), pair(1, 1, 2)]
    rows[0]["chosen"] = turns("candidate " * 80)
    rm = reward_model.load(str(folder))
    first, second = (s.verdict for s in reward_model.statements(rm, rows[:1], "pair")[0])
    assert (first.outcome, first.why, first.score) == ("invalid", "context-length", None)
    assert second.score is not None
    data = store(tmp_path / "p.jsonl", [{**rows[0], "id": "0" * 32}, rows[1]])
    result = run(data, tmp_path / "o.jsonl", NOWHERE, judge=f"rm:{folder}", decide="hard", model=None)
    assert result.counts["dropped"] == {"context-length": 1}


def test_a_template_that_refuses(tmp_path: Path) -> None:
    """A record with turns that the template does not take has no score; the others have."""
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system texts') }}{% endif %}" + TEMPLATE
    rm = reward_model.load(str(make(tmp_path / "rm", template=template)))
    rows = [pair(0, 1, 2), pair(1, 1, 2)]
    rows[0]["prompt"] = [*turns("Be brief.", "system"), *rows[0]["prompt"]]
    said = reward_model.statements(rm, rows, "pair")
    assert [s.verdict.why for s in said[0]] == ["template", "template"]
    assert all(s.verdict.score is not None for s in said[1])


def test_settling_scores() -> None:
    def said(place: int, score: float) -> Statement:
        return Statement("rm:x", (place,), Verdict(score=score), kind="reward_model")

    assert reward_model.settle_scores([said(0, 1.0), said(1, 1.0)], 0, 1) == ("tie", 0.5, "tie")
    assert reward_model.settle_scores([said(0, 1e6), said(1, -1e6)], 0, 1).p == pytest.approx(1.0)
    found = reward_model.settle_scores([said(0, 1.0), said(1, 2.0)], 1, 0)
    assert found.outcome == "first"
    assert found.p == pytest.approx(1 / (1 + exp(-1)))


def test_folders_that_are_no_reward_models(folder: Path, tmp_path: Path) -> None:
    """A name is not looked up, no code of a folder is run, pickled weights are not read, and missing weights are not made up."""

    def refused(judge: Path | str) -> str:
        with pytest.raises((UsageError, InputError)) as e:
            reward_model.load(str(judge))
        return str(e.value)

    assert "no such folder; names of models are not looked up" in refused("OpenAssistant/reward-model")
    code = shutil.copytree(folder, tmp_path / "code")
    (code / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), "auto_map": {"AutoModel": "x.Y"}}))
    assert "code of its own" in refused(code)
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "no .safetensors" in refused(pickled)
    assert "2 outputs" in refused(make(tmp_path / "two", labels=2))
    from safetensors.torch import load_file, save_file

    headless = shutil.copytree(folder, tmp_path / "headless")
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("score")}
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    assert "lack score.weight" in refused(headless)
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    assert "cannot be loaded" in refused(broken)
    data = store(tmp_path / "p.jsonl", [pair(0, 5, 1)])
    with serving(judge=truthful) as server, pytest.raises(InputError, match="cannot be loaded"):
        run(data, tmp_path / "o.jsonl", server.url, judge=f"pairwise,rm:{broken}")
    assert server.stats.requests == 0


def test_a_jury_with_a_reward_model(folder: Path, tmp_path: Path) -> None:
    """Its verdict is one vote of two."""
    data = store(tmp_path / "p.jsonl", [pair(n, n % 6, n % 5 + 1) for n in range(12)])
    with serving(judge=truthful) as server:
        result = run(data, tmp_path / "o.jsonl", server.url, judge=f"pairwise,rm:{folder}", decide="hard")
    assert result.counts["kept"] == result.report["unanimous"] > 0
    assert result.counts["dropped"] == {"split": 12 - result.counts["kept"]}
    assert all(len(r["annotations"]) == 4 for r in rows_of(tmp_path / "o.jsonl"))
