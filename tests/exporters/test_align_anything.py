"""align-anything: what its own loader, re-stated here, makes of the files; and the template and launchers run as they are."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefdata.exporters.options import ExportOptions
from prefdata.exporters.run import ExportResult, export
from prefdata.exporters.targets.align_anything import ascii_rows
from prefdata.readers import inspect
from tests.conftest import Convert

SETS = (
    "pku_layout_derived/pku_saferlhf_layout.jsonl",
    "hh_rlhf_harmless/harmless_base_test_part.jsonl.gz",
    "tulu1_human_eval/annotations_part.csv.gz",
    "oasst_trees/en_trees_part.jsonl.gz",
    "llmbar/Adversarial_Neighbor.dataset.json",
)
HARD = 'a\u2028b\x85c\x00\x1f "q" \\ \n\t\U0001f600 é 漢\ufeff'


def exported(df: pl.DataFrame, folder: Path, **options: Any) -> tuple[Path, ExportResult]:
    df.write_parquet(folder / "records.parquet")
    out = folder / options.pop("out", "out")
    return out, export(str(folder / "records.parquet"), str(out), ExportOptions(to="align-anything", **options))


def loaded(path: Path, encoding: str = "ascii") -> list[dict[str, Any]]:
    """PreferenceDataset.__init__ (align_anything/datasets/text_to_text/preference.py, 3f9decc) for a path that ends in jsonl."""
    assert str(path).endswith("jsonl") and not str(path).endswith("json")
    with open(path, encoding=encoding) as f:
        return [json.loads(line) for line in f.readlines()]


def pku_template(row: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, str]]:
    """PKUSafeRLHF.format_preference_sample (align_anything/configs/format_dataset.py, 3f9decc)."""
    better = int(row["better_response_id"])
    worse = 1 - better
    if better not in (0, 1):
        raise ValueError("better_response_id must be 0 or 1")
    texts = {"better_response": row[f"response_{better}"], "worse_response": row[f"response_{worse}"]}
    sides = ([{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": t}] for t in texts.values())
    return next(sides), next(sides), texts


@pytest.fixture
def template() -> Iterator[Callable[[Path], Any]]:
    """`template(folder)` imports prefdata_template.py of a folder, with the two names of align_anything that it needs."""
    registered: dict[str, type] = {}
    parts = ("align_anything", "align_anything.configs", "align_anything.configs.format_dataset", "align_anything.utils")
    stubs = {name: types.ModuleType(name) for name in (*parts, "align_anything.utils.template_registry")}
    stubs["align_anything.configs.format_dataset"].BaseFormatter = type("BaseFormatter", (), {})  # type: ignore[attr-defined]

    def register_template(name: str) -> Callable[[type], type]:
        return lambda cls: registered.setdefault(name, cls)

    stubs["align_anything.utils.template_registry"].register_template = register_template  # type: ignore[attr-defined]
    sys.modules.update(stubs)

    def load(folder: Path) -> Any:
        code = compile((folder / "prefdata_template.py").read_text(), "prefdata_template.py", "exec")
        exec(code, {"__name__": "prefdata_template"})
        return registered["prefdata_conversation"]()

    yield load
    for name in stubs:
        del sys.modules[name]


@pytest.mark.parametrize("name", SETS)
def test_every_real_row_reads_back_through_the_built_in_template(
    real: Callable[[str], Path], run: Convert, tmp_path: Path, name: str
) -> None:
    df, _ = run(real(name), to="pair")
    out, result = exported(df, tmp_path)
    want = [r for r in df.to_dicts() if len(r["prompt"]) == 1 and r.get("p_chosen") != 0.5]
    rows = loaded(out / "train.jsonl")
    assert len(rows) == len(want) == result.counts["kept"]
    for row, record in zip(rows, want, strict=True):
        better, worse, meta = pku_template(row)
        assert better == [*_plain(record["prompt"]), *_plain(record["chosen"])]
        assert worse == [*_plain(record["prompt"]), *_plain(record["rejected"])]
        assert better != worse and meta["better_response"] == record["chosen"][0]["content"]
        assert type(row["better_response_id"]) is int and list(row) == ["prompt", "response_0", "response_1", "better_response_id"]
    assert inspect(str(out / "train.jsonl"), "align-anything").findings == []


@pytest.mark.parametrize("name", SETS)
def test_every_real_row_reads_back_through_the_written_template(
    real: Callable[[str], Path], run: Convert, tmp_path: Path, template: Callable[[Path], Any], name: str
) -> None:
    df, _ = run(real(name), to="pair")
    out, _ = exported(df, tmp_path, form="conversation")
    formatter = template(out)
    want = [r for r in df.to_dicts() if r.get("p_chosen") != 0.5]
    rows = loaded(out / "train.jsonl")
    assert len(rows) == len(want)
    for row, record in zip(rows, want, strict=True):
        better, worse, meta = formatter.format_preference_sample(row)
        assert better == _plain([*record["prompt"], *record["chosen"]])
        assert worse == _plain([*record["prompt"], *record["rejected"]])
        assert meta == {"better_response": record["chosen"][0]["content"], "worse_response": record["rejected"][0]["content"]}
    assert inspect(str(out / "train.jsonl"), "align-anything").findings == []


def _plain(turns: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"role": t["role"], "content": t["content"]} for t in turns]


def test_the_template_by_hand(run: Convert, tmp_path: Path, template: Callable[[Path], Any]) -> None:
    df, _ = run([_row([("system", "Be brief."), ("user", "2+2?")], "4", "5")])
    out, result = exported(df, tmp_path, form="conversation", split={})
    (row,) = loaded(out / "train.jsonl")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
    assert row == {"prompt": asked, "chosen": "4", "rejected": "5"}
    formatter = template(out)
    four, five = [*asked, {"role": "assistant", "content": "4"}], [*asked, {"role": "assistant", "content": "5"}]
    assert formatter.format_preference_sample(row) == (four, five, {"better_response": "4", "worse_response": "5"})
    assert formatter.format_prompt_only_sample(row) == (asked, {})
    assert formatter.format_supervised_sample(row) == (four, {})
    assert formatter.format_unmatched_supervised_sample({"prompt": asked}, {"chosen": "7"}) == (
        [*asked, {"role": "assistant", "content": "7"}],
        {},
    )
    with pytest.raises(KeyError):
        formatter.format_preference_sample({"prompt": asked, "chosen": "4"})
    assert result.exit_code == 0


def _row(turns: list[tuple[str, str]], chosen: str, rejected: str) -> dict[str, Any]:
    prompt = [{"role": r, "content": c} for r, c in turns]
    sides = {k: [{"role": "assistant", "content": t}] for k, t in (("chosen", chosen), ("rejected", rejected))}
    return {"prompt": prompt, **sides}


def test_launchers_register_first_and_then_run_the_trainer(run: Convert, tmp_path: Path) -> None:
    """In a child process, with modules that only say that they were imported."""
    df, _ = run([_row([("user", "2+2?")], "4", "5")])
    out, _ = exported(df, tmp_path, form="conversation")
    stubs = tmp_path / "stubs" / "align_anything"
    for folder in ("configs", "utils", "trainers/text_to_text"):
        (stubs / folder).mkdir(parents=True)
    (stubs / "configs" / "format_dataset.py").write_text("class BaseFormatter: pass\n")
    (stubs / "utils" / "template_registry.py").write_text("def register_template(n):\n    print('registered', n)\n    return lambda c: c\n")
    for trainer in ("dpo", "rm"):
        (stubs / "trainers" / "text_to_text" / f"{trainer}.py").write_text(f"def main():\n    print('{trainer} runs')\n    return 3\n")
        done = subprocess.run(
            [sys.executable, str(out / f"run_{trainer}.py"), "--local_rank=0"],
            env={"PYTHONPATH": str(tmp_path / "stubs")},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.returncode) == (f"registered prefdata_conversation\n{trainer} runs\n", 3)


def test_the_slot_is_drawn_by_content_and_seed(real: Callable[[str], Path], run: Convert, tmp_path: Path) -> None:
    df, _ = run(real("pku_layout_derived/pku_saferlhf_layout.jsonl"))
    texts = []
    for i, (frame, seed) in enumerate(((df, 0), (df, 0), (df.reverse(), 0), (df, 1))):
        out, _ = exported(frame, tmp_path, out=f"out{i}", seed=seed)
        texts.append((out / "train.jsonl").read_text().splitlines())
    first, again, reverse, other = texts
    assert first == again == reverse[::-1]
    assert first != other
    slots = [json.loads(line)["better_response_id"] for line in first]
    assert 0.45 < sum(slots) / len(slots) < 0.55


@pytest.mark.parametrize("form", ["pku", "conversation"])
def test_files_are_ascii_and_have_no_blank_lines(run: Convert, tmp_path: Path, form: str) -> None:
    df, _ = run([_row([("user", HARD)], HARD + "1", HARD + "2"), _row([("user", "plain")], "a", "b")])
    out, _ = exported(df, tmp_path, form=form)
    data = (out / "train.jsonl").read_bytes()
    assert data.isascii() and data.endswith(b"}\n") and b"\n\n" not in data and data.count(b"\n") == 2
    for encoding in ("ascii", "latin-1", "utf-8", "cp1252"):
        row = loaded(out / "train.jsonl", encoding)[0]
        assert (row["prompt"] if form == "pku" else row["prompt"][0]["content"]) == HARD


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_text_survives_the_escape(texts: list[str]) -> None:
    lines = ascii_rows(pl.DataFrame({"a": texts, "n": list(range(len(texts)))}))["_json"]
    assert all(line.isascii() and "\n" not in line for line in lines)
    assert [json.loads(line) for line in lines] == [{"a": t, "n": i} for i, t in enumerate(texts)]


def test_what_one_user_turn_cannot_say_is_left_out(run: Convert, tmp_path: Path) -> None:
    rows = [
        _row([("user", "one")], "a", "b"),
        _row([("system", "S"), ("user", "two")], "a", "b"),
        _row([("user", "q"), ("assistant", "r"), ("user", "three")], "a", "b"),
    ]
    df, _ = run(rows)
    _, result = exported(df, tmp_path)
    assert result.counts["dropped"] == {"multi-turn": 1, "system-prompt": 1}
    out, result = exported(df, tmp_path, out="merged", system="merge")
    assert result.counts["dropped"] == {"multi-turn": 1}
    assert [r["prompt"] for r in loaded(out / "train.jsonl")] == ["one", "S\n\ntwo"]


def test_the_command_names_the_files_and_quotes_them(run: Convert, tmp_path: Path) -> None:
    df, _ = run([_row([("user", f"q{i}")], "a", "b") for i in range(40)])
    out, _ = exported(df, tmp_path, out="it's $HOME", split={"test": 0.3}, model="org/a model")
    script = (out / "train.sh").read_text()
    assert subprocess.run(["sh", "-n", str(out / "train.sh")], check=False).returncode == 0
    words = shlex.split(script.split("deepspeed ", 1)[1])
    assert words[:4] == ["--master_port", "${MASTER_PORT:-29500}", "--module", "align_anything.trainers.text_to_text.$TRAINER"]
    options = dict(zip(words[words.index("--model_name_or_path") :: 2], words[words.index("--model_name_or_path") + 1 :: 2], strict=True))
    assert options == {
        "--model_name_or_path": "org/a model",
        "--train_template": "PKUSafeRLHF",
        "--train_datasets": str(out / "train.jsonl"),
        "--eval_template": "PKUSafeRLHF",
        "--eval_datasets": str(out / "test.jsonl"),
        "--output_dir": "trained-$TRAINER",
    }


@pytest.mark.parametrize(
    ("out", "model", "words"),
    [
        ("a,b", "m", "has a comma: align-anything takes it for a list of data sets"),
        ("rows_json", "m", "ends in 'json' or 'jsonl'"),
        ("new.jsonl", "m", "ends in 'json' or 'jsonl'"),
        ("out", "a,b", "the model a,b has a comma"),
    ],
)
def test_what_its_command_line_would_misread_is_said(run: Convert, tmp_path: Path, out: str, model: str, words: str) -> None:
    df, _ = run([_row([("user", "q")], "a", "b")])
    _, result = exported(df, tmp_path, out=out, model=model)
    assert [w for w in result.warnings if words in w] == result.warnings != []
    assert result.exit_code == 1


def test_no_rows(run: Convert, tmp_path: Path) -> None:
    df, _ = run([_row([("system", "S"), ("user", "q")], "a", "b")])
    out, result = exported(df, tmp_path)
    assert result.warnings == ["there is no row to train on"]
    assert not (out / "train.jsonl").exists()
