"""Each record's texts, read from the exported rows by the rule of the trainer's loader, are those of the record: for all real samples and
for any text. The loaders themselves run in `make test-consumers`; here stand their rules, with the file that states them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.conversion.options import ConvertOptions
from prefdata.conversion.run import convert
from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import export
from prefdata.schema.dtypes import TURNS
from prefdata.schema.ids import add_ids
from tests.strategies import pairs

Texts = tuple[list[tuple[str, str]], str, str]
SETS = [
    "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz",
    "llmbar/Adversarial_Neighbor.dataset.json",
    "tulu1_human_eval/annotations_part.csv.gz",
    "pku_layout_derived/pku_saferlhf_layout.jsonl",
    "oasst_trees/en_trees_part.jsonl.gz",
]


def turns(messages: list[dict[str, str]], role: str = "role", content: str = "content") -> list[tuple[str, str]]:
    return [(m[role], m[content]) for m in messages]


def sharegpt(row: Any) -> Texts:
    """LLaMA-Factory 0.9.5, data/converter.py, SharegptDatasetConverter: leading system apart, then human and gpt in turn, odd in number."""
    names = {"system": "system", "human": "user", "gpt": "assistant"}
    found = [(names[r], t) for r, t in turns(row["conversations"], "from", "value")]
    talk = found[1:] if found[0][0] == "system" else found
    assert len(talk) % 2 == 1
    assert all(r == ("user", "assistant")[i % 2] for i, (r, _) in enumerate(talk))
    return found, row["chosen"]["value"], row["rejected"]["value"]


def alpaca(row: Any) -> Texts:
    """LLaMA-Factory 0.9.5, AlpacaDatasetConverter: history, then instruction and input joined by a line break where input is not empty."""
    old = [m for question, answer in row["history"] for m in (("user", question), ("assistant", answer))]
    question = "\n".join(t for t in (row["instruction"], row["input"]) if t)
    system = [("system", row["system"])] if row["system"] else []
    return [*system, *old, ("user", question)], row["chosen"], row["rejected"]


def whole(row: Any) -> Texts:
    """OpenRLHF 0.11.2, datasets/reward_dataset.py: `chosen[:-1]` is the prompt; torchtune 0.6.1 takes the same rows."""
    assert row["chosen"][:-1] == row["rejected"][:-1]
    return turns(row["chosen"][:-1]), row["chosen"][-1]["content"], row["rejected"][-1]["content"]


def axolotl(row: Any) -> Texts:
    return turns(row["messages"]), row["chosen"], row["rejected"]


def nemo(row: Any) -> Texts:
    """NeMo-RL 7ea279a, data/processors.py, preference_preprocessor: exactly two completions, the lower rank is preferred."""
    first, second = sorted(row["completions"], key=lambda c: c["rank"])
    assert first["rank"] < second["rank"]
    return turns(row["context"]), first["completion"][0]["content"], second["completion"][0]["content"]


def halos(row: Any) -> Texts:
    """HALOs 4831988, train/data.py, get_feedback: label 1 means that output_A is better."""
    a, b = row["output_A"][0]["content"], row["output_B"][0]["content"]
    return turns(row["prompt"]), *((a, b) if row["label"] == 1 else (b, a))


def swift(row: Any) -> Texts:
    """ms-swift 4.6.0, template/template_inputs.py: the rejected conversation is `messages` with its end replaced."""
    return turns(row["messages"][:-1]), row["messages"][-1]["content"], row["rejected_response"]


RULES: list[tuple[str, str, Callable[[Any], Texts]]] = [
    ("llama-factory", "sharegpt", sharegpt),
    ("llama-factory", "alpaca", alpaca),
    ("openrlhf", "preference", whole),
    ("axolotl", "dpo", axolotl),
    ("nemo-rl", "ranked", nemo),
    ("torchtune", "preference", whole),
    ("halos", "pairwise", halos),
    ("ms-swift", "preference", swift),
]


def rows_of(folder: Path) -> list[Any]:
    if (folder / "train.json").exists():
        return list(json.loads((folder / "train.json").read_bytes()))
    with open(folder / "train.jsonl", encoding="utf-8", newline="\n") as f:
        return [json.loads(line) for line in f]


def texts_of(df: pl.DataFrame) -> list[Texts]:
    return [(turns(r["prompt"]), r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in df.to_dicts()]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("samples")
    parts = []
    for i, name in enumerate(SETS):
        convert([str(Path(__file__).parents[2] / "examples/data" / name)], str(folder / f"{i}.parquet"), ConvertOptions(to="pair"))
        parts.append(pl.read_parquet(folder / f"{i}.parquet", columns=["id", "prompt", "chosen", "rejected"]))
    df = pl.concat(parts)
    df.write_parquet(folder / "all.parquet")
    return folder / "all.parquet", df


@pytest.mark.parametrize(("to", "form", "rule"), RULES, ids=[f"{to}-{form}" for to, form, _ in RULES])
def test_real_records_are_read_as_they_are(
    samples: tuple[Path, pl.DataFrame], tmp_path: Path, to: str, form: str, rule: Callable[[Any], Texts]
) -> None:
    path, df = samples
    result = export(str(path), str(tmp_path / "out"), ExportOptions(to=to, form=form))
    found = [rule(row) for row in rows_of(tmp_path / "out")]
    if to == "axolotl":
        assert result.counts["dropped"] == {"edge-space": 6, "short-answer": 4}
        assert set(map(repr, found)) < set(map(repr, texts_of(df)))
    else:
        assert found == texts_of(df)
    assert len(found) == result.counts["kept"] == df.height - sum(result.counts["dropped"].values())


@settings(max_examples=60, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4), st.sampled_from([r for r in RULES if r[0] != "axolotl"]))
def test_any_text_is_read_as_it_is(rows: list[dict[str, Any]], target: tuple[str, str, Callable[[Any], Texts]]) -> None:
    to, form, rule = target
    sides = [{k: r[k] for k in ("prompt", "chosen", "rejected")} for r in rows]
    df = add_ids(pl.DataFrame(sides, schema={"prompt": TURNS, "chosen": TURNS, "rejected": TURNS}), "pair")
    with tempfile.TemporaryDirectory() as tmp:
        df.write_parquet(f"{tmp}/in.parquet")
        export(f"{tmp}/in.parquet", f"{tmp}/out", ExportOptions(to=to, form=form))
        assert [rule(row) for row in rows_of(Path(tmp, "out"))] == texts_of(df)


def template(turns: list[tuple[str, str]]) -> str:
    return "".join(f"<|im_start|>{role}\n{text.strip()}<|im_end|>\n" for role, text in turns)


def cut(answer: str) -> str:
    """axolotl 0.19.0, prompt_strategies/dpo/chat_template.py: the rendered dummy turn and answer, from the answer's first occurrence on."""
    text = template([("user", "[[dummy_message]]"), ("assistant", answer)])
    return text[text.find(answer) :].rstrip()


