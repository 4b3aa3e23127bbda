"""What a bare `pip install prefdata` can do, what it says where an extra is needed, what the wheel holds, and how fast help answers.

The libraries of extras are taken away in child processes: `sitecustomize` hides everything that the core dependencies do not bring.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prefdata.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
LLMBAR = ROOT / "examples/data/llmbar/Adversarial_Neighbor.dataset.json"
SERVER = ("--model", "m", "--base-url", "http://127.0.0.1:9/v1")
HIDE = """
import sys
from importlib.machinery import PathFinder

class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Core
"""
"""Not found, as in an install without the library: `find_spec` gives None and an import raises ModuleNotFoundError with its name."""


def brought() -> set[str]:
    """The distributions that the core dependencies bring."""
    found, todo = {"prefdata"}, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    while todo:
        wanted = Requirement(todo.pop())
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            todo += requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform
    return found


def hiding(folder: Path, hidden: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"HIDDEN = frozenset({hidden!r})\n{HIDE}")
    return str(folder)


class Bare:
    """Runs commands with the core dependencies alone, an empty home, and a working folder outside of the checkout."""

    def __init__(self, folder: Path) -> None:
        core = brought()
        names = packages_distributions()
        self.hidden = sorted(n for n, of in names.items() if not core & {canonicalize_name(d) for d in of})
        self.folder = folder / "work"
        self.home = folder / "home"
        self.path = [hiding(folder / "hide", self.hidden), str(ROOT)]
        self.folder.mkdir()
        self.home.mkdir()

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": os.pathsep.join(self.path), "COLUMNS": "100"}
        command = [sys.executable, "-m", "prefdata.cli.main", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=env, timeout=120)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    run = Bare(tmp_path_factory.mktemp("bare"))
    assert {"torch", "transformers", "datasets", "httptools", "aiohttp", "tokenizers", "jinja2", "jsonschema", "scipy"} <= set(run.hidden)
    assert not {"polars", "pydantic", "typer", "yaml", "rapidfuzz"} & set(run.hidden)
    assert run("convert", str(LLMBAR), "-o", "p.parquet").returncode == 0
    assert run("convert", "p.parquet", "-o", "l.jsonl", "--to", "listwise").returncode == 0
    model = run.folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(8))
    (run.folder / "bleu.yaml").write_text(
        "type: text_similarity\nname: t\ninput: '{{ sample.output_text }}'\nreference: x\nevaluation_metric: bleu\n"
    )
    return run


WORKS = {
    "validate": (["validate", "p.parquet", "--fail-on", "never"], "PD203"),
    "export": (["export", "p.parquet", "-o", "trl", "--to", "trl", "--split", "test=0.1"], "test.jsonl: 12 rows"),
    "align-anything": (["export", "p.parquet", "-o", "aa", "--to", "align-anything"], "134 rows"),
    "select": (["select", "l.jsonl", "-o", "s.parquet"], "have no score"),
    "dry run": (["label", "p.parquet", "-o", "j.parquet", "--judge", "pairwise", *SERVER, "--dry-run"], "268 calls"),
    "sources": (["list", "sources"], "hh-rlhf"),
    "rules": (["list", "rules"], "PD101"),
    "exporters": (["list", "exporters"], "azure-dpo"),
    "judges": (["list", "judges"], "pairwise-cot"),
    "graders": (["list", "graders"], "text_similarity"),
    "constitutions": (["list", "constitutions"], "default"),
    "recipes": (["list", "recipes"], "hh-dpo"),
    "schema": (["schema", "pair"], '"title": "Pair"'),
    "schema of recipes": (["schema", "recipe"], "TrainOptions"),
    "recipe list": (["recipe", "list"], "Azure OpenAI"),
    "recipe show": (["recipe", "show", "ci-check"], "findings.sarif"),
    "recipe copy": (["recipe", "copy", "hh-dpo", "mine.yaml"], "a copy of hh-dpo"),
    "recipe check": (["recipe", "check", "hh-dpo", "data=a.jsonl", "held_out=b.jsonl", "model=m"], "all of their options are right"),
    "run": (["run", "ci-check", "data=p.parquet", "-o", "ci"], "[3/3] the gate"),
}


@pytest.mark.parametrize("name", WORKS)
def test_works_without_extras(bare: Bare, name: str) -> None:
    words, said = WORKS[name]
    done = bare(*words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


ASKS = ("label", "p.parquet", "-o", "x.parquet", "--judge", "pairwise", *SERVER)
NEEDS = {
    "label": (ASKS, "label"),
    "revise": (("revise", "p.parquet", "-o", "r.parquet", "--constitution", "default", *SERVER), "label"),
    "generate": (("generate", "p.parquet", "-o", "g.parquet", *SERVER), "label"),
    "score by a judge": (("score", "l.jsonl", "-o", "c.parquet", "--judge", "rubric", *SERVER), "label"),
    "mock-server": (("mock-server",), "label"),
    "dawid-skene": ((*ASKS[:4], "--judge", "pairwise,rubric", "--jury", "dawid-skene", *SERVER), "jury"),
    "graders": (("score", "l.jsonl", "-o", "c2.parquet", "--grader", "bleu.yaml"), "graders"),
    "hub": (("convert", "hub:Anthropic/hh-rlhf", "-o", "h.parquet"), "hub"),
    "validate --tokenizer": (("validate", "p.parquet", "--tokenizer", "model"), "tokenizer"),
    "export --tokenizer": (("export", "p.parquet", "-o", "t", "--to", "trl", "--tokenizer", "model"), "tokenizer"),
    "losses": (("list", "losses"), "train"),
    **{f"train {m}": (("train", m, "p.parquet", "--model", "model", "-o", "t"), "train") for m in ("dpo", "rm", "sft")},
    "generate locally": (("generate", "p.parquet", "-o", "g.parquet", "--policy", "hf:model"), "train"),
    "score by a reward model": (("score", "l.jsonl", "-o", "c3.parquet", "--reward-model", "model"), "train"),
    "sample": (("sample", "p.parquet", "-o", "m.parquet", "--policy", "hf:model", "--reward-model", "model"), "train"),
    "eval rm": (("eval", "rm", "p.parquet", "--model", "model"), "train"),
    "eval policy": (
        ("eval", "policy", "p.parquet", "-o", "e", "--base", "hf:model", "--tuned", "hf:model", "--reward-model", "model"),
        "train",
    ),
}


@pytest.mark.parametrize("name", NEEDS)
def test_says_which_extra_is_needed(bare: Bare, name: str) -> None:
    words, extra = NEEDS[name]
    done = bare(*words)
    assert done.returncode == 2, done.stderr
    assert f"pip install 'prefdata[{extra}]'" in done.stderr.splitlines()[0]
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_the_hint_names_an_extra_that_exists() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert {extra for _, extra in NEEDS.values()} <= extras


BUDGET = {"": 0.3, **dict.fromkeys(COMMANDS, 1.0)}


@pytest.mark.parametrize("name", BUDGET, ids=lambda n: n or "prefdata")
def test_help_is_fast(bare: Bare, name: str) -> None:
    """Seconds of CPU, the best of three, so that other processes matter little; and no library of an extra is asked for."""
    env = {"PATH": os.environ["PATH"], "HOME": str(bare.home), "PYTHONPATH": os.pathsep.join(bare.path)}
    spent = []
    for _ in range(3):
        command = [sys.executable, "-m", "prefdata.cli.main", *name.split(), "--help"]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=bare.folder, env=env)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        spent.append(used.ru_utime + used.ru_stime)
        if spent[-1] <= BUDGET[name]:
            return
    raise AssertionError(f"{min(spent):.2f} s")


def test_wheel(bare: Bare, tmp_path: Path) -> None:
    """The wheel has the package, the shipped YAML files, the marker of types and the licence, and runs from where it was unpacked."""
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="the build backend is not installed (pip install hatchling)")
    built = next(iter(wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])))
    with zipfile.ZipFile(built) as z:
        names = {n for n in z.namelist() if ".dist-info/" not in n}
        about = [n.partition(".dist-info/")[2] for n in z.namelist() if ".dist-info/" in n]
        z.extractall(tmp_path / "site")
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "prefdata").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert names == package | {f"prefdata/{p.relative_to(ROOT)}" for p in (ROOT / "recipes").rglob("*.yaml")}
    assert "prefdata/py.typed" in names
    assert {"licenses/LICENSE", "entry_points.txt"} <= set(about)
    env = {"PATH": os.environ["PATH"], "HOME": str(bare.home), "PYTHONPATH": os.pathsep.join([bare.path[0], str(tmp_path / "site")])}
    for words in (["recipe", "check", "ci-check", "data=a.jsonl"], ["list", "judges"], ["list", "constitutions"]):
        done = subprocess.run([sys.executable, "-m", "prefdata.cli.main", *words], capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
    shown = "import prefdata, prefdata.shipped as s; print(prefdata.__file__); print(s.folder('judges'))"
    paths = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, cwd=tmp_path, env=env).stdout.splitlines()
    assert paths == [str(tmp_path / "site/prefdata/__init__.py"), str(tmp_path / "site/prefdata/recipes/judges")]
