"""prefdata eval rm as a user meets it: exit codes, words about mistakes, the folder, and the page in a browser."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from prefdata.cli.main import build
from tests.browser import HOSTILE, Page, document, needs_browser
from tests.checks.build import binary, pair, write
from tests.evaluate.test_rm import WORDS, classifier, encoder, texts
from tests.train import tiny

torch.set_num_threads(1)


def called(*arguments: Any) -> Any:
    return CliRunner().invoke(build(["eval"]), ["eval", "rm", *map(str, arguments)])


@pytest.fixture(scope="module")
def rm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("models") / "rm")


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny.saved(tmp_path_factory.mktemp("models") / "lm", WORDS, hidden=32))


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write(tmp_path / "in.jsonl", texts(20))


def test_the_table_and_the_exit_codes(rm: Path, data: str) -> None:
    done = called(data, "--model", rm)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{rm}: sequence classifier, 20 pairs"
    for wanted in ("accuracy, ties half", "always the longer", "log loss", "best temperature", "AUC, across prompts", "(macro average)"):
        assert any(line.startswith(f"  {wanted}") for line in lines), wanted
    assert "records: read 20 = kept 20 + dropped 0; intervals hold 95 %" in lines
    said = json.loads(called(data, "--model", rm, "--json", "--by", "subset").stdout)
    assert said["figures"]["accuracy"]["n"] == 20
    assert said["by"]["name"] == "subset"
    value = said["figures"]["accuracy"]["value"]
    assert called(data, "--model", rm, "--min-accuracy", value, "-q").exit_code == 0
    below = called(data, "--model", rm, "--min-accuracy", value + 0.01)
    assert below.exit_code == 1
    assert "is below --min-accuracy" in below.stdout


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).unlink()
    return folder


def edited(folder: Path, **more: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | more))
    return folder


def headless(folder: Path) -> Path:
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("score")}, folder / "model.safetensors", {"format": "pt"})
    return folder


def garbled(folder: Path) -> Path:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    return folder


MISTAKES: list[tuple[Callable[[Path], Path], list[str], int, str]] = [
    (lambda f: f / "nowhere", [], 2, "no such folder; names of models are not looked up"),
    (lambda f: without(f, "config.json"), [], 2, "no config.json"),
    (lambda f: without(f, "model.safetensors"), [], 2, "has no .safetensors"),
    (lambda f: without(f, "tokenizer.json"), [], 2, "no folder with a tokenizer.json"),
    (lambda f: edited(f, auto_map={"AutoModel": "code.Model"}), [], 2, "names code of its own (auto_map)"),
    (lambda f: edited(f, architectures=["T5Model"]), [], 2, "neither a sequence classifier nor a causal model (architectures: T5Model)"),
    (headless, [], 2, "the weights lack score.weight"),
    (garbled, [], 3, "the model cannot be loaded"),
    (lambda f: f, ["--head", "1"], 2, "has 1 outputs, counted from 0"),
    (lambda f: f, ["--reference", "."], 2, "no config.json"),
    (lambda f: f, ["--per-token"], 2, "has no log-probs"),
    (lambda f: f, ["--by", "topic"], 2, "there are: source, split, subset"),
    (lambda f: f, ["--max-length", "5"], 2, "no pair is left to score (20 too-long)"),
    (lambda f: f, ["--beta", "0"], 2, "--beta: Input should be greater than 0"),
]


@pytest.mark.parametrize(("change", "more", "code", "words"), MISTAKES, ids=[m[3][:30] for m in MISTAKES])
def test_mistakes_are_told(
    change: Callable[[Path], Path], more: list[str], code: int, words: str, rm: Path, data: str, tmp_path: Path
) -> None:
    folder = change(Path(shutil.copytree(rm, tmp_path / "model")))
    done = called(data, "--model", folder, *more, "-o", tmp_path / "out")
    assert (done.exit_code, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_mistakes_with_other_models(rm: Path, lm: Path, data: str, tmp_path: Path) -> None:
    assert "whose scores need no reference" in called(data, "--model", rm, "--reference", lm).stderr
    assert "a sequence classifier; the reference of a causal model is one" in called(data, "--model", lm, "--reference", rm).stderr
    other = Path(tiny.saved(tmp_path / "other", ["quite other words"], hidden=32))
    assert "another vocabulary" in called(data, "--model", lm, "--reference", other).stderr
    small = classifier(tmp_path / "small")
    weights = load_file(small / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:200].clone()
    save_file(weights, small / "model.safetensors", {"format": "pt"})
    assert "is beyond its vocabulary" in called(data, "--model", edited(small, vocab_size=200)).stderr
    two = classifier(tmp_path / "two", labels=2)
    assert "it has 2 outputs; --head 0 to --head 1 says which is the reward" in called(data, "--model", two).stderr
    single = write(tmp_path / "single.jsonl", [binary()])
    assert "'prefdata convert --to pair' makes them" in called(single, "--model", rm).stderr
    bad = write(tmp_path / "bad.jsonl", [*texts(2), {"id": 5}])
    found = called(bad, "--model", rm)
    assert (found.exit_code, "names every such row" in found.stderr) == (3, True)
    assert called(tmp_path / "none.jsonl", "--model", rm).exit_code == 3
    assert called(data).exit_code == 2


def test_the_folder_is_whole_or_not_there(rm: Path, data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert called(data, "--model", rm, "-o", out, "-q").exit_code == 0
    first = {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix in (".parquet", ".tsv", ".svg")}
    assert {"scores.parquet", "scores.tsv", "rewards.svg", "margins.svg", "calibration.svg", "length.svg", "sources.svg"} == first.keys()
    said = json.loads((out / "report.json").read_bytes())
    assert said["figures"]["pairs"] == 20
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert {f["path"] for f in manifest["files"]} >= {"scores.parquet", "report.html", "plots/rewards.svg"}
    assert [i["bytes"] for i in manifest["inputs"]] == [Path(data).stat().st_size]
    assert called(data, "--model", rm, "-o", out, "-q").exit_code == 0  # its own folder is replaced, with the same bytes
    assert first == {p.name: p.read_bytes() for p in out.rglob("*") if p.name in first}
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    done = called(data, "--model", rm, "-o", foreign)
    assert (done.exit_code, [p.name for p in foreign.iterdir()]) == (2, ["thesis.txt"])
    assert called(data, "--model", rm, "-o", foreign, "--force", "-q").exit_code == 0
    assert not (foreign / "thesis.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs whose every text tries to get out of its place."""
    folder = tmp_path_factory.mktemp("page")
    meta = json.dumps({"sub<b>set": HOSTILE})
    rows = []
    for i in range(6):  # each pair both ways round: whatever the model prefers, the page shows one of the two as wrong
        two = f"{HOSTILE} {i}", f"good {i} {HOSTILE * (9 if i == 3 else 1)}"
        rows += [pair(*texts, prompt=HOSTILE, source=HOSTILE * (1 + i % 2), meta=meta) for texts in (two, two[::-1])]
    done = called(write(folder / "in.jsonl", rows), "--model", encoder(folder / "rm"), "-o", folder / "out", "--by", "sub<b>set")
    assert done.exit_code == 0, done.stderr
    assert not {"\x1b", "\u202e", "\x00"} & set(done.stdout)
    return folder / "out"