def test_axolotl_cuts_at_the_first_occurrence() -> None:
    """What happens to the rows that are refused, by a template that trims as that of Llama 3 does."""
    assert cut("A whole answer.") == "A whole answer.<|im_end|>"
    assert cut("a") == "art|>user\n[[dummy_message]]<|im_end|>\n<|im_start|>assistant\na<|im_end|>"
    assert cut(" yes") == ""


def common_characters(chosen: str, rejected: str) -> tuple[str, str, str]:
    """TRL 1.16, data_utils.py, extract_prompt: the longest common beginning, less a space at its end."""
    for i in range(min(len(chosen), len(rejected))):
        if chosen[i] != rejected[i]:
            i -= chosen[i - 1] == " "
            break
    return chosen[:i], chosen[i:], rejected[i:]


def test_trl_would_cut_an_implicit_prompt_inside_a_word(samples: tuple[Path, pl.DataFrame], tmp_path: Path) -> None:
    """Why no form writes texts without their prompt. The line break before the answers would go to the prompt, and much more with it."""
    assert common_characters("The sky is blue.", "The sky is black.") == ("The sky is bl", "ue.", "ack.")
    path, _ = samples
    export(str(path), str(tmp_path / "out"), ExportOptions(to="trl", form="standard"))
    words = inside = 0
    rows = rows_of(tmp_path / "out")
    for row in rows:
        assert set(row) == {"prompt", "chosen", "rejected"}
        prompt, chosen, _ = common_characters(row["prompt"] + row["chosen"], row["prompt"] + row["rejected"])
        taken = prompt[len(row["prompt"]) + 1 :]
        words += taken != ""
        inside += taken[-1:].isalnum() and chosen[:1].isalnum()
    assert (len(rows), words, inside) == (2062, 773, 133)
