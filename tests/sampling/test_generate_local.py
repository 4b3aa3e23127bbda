"""Local policies: tiny models answer here. What they write does not depend on batch, order or a kill; the prompt is the template's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: E402

from prefdata.errors import InputError, UsageError  # noqa: E402
from prefdata.sampling.generate_options import GenerateOptions  # noqa: E402
from prefdata.sampling.local import Job, Local, LocalStats, end_tokens  # noqa: E402
from prefdata.sampling.policies import policies_of  # noqa: E402
from prefdata.tokens.tokenizer import load  # noqa: E402
from tests.judges.scripted import scripted  # noqa: E402
from tests.sampling.generating import Row, about, balanced, checked, lines, prompts, run, sampled, texts, written  # noqa: E402
from tests.train.tiny import saved  # noqa: E402

WORDS = ["Question: why is this so very {this}?", "Be kind.", "Hello! And now?"] * 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.set_num_threads(1)
    return saved(tmp_path_factory.mktemp("models") / "tiny", WORDS, hidden=32)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return written(tmp_path / "p.jsonl", prompts(9))


def policy(folder: str, **more: Any) -> dict[str, Any]:
    return {"policy": f"hf:{folder}", "max_tokens": 12, "n": 2, **more}


def test_nothing_depends_on_the_batch(folder: str, data: str, tmp_path: Path) -> None:
    """The same bytes with batches of 1, 5 and 64; in another order and among other prompts every prompt has the same candidates. More
    samples keep the first ones, and only the others are generated."""
    outs = {}
    for size in (1, 5, 64):
        result = run(data, tmp_path / f"{size}.jsonl", **policy(folder), batch_size=size)
        balanced(result)
        outs[size] = (tmp_path / f"{size}.jsonl").read_bytes()
    assert len(set(outs.values())) == 1
    rows = checked(tmp_path / "1.jsonl")
    assert len(rows) == 9
    assert len({t for r in rows for t in texts(r)}) > 12
    assert {a["annotator"] for r in rows for a in r["annotations"]} == {"hf:tiny"}

    other = written(tmp_path / "other.jsonl", [*reversed(prompts(12)[4:]), {"prompt": [{"role": "user", "content": "x " * 50}]}])
    run(other, tmp_path / "other-out.jsonl", **policy(folder), batch_size=7)
    both = {json.dumps(r["prompt"]): r for r in checked(tmp_path / "other-out.jsonl")}
    assert all(both[json.dumps(r["prompt"])] == r for r in rows[4:])

    more = run(data, tmp_path / "more.jsonl", **policy(folder, n=5), journal=str(tmp_path / "5.jsonl.journal"))
    assert more.local["answers"] == 9 * 3
    assert [texts(r)[:2] for r in checked(tmp_path / "more.jsonl")] == [texts(r) for r in rows]


def test_greedy_answers_are_the_models_own(folder: str, data: str, tmp_path: Path) -> None:
    """At temperature 0: the argmax, token by token, of whole forward passes over unpadded ids that transformers' own template gives."""
    result = run(data, tmp_path / "out.jsonl", **policy(folder, n=4), temperature=0)
    assert result.warnings == ["hf:tiny: at temperature 0 all 4 answers would be the same; one is asked for"]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    for row in checked(tmp_path / "out.jsonl"):
        ids = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
        new: list[int] = []
        while len(new) < 12 and (not new or new[-1] != 1):
            with torch.inference_mode():
                new.append(int(model(torch.cat([ids, torch.tensor([new], dtype=torch.long)], 1)).logits[0, -1].argmax()))
        assert texts(row) == [tokenizer.decode([t for t in new if t != 1], skip_special_tokens=True)]
        assert list(about(row, "finish_reason").values()) == ["stop" if new[-1] == 1 else "length"]


def test_frequencies_of_samples(folder: str, tmp_path: Path) -> None:
    """1,500 one-token answers from the five likeliest tokens: chi-square against the model's softmax below the 99.9 % point. (Tokens that
    are a part of a character look alike, so they are counted together.)"""
    prompt = [{"role": "user", "content": "Why?"}]
    data = written(tmp_path / "p.jsonl", [{"prompt": prompt}])
    options: dict[str, Any] = {"max_tokens": 1, "n": 1500, "top_k": 5, "temperature": 0.5, "batch_size": 500}
    run(data, tmp_path / "out.jsonl", **{**policy(folder), **options})
    (row,) = checked(tmp_path / "out.jsonl")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        given = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        top = model(given["input_ids"]).logits[0, -1].double().topk(5)
    said = [tokenizer.decode([int(t)]) for t in top.indices]
    text = {c["id"]: c["messages"][0]["content"] for c in row["completions"]}
    counts = Counter(text[a["completions"][0]] for a in row["annotations"])
    expected: Counter[str] = Counter()
    for t, p in zip(said, torch.softmax(top.values / 0.5, -1).tolist(), strict=True):
        expected[t] += 1500 * p
    assert set(counts) <= set(expected)
    assert sum((counts[t] - e) ** 2 / e for t, e in expected.items()) < {3: 13.82, 4: 16.27, 5: 18.47}[len(expected)]


