"""Adapters: what their reference is, which gradients are on, and what the saved folder gives back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from prefdata.errors import UsageError
from prefdata.train import adapters
from prefdata.train.load import load_model, starting_model
from prefdata.train.run import train
from prefdata.train.store import Store, load_table
from tests.checks.build import write
from tests.train import tiny
from tests.train.build import WORDS, answer_logps, lines, options, pairs

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.saved(tmp_path_factory.mktemp("base"), WORDS, hidden=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("data") / "in.jsonl", pairs(16))


@pytest.fixture(scope="module")
def adapter(base: str, data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained adapter: what SFT would leave."""
    out = tmp_path_factory.mktemp("adapter")
    train("sft", [data], str(out), options(base, lora=4, epochs=2, learning_rate=1e-2))
    return str(out)


def store_in(out: Path) -> Store:
    return Store(load_table(str(next((out / "cache").glob("tokens-*.arrow")))))


def gradients(model: Any) -> dict[str, set[bool]]:
    """`requires_grad` of the parameters of each adapter and of the base."""
    out: dict[str, set[bool]] = {}
    for name, p in model.named_parameters():
        owner = next((a for a in (adapters.POLICY, adapters.REFERENCE) if f".{a}." in name), "base")
        out.setdefault(owner, set()).add(p.requires_grad)
    return out


def test_a_fresh_adapter_learns_beside_the_base(base: str, data: str, tmp_path: Path) -> None:
    """The reference is the base, from its own key: a training of all weights finds it in the cache."""
    out = tmp_path / "out"
    result = train("dpo", data, str(out), options(base, lora=4, epochs=3, learning_rate=1e-2))
    found = lines(out)
    assert found[0]["loss"] == pytest.approx(0.693147, abs=1e-5) and found[0]["rewards/accuracies"] == 0.5
    assert found[-1]["loss"] < 0.68 and result.steps == 6
    plain = AutoModelForCausalLM.from_pretrained(base)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), out)
    store = store_in(out)
    gap = answer_logps(tuned, store) - answer_logps(plain, store)
    assert result.metrics["rewards/margins"] > 0.1  # of the last step, before its weights moved
    assert float(0.1 * (gap[:, 0] - gap[:, 1]).mean()) > result.metrics["rewards/margins"] * 0.8
    kept = list((out / "cache").glob("reference-*"))
    train("dpo", data, str(out), options(base, epochs=1, force=True))
    assert list((out / "cache").glob("reference-*")) == kept


def test_a_trained_adapter_is_its_own_reference(base: str, adapter: str, data: str, tmp_path: Path) -> None:
    """Not the base: the loss begins at ln 2, and the cached log-probs are the adapter's, by the model's own forward."""
    out = tmp_path / "out"
    train("dpo", data, str(out), options(adapter, epochs=2))
    found = lines(out)
    assert found[0]["loss"] == pytest.approx(0.693147, abs=1e-5) and found[-1]["loss"] < found[0]["loss"]
    store = store_in(out)
    before = answer_logps(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter), store)
    of_base = answer_logps(AutoModelForCausalLM.from_pretrained(base), store)
    kept = load_table(str(next((out / "cache").glob("reference-*.arrow")))).column("logps").to_pylist()
    sums = torch.tensor([[sum(tokens) for tokens in row] for row in kept], dtype=torch.float64)
    assert torch.allclose(sums, before, atol=1e-4) and float((sums - of_base).abs().min()) > 0.1
    names = {p.name for p in out.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not names & {"dpo", "reference", "model.safetensors"}


def test_the_saved_adapter_gives_the_trained_log_probs(base: str, adapter: str, data: str, tmp_path: Path) -> None:
    """peft loads the folder onto the base; its log-probs are those that training logged last, one step before, and move on from there."""
    out = tmp_path / "out"
    result = train("dpo", data, str(out), options(adapter, epochs=1, max_steps=1, batch=16, merge=True, eval_data=data))
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), out)
    assert list(tuned.peft_config) == ["default"]
    store = store_in(out)
    found, before = answer_logps(tuned, store), answer_logps(load_model(adapter, head="lm", dtype=torch.float32), store)
    rewards = 0.1 * (found - before)
    assert result.eval["eval_rewards/chosen"] == pytest.approx(float(rewards[:, 0].mean()), abs=1e-4)
    assert result.eval["eval_rewards/rejected"] == pytest.approx(float(rewards[:, 1].mean()), abs=1e-4)
    assert abs(result.eval["eval_rewards/margins"]) > 1e-3
    merged = AutoModelForCausalLM.from_pretrained(out / "merged")
    assert torch.allclose(answer_logps(merged, store), found, atol=1e-4)
    assert not (out / "merged" / "adapter_config.json").exists() and (out / "merged" / "tokenizer.json").exists()


