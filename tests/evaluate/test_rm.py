"""prefdata eval rm with tiny models that are made here: its scores are those of transformers' own forward, whatever the batch."""

from __future__ import annotations

import json
import shutil
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

import prefdata
from prefdata.evaluate.rm import eval_rm
from prefdata.evaluate.rm_options import EvalRmOptions
from prefdata.evaluate.rm_result import EvalRmResult
from prefdata.statistics import wilson
from tests.checks.build import pair, write
from tests.train import tiny

torch.set_num_threads(1)
WORDS = ["good", "bad", "dog", "cat", "it is", "because of the", "why", "fox"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ '\\n' }}{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}{{ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{{ '\\n' }}{% endif %}"
)
"""As many have it: a line break stands behind the end of each turn, so that a text does not end with its end-of-sequence token."""
FAMILIES: dict[str, Any] = {
    "llama": (LlamaConfig, LlamaForSequenceClassification),
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification),
    "mistral": (MistralConfig, MistralForSequenceClassification),
}


def texts(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of answers of 1 to 25 words with margins, sources and subsets."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        prompt, chosen, rejected = (" ".join(rng.choice(WORDS, rng.integers(1, m))) for m in (12, 25, 25))
        meta = json.dumps({"subset": f"s{i % 3}"})
        rows.append(pair(f"{chosen} {i}", f"{rejected} !", prompt=prompt, source=f"source {i % 2}", meta=meta))
    return rows


def tokenizer() -> PreTrainedTokenizerFast:
    words = tiny.tokenizer(WORDS, 400)
    words.chat_template = TEMPLATE
    return words


def classifier(folder: Path, family: str = "llama", *, labels: int = 1, pad: int | None = None, seed: int = 0, **more: Any) -> Path:
    """A folder with a random reward model whose scores differ by some points, and its tokenizer."""
    words = tokenizer()
    config, kind = FAMILIES[family]
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    torch.manual_seed(seed)
    ends = {"num_labels": labels, "pad_token_id": pad, "eos_token_id": 1, "bos_token_id": None, "initializer_range": 0.2}
    model = kind(config(vocab_size=len(words), max_position_embeddings=512, **shape, **ends, **more))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def one_by_one(folder: Path, rows: list[dict[str, Any]], head: int = 0) -> np.ndarray[Any, Any]:
    """What transformers says of each text alone, [N, 2]."""
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    out = []
    for row in rows:
        for side in ("chosen", "rejected"):
            text = words.apply_chat_template(row["prompt"] + row[side], tokenize=False)
            with torch.no_grad():
                out.append(model(**words(text, add_special_tokens=False, return_tensors="pt")).logits[0, head].item())
    return np.array(out).reshape(-1, 2)


def measured(data: str, folder: Path, out: Path | None = None, **options: Any) -> EvalRmResult:
    return eval_rm(data, EvalRmOptions(model=str(folder), **options), None if out is None else str(out))


def scores(out: Path) -> np.ndarray[Any, Any]:
    return pl.read_parquet(out / "scores.parquet").select("score_chosen", "score_rejected").to_numpy()


@pytest.mark.parametrize(
    ("family", "more", "layout"),
    [
        ("llama", {}, "shared"),
        ("qwen2", {"pad": 0}, "shared"),
        ("llama", {"pad": 1}, "shared"),  # padding is the end of a turn, but texts end with a line break
        ("mistral", {"sliding_window": 4, "pad": 0}, None),  # what a layout without places gets wrong
    ],
)
def test_scores_are_those_of_transformers(family: str, more: dict[str, Any], layout: str | None, tmp_path: Path) -> None:
    folder, rows = classifier(tmp_path / "rm", family, **more), texts(24)
    data = write(tmp_path / "in.jsonl", rows)
    wanted = one_by_one(folder, rows)
    assert wanted.std() > 0.2
    for budget in (1, 200, 100_000):
        result = measured(data, folder, tmp_path / f"out-{budget}", micro_tokens=budget)
        assert np.abs(scores(tmp_path / f"out-{budget}") - wanted).max() < 1e-4, budget
        assert result.model["layout"] in ({layout} if layout else {"padded", "own"})
    accuracy = float(np.mean(wanted[:, 0] > wanted[:, 1]))
    assert result.figures["accuracy"]["value"] == result.metrics["accuracy"] == pytest.approx(accuracy)


def test_the_padding_token_of_the_model_decides_where_it_reads(tmp_path: Path) -> None:
    """A model that pads with what its texts end with reads the token before, and so do we."""
    newline = tokenizer().convert_tokens_to_ids("Ċ")
    rows = texts(8)
    one, other = classifier(tmp_path / "a", pad=newline), classifier(tmp_path / "b")
    wanted, elsewhere = one_by_one(one, rows), one_by_one(other, rows)
    assert np.abs(wanted - elsewhere).max() > 0.1
    result = measured(write(tmp_path / "in.jsonl", rows), one, tmp_path / "out")
    assert result.model["layout"] == "own"
    assert np.abs(scores(tmp_path / "out") - wanted).max() < 1e-4


def counting(folder: Path) -> Path:
    """A reward model that counts: attention is the mean of all tokens before, good is a step along one axis, bad one back, all other
    tokens lie on a second axis. With g good and b bad of n tokens: h = ((g − b)/n, 1 + (n − g − b)/n), and the score is h₁/|h|."""
    words = tokenizer()
    size = 8
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=size, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        head_dim=size, num_labels=1, pad_token_id=None, eos_token_id=1, bos_token_id=None, rms_norm_eps=1e-12,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    for p in model.parameters():
        p.data.zero_()
    layer = model.model.layers[0]
    for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
        norm.weight.data.fill_(1)
    layer.self_attn.v_proj.weight.data.copy_(torch.eye(size) / sqrt(size))
    layer.self_attn.o_proj.weight.data.copy_(torch.eye(size))
    model.model.embed_tokens.weight.data[:, 1] = 1
    for word, sign in (("good", 1.0), ("bad", -1.0)):
        row = model.model.embed_tokens.weight.data[words.convert_tokens_to_ids(word)]
        row.zero_()
        row[0] = sign
    model.score.weight.data[0, 0] = 1 / sqrt(size)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def counted(folder: Path, row: dict[str, Any], side: str) -> tuple[float, int]:
    """The score worked out from the words, and the tokens of the answer."""
    words = AutoTokenizer.from_pretrained(folder)
    ids = words(words.apply_chat_template(row["prompt"] + row[side], tokenize=False), add_special_tokens=False)["input_ids"]
    before = words.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
    text = " ".join(t["content"] for t in row["prompt"] + row[side]).split()
    g, b, n = text.count("good"), text.count("bad"), len(ids)
    x, y = (g - b) / n, 1 + (n - g - b) / n
    return x / sqrt(x * x + y * y), n - len(words(before, add_special_tokens=False)["input_ids"])


def test_known_scores_from_end_to_end(tmp_path: Path) -> None:
    folder = counting(tmp_path / "rm")
    rows = [
        pair("good dog good", "bad dog", prompt="dog", source="a", p_chosen=0.9),
        pair("good", "good good good cat", prompt="dog", source="a", p_chosen=0.6),  # wrong: the other has more of it
        pair("cat", "dog", prompt="cat good", source="b"),  # a tie
        pair("good good", "bad bad bad", prompt="cat bad", source="b"),
    ]
    wanted = np.array([[counted(folder, r, side) for side in ("chosen", "rejected")] for r in rows])
    result = measured(write(tmp_path / "in.jsonl", rows), folder, tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert scores(tmp_path / "out") == pytest.approx(wanted[:, :, 0], abs=1e-5)
    assert table.select("length_chosen", "length_rejected").to_numpy().tolist() == wanted[:, :, 1].tolist()
    assert table["id"].to_list() == [r["id"] for r in rows]
    assert table["record"].to_list() == [1, 2, 3, 4]
    assert table["margin"].to_list() == pytest.approx((wanted[:, 0, 0] - wanted[:, 1, 0]).tolist(), abs=1e-5)
    tsv = pl.read_csv(tmp_path / "out" / "scores.tsv", separator="\t")
    assert tsv.columns == table.columns
    assert tsv["margin"].to_list() == table["margin"].to_list()
    f = result.figures
    assert (f["accuracy"]["value"], f["ties"]["value"]) == (2.5 / 4, 0.25)
    margin = table["margin"].to_numpy()
    y = np.array([0.9, 0.6, 1, 1])
    p = 1 / (1 + np.exp(-margin))
    assert f["calibration"]["raw"]["log_loss"] == pytest.approx(float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))))
    assert f["soft"]["accuracy"] == pytest.approx((0.9 + 0.4 + 0.5 + 1) / 4)
    assert [(s["name"], s["accuracy"]["value"], s["ties"]) for s in result.sources["parts"]] == [("a", 0.5, 0), ("b", 0.75, 1)]
    assert result.sources["macro"]["value"] == 0.625
    hard = measured(str(tmp_path / "in.jsonl"), folder, hard_labels=True)
    assert hard.figures["soft"] is None
    assert hard.figures["calibration"]["raw"]["log_loss"] == pytest.approx(float(-np.mean(np.log(p))))
    assert hard.metrics["log_loss"] == hard.figures["calibration"]["raw"]["log_loss"]