BOS_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def with_template(folder: str, to: Path, template: str, **special: str) -> str:
    """The model with another chat template and other special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, token in special.items():
        setattr(tokenizer, name, token)
    tokenizer.chat_template = template
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(to)
    tokenizer.save_pretrained(to)
    return str(to)


def test_the_prompt_is_what_the_template_writes(folder: str, tmp_path: Path) -> None:
    """One BOS where the template writes one, though the tokenizer would add its own; and an answer ends at the template's end of a turn,
    which is no EOS here."""
    place = with_template(folder, tmp_path / "bos", BOS_TEMPLATE, bos_token="<|system|>", eos_token="<|pad|>")
    tokenizer = AutoTokenizer.from_pretrained(place)
    (p,) = policies_of(GenerateOptions(policy=[f"hf:{place}"], n=1)).all
    local = Local(p, 4, LocalStats())
    given = [r["prompt"] for r in prompts(4)]
    found = list(local._prompts([Job(turns, None, []) for turns in given]))
    assert found == [tokenizer.apply_chat_template(t, add_generation_prompt=True, return_dict=True)["input_ids"] for t in given]
    bos = tokenizer.convert_tokens_to_ids("<|system|>")
    assert [ids[:2].count(bos) for ids in found if ids] == [1, 1, 2, 1]  # the third prompt has a system turn
    assert end_tokens(load(place)) == {tokenizer.convert_tokens_to_ids(t) for t in ("<|pad|>", "<|end|>")}
    assert end_tokens(load(folder)) == {1}


def test_stop_texts_end_an_answer(folder: str, data: str, tmp_path: Path) -> None:
    """A text that a policy was going to write, from the middle of an answer: the answers are those of before, cut there."""
    run(data, tmp_path / "whole.jsonl", **policy(folder))
    before = [t for r in checked(tmp_path / "whole.jsonl") for t in texts(r)]
    word = next(t[i : i + 3] for t in before for i in range(4, len(t) - 3) if "�" not in t[i : i + 3])
    file = tmp_path / "policies.yaml"
    file.write_text(json.dumps({"policies": [{"policy": f"hf:{folder}", "stop": [word, "never that"]}]}))
    options = policy(folder) | {"policy": []}
    result = run(data, tmp_path / "out.jsonl", **options, policies=str(file), seed=0)
    assert result.policies[0]["stop"] == [word, "never that"]
    assert all(word not in t for r in checked(tmp_path / "out.jsonl") for t in texts(r))
    greedy = {"temperature": 0.0, "n": 1, "max_tokens": 30}
    run(data, tmp_path / "g.jsonl", **policy(folder) | greedy)
    first = checked(tmp_path / "g.jsonl")[0]
    (text,) = texts(first)
    stop = next(text[i : i + 4] for i in range(3, len(text) - 4) if "�" not in text[i : i + 4])
    run(data, tmp_path / "gs.jsonl", **policy(folder) | greedy, stop=stop)
    cut = checked(tmp_path / "gs.jsonl")[0]
    assert texts(cut) == [text[: text.index(stop)]]
    assert list(about(cut, "finish_reason").values()) == ["stop"]


def test_what_a_model_cannot_answer(folder: str, tmp_path: Path) -> None:
    """A prompt longer than the context, and one that the template refuses, are dropped by name; what room is left is used."""
    template = BOS_TEMPLATE.replace(
        "{{ bos_token }}", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    place = with_template(folder, tmp_path / "short", template)
    config = tmp_path / "short" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 40}))
    size = len(AutoTokenizer.from_pretrained(place)("x" * 30)["input_ids"]) + 2
    rows: list[Row] = [{"prompt": "x" * 30}, {"prompt": "x" * 60}, {"prompt": "Hi", "system": "Be kind."}]
    result = run(written(tmp_path / "p.jsonl", rows), tmp_path / "out.jsonl", **policy(place, max_tokens=20))
    balanced(result)
    assert result.answers["hf:short"]["dropped"] == {"context-length": 2, "template": 2}
    assert [(r["why"], r["prompt"][-1]["content"]) for r in lines(result.dropped)] == [("context-length", "x" * 60), ("template", "Hi")]
    assert result.answers["hf:short"]["cost"]["tokens_out"] == 2 * (40 - size)
    assert result.exit_code == 1


def test_memory_that_runs_out(folder: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is halved until it fits, and nothing is lost or changed; when one answer alone does not fit, that is said."""
    run(data, tmp_path / "whole.jsonl", **policy(folder))
    real, sizes, most = LlamaForCausalLM.generate, [], 4

    def limited(self: Any, input_ids: Any, **options: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(self, input_ids=input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", limited)
    result = run(data, tmp_path / "out.jsonl", **policy(folder), batch_size=16)
    assert sizes == [16, 8, 4, 4, 4, 4, 2]
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert result.local["answers"] == 18
    most = 0
    with pytest.raises(InputError, match=r"one answer alone \(\d+ tokens\) does not fit"):
        run(data, tmp_path / "none.jsonl", **policy(folder))


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from transformers import LlamaForCausalLM
real, calls = LlamaForCausalLM.generate, []
def deadly(self, **options):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, **options)
LlamaForCausalLM.generate = deadly
from prefdata.cli.main import main
main()
"""


def test_killed_and_started_again(folder: str, data: str, tmp_path: Path) -> None:
    """SIGKILL in the fourth batch: the three before it are kept, the rest is generated, and the output is that of a whole run."""
    run(data, tmp_path / "whole.jsonl", **policy(folder))
    out = tmp_path / "out.jsonl"
    given = ["generate", data, "-o", str(out), "--policy", f"hf:{folder}", "--max-tokens", "12", "-n", "2", "--batch-size", "4"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *given], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    dry = run(data, out, **policy(folder), dry_run=True)
    assert (dry.local_answers, dry.calls) == (6, 0)
    assert dry.lines()[-1] == "  on this machine: 6 answers, free of charge"
    part = run(data, tmp_path / "part.jsonl", **policy(folder), offline=True, journal=f"{out}.journal")
    assert (part.unanswered, part.exit_code) == (6, 1)
    result = run(data, out, **policy(folder))
    assert (result.local["answers"], result.exit_code, result.spent["calls"]) == (6, 0, 0)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert run(data, out, **policy(folder)).up_to_date


def test_servers_and_local_models_in_one_run(folder: str, data: str, tmp_path: Path) -> None:
    with scripted(sampled) as server:
        result = run(data, tmp_path / "out.jsonl", **policy(folder) | {"policy": ["m", f"hf:{folder}"]}, base_url=server.url, iteration=3)
    balanced(result)
    found = Counter(tuple(c["model"] for c in r["completions"]) for r in checked(tmp_path / "out.jsonl"))
    assert found.most_common(1)[0][0] == ("m@3",) * 2 + ("hf:tiny@3",) * 2
    assert {models[:2] for models in found} == {("m@3",) * 2}  # a model that was never trained may also answer nothing
    assert (result.run["calls"], result.local["answers"]) == (18, 18)
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    one, two = manifest["policies"]
    assert (one["model"], two["folder"], two["iteration"]) == ("m", folder, 3)
    assert len(two["sha256"]) == 64


def test_another_model_is_another_answer(folder: str, data: str, tmp_path: Path) -> None:
    """The journal knows a model by its files: new weights under the same name are asked anew, also those of an adapter's base."""
    place = with_template(folder, tmp_path / "m", (Path(folder) / "chat_template.jinja").read_text())
    options = policy(place, journal=str(tmp_path / "journal"))
    run(data, tmp_path / "1.jsonl", **options)
    model = AutoModelForCausalLM.from_pretrained(place)
    with torch.no_grad():
        model.lm_head.weight.neg_()
    model.save_pretrained(place)
    result = run(data, tmp_path / "2.jsonl", **options)
    assert result.local["answers"] == 18
    assert (tmp_path / "1.jsonl").read_bytes() != (tmp_path / "2.jsonl").read_bytes()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # peft asks transformers for it
def test_an_adapter_answers_as_its_base_with_it(folder: str, data: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    adapted.save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "adapter")
    merged = adapted.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "merged")
    said = []
    for place in (folder, str(tmp_path / "adapter"), str(tmp_path / "merged")):
        out = tmp_path / f"{Path(place).name}.jsonl"
        run(data, out, **policy(place), temperature=0)
        said.append([texts(r) for r in checked(out)])
    assert said[0] != said[1] == said[2]


def test_folders_that_cannot_be_used(folder: str, data: str, tmp_path: Path) -> None:
    def refused(words: str, change: dict[str, Sequence[Any] | str] | None = None, without: str | None = None) -> None:
        place = with_template(folder, tmp_path / words[:5], "{{ messages }}")
        config = Path(place) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | (change or {})))
        if without:
            (Path(place) / without).unlink()
        with pytest.raises(UsageError, match=words):
            run(data, tmp_path / "out.jsonl", **policy(place))

    refused("names code of its own", {"auto_map": "x"})
    refused("a sequence classifier", {"architectures": ["LlamaForSequenceClassification"]})
    refused("safetensors", without="model.safetensors")
    refused("no tokenizer.json", without="tokenizer.json")