def test_two_named_adapters(base: str, adapter: str, data: str, tmp_path: Path) -> None:
    """`--reference` names another adapter of the same base: both lie beside each other, and only the policy's is saved."""
    other = tmp_path / "other"
    train("dpo", data, str(other), options(adapter, epochs=1))
    out = tmp_path / "out"
    train("dpo", data, str(out), options(str(other), reference=adapter, epochs=1))
    first = lines(out)[0]
    store = store_in(out)
    policy, reference = (answer_logps(load_model(f, head="lm", dtype=torch.float32), store) for f in (str(other), adapter))
    assert first["loss"] < 0.693  # the policy has learnt already
    line_rows = 0.1 * (policy - reference)
    assert lines(out)[0]["rewards/margins"] == pytest.approx(float((line_rows[:, 0] - line_rows[:, 1]).mean()), abs=0.2)
    # the base as the reference of an adapter: the adapter switched off, no second model
    on_base = tmp_path / "on-base"
    train("dpo", data, str(on_base), options(adapter, reference=base, batch=16, epochs=1))
    gap = 0.1 * (reference - answer_logps(AutoModelForCausalLM.from_pretrained(base), store))
    assert lines(on_base)[0]["rewards/chosen"] == pytest.approx(float(gap[:, 0].mean()), abs=1e-4)


def test_gradients_stay_where_they_belong(base: str, adapter: str) -> None:
    """Through every switch: of the reference never on, of the policy never off, of the base off."""
    model = starting_model(options(adapter), head="lm")
    right = {adapters.POLICY: {True}, adapters.REFERENCE: {False}, "base": {False}}
    assert set(model.peft_config) == {"dpo", "reference"} and gradients(model) == right
    with adapters.as_reference(model, options(adapter)) as other:
        assert other.active_adapter == "reference" and gradients(model) == right
    assert model.active_adapter == "dpo" and gradients(model) == right
    with pytest.raises(RuntimeError), adapters.as_reference(model, options(adapter)):
        raise RuntimeError
    assert model.active_adapter == "dpo" and gradients(model) == right
    adapters.forget_reference(model)
    assert set(model.peft_config) == {"dpo"} and gradients(model) == {adapters.POLICY: {True}, "base": {False}}
    fresh = adapters.with_lora(load_model(base, head="lm", dtype=torch.float32), options(base, lora=4), "lm")
    assert gradients(fresh) == {adapters.POLICY: {True}, "base": {False}}