def test_what_records_say_besides(tmp_path: Path) -> None:
    """Pairs of one prompt depend on each other; margins are in units of their source, and said for each source alone."""
    folder = counting(tmp_path / "rm")
    rows = []
    for prompt in range(4):
        sides = ("good", "bad") if prompt % 2 else ("bad", "good")
        rows += [pair(*(f"{side} {k}" for side in sides), prompt=f"dog {prompt}", source=f"s{k}", margin=k + prompt) for k in range(2)]
    result = measured(write(tmp_path / "in.jsonl", rows), folder)
    accuracy = result.figures["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (0.5, 8)
    # four prompts of two pairs, both right or both wrong: a design effect of (4/3 · 4) / (8/7 · 2)
    assert (accuracy["low"], accuracy["high"]) == pytest.approx(wilson(8 * 3 / 7 / 2, 8 * 3 / 7))
    assert result.figures["gold_margin"] is None
    assert [p["gold_margin"]["spearman"]["n"] for p in result.sources["parts"]] == [4, 4]
    one = measured(write(tmp_path / "one.jsonl", rows[::2]), folder)
    assert one.figures["gold_margin"] == one.sources["parts"][0]["gold_margin"]


def encoder(folder: Path) -> Path:
    """BERT and a tokenizer of words without a chat template: prompt and answer are the two texts of a pair."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({w for text in WORDS for w in text.split()}), "!"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=1,
        max_position_embeddings=128, type_vocab_size=2, initializer_range=0.3,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def test_an_encoder_without_a_chat_template(tmp_path: Path) -> None:
    folder, rows = encoder(tmp_path / "rm"), texts(12)
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    wanted = []
    for row in rows:
        for side in ("chosen", "rejected"):
            given = words(row["prompt"][0]["content"], row[side][0]["content"], return_tensors="pt", return_token_type_ids=True)
            assert given["token_type_ids"].max() == 1
            with torch.no_grad():
                wanted.append(model(**given).logits[0, 0].item())
    for budget in (1, 100_000):
        result = measured(write(tmp_path / "in.jsonl", rows), folder, tmp_path / "out", micro_tokens=budget)
        assert np.abs(scores(tmp_path / "out") - np.array(wanted).reshape(-1, 2)).max() < 1e-4
    assert np.std(wanted) > 0.1
    assert (result.model["ending"], result.model["layout"]) == ("pair", "own")
    length = pl.read_parquet(tmp_path / "out" / "scores.parquet")["length_chosen"].to_list()
    assert length == [len(r["chosen"][0]["content"].split()) for r in rows]


def test_implicit_rewards_by_hand(tmp_path: Path) -> None:
    """β (log π − log π_ref), summed over the answer and its end, token by token from the models' logits."""
    policy, reference = (tiny.saved(tmp_path / name, WORDS, hidden=32, seed=s) for name, s in (("policy", 0), ("reference", 1)))
    rows = texts(6)
    data = write(tmp_path / "in.jsonl", rows)
    words = AutoTokenizer.from_pretrained(policy)
    models = [AutoModelForCausalLM.from_pretrained(p).eval() for p in (policy, reference)]
    logps, lengths = np.zeros((2, 6, 2)), np.zeros((6, 2))
    for i, row in enumerate(rows):
        for k, side in enumerate(("chosen", "rejected")):
            before = words(words.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))["input_ids"]
            answer = words(row[side][0]["content"] + "<|end|>")["input_ids"]
            lengths[i, k] = len(answer)
            for m, model in enumerate(models):
                with torch.no_grad():
                    said = torch.log_softmax(model(torch.tensor([before + answer])).logits[0].double(), -1)
                logps[m, i, k] = sum(said[len(before) + j - 1, t].item() for j, t in enumerate(answer))
    result = measured(data, Path(policy), tmp_path / "out", reference=reference, beta=0.25)
    assert np.abs(scores(tmp_path / "out") - 0.25 * (logps[0] - logps[1])).max() < 1e-4
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert table["reference_logp_rejected"].to_list() == pytest.approx(logps[1, :, 1].tolist(), abs=1e-3)
    assert table.select("length_chosen", "length_rejected").to_numpy().tolist() == lengths.tolist()
    assert result.metrics["rewards/margins"] == pytest.approx(float(np.mean(0.25 * np.diff(logps[1] - logps[0]))), abs=1e-4)
    free = measured(data, Path(policy), tmp_path / "free", per_token=True, beta=2.0)
    assert np.abs(scores(tmp_path / "free") - 2 * logps[0] / lengths).max() < 1e-4
    assert any("reference-free" in note for note in free.notes)
    same = measured(data, Path(policy), reference=policy)
    assert (same.figures["accuracy"]["value"], same.figures["ties"]["value"]) == (0.5, 1.0)
    assert same.figures["calibration"]["raw"]["log_loss"] == pytest.approx(log(2))


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize(("method", "lora"), [("rm", None), ("rm", 4), ("dpo", 4)])
def test_the_figures_are_those_of_training(method: Any, lora: int | None, tmp_path: Path) -> None:
    """A model (or an adapter) that prefdata trains, measured afterwards on what was held out: the last line of its training."""
    from prefdata.train.options import TrainOptions
    from prefdata.train.run import train

    base = tiny.saved(tmp_path / "base", WORDS, hidden=32)
    data, held = write(tmp_path / "in.jsonl", texts(24)), write(tmp_path / "held.jsonl", texts(20, seed=1))
    options = TrainOptions(model=base, batch=8, learning_rate=1e-3, eval_data=held, lora=lora)
    trained = {k.removeprefix("eval_"): v for k, v in train(method, data, str(tmp_path / "out"), options).eval.items()}
    result = measured(held, tmp_path / "out", reference=None if method == "rm" else base)
    assert result.model["ending"] == "eos"
    both = result.metrics.keys() & trained.keys()
    wanted = {"accuracy", "margin", "mean_reward"} if method == "rm" else {"rewards/accuracies", "rewards/margins", "rewards/chosen"}
    assert wanted | {k for k in trained if k.startswith("sources/")} <= both
    assert {k: result.metrics[k] for k in both} == pytest.approx({k: trained[k] for k in both}, abs=1e-4)
    assert result.metrics["log_loss"] == pytest.approx(trained["loss"], abs=1e-4)
    assert result.figures["margins"]["mean"] != 0