def test_the_page_holds_texts_as_texts(hostile_page: Path) -> None:
    raw = (hostile_page / "report.html").read_text(encoding="utf-8")
    page = Page(raw)
    assert not page.open
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "pre", "span", "table", "tr", "td", "th", "div", "details",
        "summary", "svg", "text", "path", "rect", "circle", "g",
    }  # fmt: skip
    names = {k for k, _ in page.attributes}
    assert not {n for n in names if n.startswith("on")} and not names & {"src", "href", "xlink:href", "srcset", "action", "style"}
    assert not any("http" in v.replace("http-equiv", "") for k, v in page.attributes if k != "content" or "default-src" not in v)
    assert not any("url(" in t or "@import" in t for t in page.texts if "{" in t and "color" in t)
    assert any("default-src 'none'" in v for k, v in page.attributes if k == "content")
    assert not {"\x1b", "\u202e", "\x00"} & set(raw)
    shown = "".join(page.texts)
    assert HOSTILE.split("\u202e")[0] in shown  # as it stands in the data
    assert "\\u202egood\\u001b[31m\\u0000" in shown
    assert "characters …]" in shown  # the long one is shortened


def test_plots_are_files_of_their_own(hostile_page: Path) -> None:
    for path in sorted((hostile_page / "plots").iterdir()):
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "script" not in {e.tag.rpartition("}")[2] for e in root.iter()}


@needs_browser
def test_the_page_in_a_browser(hostile_page: Path, tmp_path: Path) -> None:
    """Chromium's own document: nothing of the data became an element, nothing ran (it would have changed the title)."""
    page = hostile_page / "report.html"
    shown = document(page, tmp_path)
    dom = Page(shown)
    assert "script" not in dom.tags and "img" not in dom.tags
    assert "<title>Rewards of " in shown
    assert shown.count("<details>") == page.read_text(encoding="utf-8").count("<details>") > 0
    assert shown.count("<svg") == 5