def test_alpha_is_part_of_the_reference(adapter: str, data: str, tmp_path: Path) -> None:
    """It scales the answers and is no weight: another one is another reference."""
    out = tmp_path / "out"
    train("dpo", data, str(out), options(adapter, max_steps=1))
    path = Path(adapter) / "adapter_config.json"
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), "lora_alpha": 3}))
    try:
        train("dpo", data, str(out), options(adapter, max_steps=1, force=True))
        assert lines(out)[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
        assert len(list((out / "cache").glob("reference-*"))) == 2
    finally:
        path.write_bytes(before)


def test_resumed(adapter: str, data: str, tmp_path: Path) -> None:
    """A training of an adapter that goes on from a checkpoint ends with the same weights."""
    for name in ("whole", "cut"):
        train("dpo", data, str(tmp_path / name), options(adapter, max_steps=2 if name == "cut" else 4, epochs=2, save_every=1))
    result = train("dpo", data, str(tmp_path / "cut"), options(adapter, max_steps=4, epochs=2, save_every=1))
    assert result.resumed_at == 2
    a, b = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert a == b


def test_gradient_checkpointing_changes_nothing(base: str, data: str, tmp_path: Path) -> None:
    for name in ("on", "off"):
        train("dpo", data, str(tmp_path / name), options(base, lora=4, max_steps=2, gradient_checkpointing=name))
    a, b = ([x["grad_norm"] for x in lines(tmp_path / name)] for name in ("on", "off"))
    assert a == pytest.approx(b, rel=1e-4) and a[0] > 0


def test_a_reward_model_keeps_its_head(base: str, data: str, tmp_path: Path) -> None:
    """The head is trained and saved with the adapter, and goes on learning from there."""
    out = tmp_path / "rm"
    result = train("rm", data, str(out), options(base, lora=4, epochs=2, eval_data=data, merge=True))
    assert result.eval["eval_accuracy"] > 0.9
    torch.manual_seed(123)
    model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base, num_labels=1), out).eval()
    merged = AutoModelForSequenceClassification.from_pretrained(out / "merged").eval()
    assert json.loads((out / "config.json").read_text())["id2label"] == {"0": "LABEL_0"}
    group, margins = store_in(out), []
    for i in range(group.size):
        texts = [torch.tensor([[*group.group(i).prompt.tolist(), *c.tolist()]]) for c in group.group(i).completions]
        with torch.no_grad():
            scores = [float(model(input_ids=t).logits) for t in texts]
            assert scores == pytest.approx([float(merged(input_ids=t).logits) for t in texts], abs=1e-4)
        margins.append(scores[0] - scores[1])
    assert sum(margins) / len(margins) == pytest.approx(result.eval["eval_margin"], abs=1e-3)
    again = train("rm", data, str(tmp_path / "again"), options(str(out), max_steps=1, batch=16))
    assert again.metrics["margin"] == pytest.approx(result.eval["eval_margin"], abs=1e-3)


def test_what_cannot_be(base: str, adapter: str, data: str, tmp_path: Path) -> None:
    """One message with every contradiction; what is not there is said by name."""
    out = str(tmp_path / "out")
    with pytest.raises(UsageError, match="fresh adapter") as e:
        train("dpo", data, out, options(adapter, lora=4, aspects="helpful"))
    assert "--aspects, --ensemble and --center are for reward models, not for dpo" in str(e.value)
    for more, words in (({"merge": True}, "--merge merges"), ({"load_4bit": True}, "add --lora 16"), ({"base": base}, "--base is for")):
        with pytest.raises(UsageError, match=words):
            train("dpo", data, out, options(base, **more))
    with pytest.raises(UsageError, match="--load-4bit needs a GPU" if not torch.cuda.is_available() else ""):
        train("dpo", data, out, options(base, lora=4, load_4bit=True))
    with pytest.raises(UsageError, match="an adapter for CAUSAL_LM, and SEQ_CLS is trained"):
        train("rm", data, out, options(adapter))
    for name, key, value, words in (
        ("ia3", "peft_type", "IA3", "only LoRA adapters"),
        ("bias", "bias", "all", "trains biases"),
        ("lost", "base_model_name_or_path", "/nowhere/base", "say where it is with --base"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        said = json.loads((Path(adapter) / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**said, key: value}))
        (folder / "adapter_model.safetensors").write_bytes((Path(adapter) / "adapter_model.safetensors").read_bytes())
        with pytest.raises(UsageError, match=words):
            train("dpo", data, out, options(str(folder)))
    assert train("dpo", data, out, options(str(tmp_path / "lost"), base=base, max_steps=1)).steps == 1


def test_an_adapter_on_the_output_layer_is_refused(base: str, data: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path / "head", save_embedding_layers=False)
    with pytest.raises(UsageError, match="an adapter on the output layer"):
        train("dpo", data, str(tmp_path / "out"), options(str(tmp_path / "head")))