def test_an_end_that_is_also_the_padding_is_read(tmp_path: Path) -> None:
    """With --ending eos the score is that of the end-of-sequence token, even where the model's configuration calls it padding."""
    rows = texts(6)
    data = write(tmp_path / "in.jsonl", rows)
    shutil.copytree(classifier(tmp_path / "b"), tmp_path / "a")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps(config | {"pad_token_id": 1}))
    for name in ("a", "b"):
        measured(data, tmp_path / name, tmp_path / f"out-{name}", ending="eos")
    assert np.abs(scores(tmp_path / "out-a") - scores(tmp_path / "out-b")).max() < 1e-5
    measured(data, tmp_path / "b", tmp_path / "out-c")
    assert np.abs(scores(tmp_path / "out-a") - scores(tmp_path / "out-c")).max() > 0.1  # there the line break behind it is read


def test_subsets_and_heads(tmp_path: Path) -> None:
    folder, rows = classifier(tmp_path / "rm", labels=3), texts(15)
    result = measured(write(tmp_path / "in.jsonl", rows), folder, tmp_path / "out", head=2, by="subset")
    wanted = one_by_one(folder, rows, head=2)
    assert np.abs(scores(tmp_path / "out") - wanted).max() < 1e-4
    right = wanted[:, 0] > wanted[:, 1]
    by = result.by
    assert by is not None
    assert [(p["name"], p["accuracy"]["value"]) for p in by["parts"]] == [(f"s{k}", float(np.mean(right[k::3]))) for k in range(3)]
    assert by["macro"]["value"] == pytest.approx(float(np.mean(right)))
    assert pl.read_parquet(tmp_path / "out" / "scores.parquet")["part"].to_list()[:4] == ["s0", "s1", "s2", "s0"]


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_aspects_and_ensembles_of_training(tmp_path: Path) -> None:
    """An ensemble of models with a head per aspect: rewards are the weighted means of their training, and means over the members; the
    figures are those of its last line. Other weights and aggregates by hand, from the scores of each head of each member."""
    from prefdata.train.options import TrainOptions
    from prefdata.train.run import train

    base = tiny.saved(tmp_path / "base", WORDS, hidden=32)
    rows = texts(24)
    for i, row in enumerate(rows):
        first = {"annotator": "a", "kind": "human", "completions": ["chosen", "rejected"], "outcome": "first" if i % 3 else "second"}
        row["annotations"] = [{**first, "aspect": "kind"}, {**first, "aspect": "safe", "outcome": "first"}]
    data = write(tmp_path / "in.jsonl", rows)
    how: dict[str, Any] = {"batch": 8, "learning_rate": 1e-2, "eval_data": data, "lora": 2, "merge": True}
    options = TrainOptions(model=base, aspects="kind:3,safe:1", ensemble=2, **how)
    trained = train("rm", [data], str(tmp_path / "rms"), options).eval
    each = np.zeros((2, 2, 24, 2))
    for m in range(2):
        for h in range(2):
            folder = tmp_path / "rms" / str(m) / ("merged" if h else "")  # merged weights are read as those of the adapter
            measured(data, folder, tmp_path / f"out-{m}{h}", head=h)
            each[m, h] = scores(tmp_path / f"out-{m}{h}")
    one = 0.75 * each[:, 0] + 0.25 * each[:, 1]
    assert np.abs(one[0] - one[1]).max() > 1e-3 and np.abs(each[:, 0] - each[:, 1]).max() > 1e-3
    found = measured(data, tmp_path / "rms", tmp_path / "mean")
    assert scores(tmp_path / "mean") == pytest.approx(one.mean(0), abs=1e-4)
    assert found.metrics["margin"] == pytest.approx(trained["eval_margin"], abs=1e-3)
    assert found.model["ending"] == "eos"
    assert {"rewards are the mean of 2 members", "the reward of a model is 0.75 kind + 0.25 safe"} <= set(found.notes)
    measured(data, tmp_path / "rms", tmp_path / "min", aggregate="min", aspect_weights={"safe": 1, "kind": -1})
    assert scores(tmp_path / "min") == pytest.approx((each[:, 1] - each[:, 0]).min(0), abs=1e-4)
    measured(data, tmp_path / "rms", tmp_path / "less", aggregate="uncertainty", penalty=2, head=1)
    assert scores(tmp_path / "less") == pytest.approx(each[:, 1].mean(0) - 2 * each[:, 1].std(0), abs=1e-4)
    for wrong, words in (
        ({"aspect_weights": {"funny": 1}}, r"has no funny \(it has: kind, safe\)"),
        ({"aspect_weights": {"kind": 1}, "head": 0}, "give one of the two"),
        ({"penalty": 2}, "is for --aggregate uncertainty"),
    ):
        with pytest.raises(prefdata.UsageError, match=words):
            measured(data, tmp_path / "rms", **wrong)
    with pytest.raises(prefdata.UsageError, match="is one model"):
        measured(data, tmp_path / "rms" / "0", aggregate="min")
    config = tmp_path / "rms" / "0" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": str(tmp_path / "gone")}))
    with pytest.raises(prefdata.UsageError, match=r"no folder here; merge it into its base first .*--merge"):
        measured(data, tmp_path / "rms" / "0")


def test_what_is_not_scored_is_counted(tmp_path: Path) -> None:
    """A pair that is too long, one whose texts are the same tokens, and one with a word that the model has no number for."""
    folder = classifier(tmp_path / "rm")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    model.model.embed_tokens.weight.data[words.convert_tokens_to_ids("fox")] = float("nan")
    model.save_pretrained(folder)
    rows = [*[pair(f"dog {i}", "cat", prompt="why") for i in range(3)], pair("dog " * 100, "cat"), pair("fox", "cat")]
    rows.append(pair("dog", "dog", prompt="P") | {"rejected": [{"role": "assistant", "content": "dog", "name": "b"}]})
    result = measured(write(tmp_path / "in.jsonl", rows), folder, tmp_path / "out", max_length=80)
    assert result.counts["dropped"] == {"equal-completions": 1, "not-a-number": 1, "too-long": 1}
    assert (result.counts["read"], result.counts["kept"]) == (6, 3)
    assert pl.read_parquet(tmp_path / "out" / "scores.parquet")["record"].to_list() == [1, 2, 3]
    assert "too-long, longer than the model takes, or than --max-length" in result.text()
    assert measured(str(tmp_path / "in.jsonl"), folder, limit=2).counts["read"] == 2


def test_from_python(tmp_path: Path) -> None:
    result = prefdata.eval_rm(write(tmp_path / "in.jsonl", texts(5)), model=str(classifier(tmp_path / "rm")), min_accuracy=1.0)
    assert result.out is None
    assert result.exit_code == int(result.figures["accuracy"]["value"] < 1)
    with pytest.raises(prefdata.UsageError, match="modl: unknown option; did you mean model"):
        prefdata.eval_rm("x.jsonl", modl="rm")
