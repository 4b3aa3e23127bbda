"""SIGKILL in the middle of every step of a recipe and between all of them: the next run finishes with the bytes of a run that nobody
stopped, and does not do again what was done. One changed option runs exactly what depends on it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prefdata.llm.mock_judges import Piece, reply
from prefdata.llm.mock_prompt import Asked
from prefdata.llm.mock_server import Server, serving
from tests.recipe.forked import Child, Forker, Sign
from tests.recipe.line import NAMES, PAIRS, made, outputs, statuses

pytest.importorskip("torch")


class Judge:
    """The longer answer is better. Calls somebody at its n-th request."""

    def __init__(self) -> None:
        self.left = -1
        self.then: Callable[[], object] = lambda: None

    def at(self, n: int, then: Callable[[], object]) -> None:
        self.left, self.then = n, then

    def __call__(self, asked: Asked) -> list[Piece]:
        self.left -= 1
        if self.left == 0:
            self.then()
        return reply("longest", asked)


@dataclass
class Line:
    """Where the recipe is, who runs it, and what a run that nobody stopped has left."""

    recipe: Path
    forker: Forker
    server: Server
    judge: Judge
    whole: dict[str, bytes] = field(default_factory=dict)

    def start(self, place: Path, *given: str, sign: Sign | None = None) -> Child:
        """`prefdata run` into the folder `out` of the place."""
        return self.forker.start(["run", str(self.recipe), f"server={self.server.url}", "-o", "out", *given], place, sign)

    def run(self, place: Path, *given: str, exit_code: int = 1, sign: Sign | None = None) -> str:
        """A run to its end: what it said. The exit code is 1: a row was rejected."""
        child = self.start(place, *given, sign=sign)
        assert child.wait() == exit_code, child.said
        return child.said

    def place(self, name: str) -> Path:
        """A new working folder. All are beside the recipe, so that relative paths, which manifests have, are the same."""
        made = self.recipe.parent / re.sub(r"\W+", "-", name)
        made.mkdir()
        return made


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    judge = Judge()
    recipe = made(tmp_path_factory.mktemp("line"))
    forker = Forker()
    try:
        with serving(judge=judge) as server:
            line = Line(recipe, forker, server, judge)
            place = line.place("whole")
            assert statuses(line.run(place)) == dict.fromkeys(NAMES, "ran")
            line.whole = outputs(place / "out")
            yield line
    finally:
        forker.close()


def finishes(line: Line, place: Path, step: str) -> str:
    """A run after a kill in a step: earlier steps are up to date, the others run, and everything is as it should be."""
    said = line.run(place)
    at = NAMES.index(step)
    assert statuses(said) == {n: "up to date" if i < at else "ran" for i, n in enumerate(NAMES)}
    assert outputs(place / "out") == line.whole
    left = [p.name for p in (place / "out").rglob("*") if ".tmp" in p.name or p.name.endswith(".old")]
    assert left == []
    return said


SIGNS = [
    ("convert", Sign("open", "/.pairs.parquet.tmp", 2), ""),
    ("convert", Sign("os.rename", "/pairs.parquet"), ""),
    ("validate", Sign("os.rename", "/findings.json"), ""),
    ("label", Sign("os.rename", "/labelled.parquet"), f"asked 0 times in this run, {2 * PAIRS} replies were in the journal"),
    ("train rm", Sign("open", "/rm/checkpoint-2/complete"), "rm: rm, 6 steps, "),
    ("train rm", Sign("os.mkdir", "/rm/checkpoint-4"), "went on from step 2"),
    ("sample", Sign("os.rename", "/sampled.parquet.scored.parquet"), f"rm:rm: {4 * PAIRS} scores\n  out/sampled.parquet: "),
    ("sample", Sign("os.rename", "/sampled.parquet"), "records, up to date, nothing was done"),
    ("train dpo", Sign("open", "/dpo/checkpoint-4/complete"), "went on from step 2"),
    ("train dpo", Sign("os.rename", "/dpo/README.md"), "went on from step 6"),
    ("eval rm", Sign("open", "/.report.tmp/report.html"), ""),
]


@pytest.mark.parametrize(("step", "sign", "words"), SIGNS, ids=[f"{s}-{g.event}{g.path}" for s, g, _ in SIGNS])
def test_killed_in_a_step(line: Line, step: str, sign: Sign, words: str) -> None:
    """A step dies as it opens or renames a file, or makes a folder. `words`: what it says when it goes on."""
    place = line.place(f"{step}{sign.event}{sign.path}")
    said = line.run(place, sign=sign, exit_code=-signal.SIGKILL)
    assert list(statuses(said))[-1] == step
    assert words in finishes(line, place, step)


def test_killed_while_a_server_answers(line: Line) -> None:
    """Replies that came are in the journal: no more is asked again than was in flight."""
    place = line.place("label-asks")
    before = line.server.stats.requests
    children: list[Child] = []
    line.judge.at(20, lambda: children[-1].kill())  # noqa: PLW0108 - there is none yet
    children.append(line.start(place))
    assert children[0].wait() == -signal.SIGKILL
    said = finishes(line, place, "label")
    stored = int(re.findall(r"(\d+) replies were in the journal", said)[0])
    assert 16 <= stored <= 20
    assert 2 * PAIRS <= line.server.stats.requests - before <= 2 * PAIRS + 4


def test_killed_while_a_model_answers(line: Line) -> None:
    """The journal has grown and is not complete: what is missing is generated, and nothing else."""
    place = line.place("sample-generates")
    child = line.start(place)
    journal = place / "out" / "sampled.parquet.generated.parquet.journal"
    while replies(journal) < 8:
        time.sleep(0.002)
        os.kill(child.pid, 0)  # is still there
    child.kill()
    assert child.wait() == -signal.SIGKILL
    stored = replies(journal)
    assert 8 <= stored < 4 * PAIRS
    assert f"generated {4 * PAIRS - stored} answers here" in finishes(line, place, "sample")


def replies(journal: Path) -> int:
    """How many a journal has, 0 as long as there is none."""
    if not journal.exists():
        return 0
    db = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM replies").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def test_killed_between_steps(line: Line) -> None:
    """One run, killed at both sides of every boundary: when a step's output is whole and recipe.json does not know of it, and when it
    knows and the next step has not begun. (recipe.json is written when a step begins and when it ends.)"""
    place = line.place("between")
    for i, _ in enumerate(NAMES):
        for n, known in ((2, False), (3, True)):
            if i == len(NAMES) - 1 and known:
                continue
            said = line.run(place, sign=Sign("os.rename", "out/recipe.json", n), exit_code=-signal.SIGKILL)
            done = dict.fromkeys(NAMES[:i], "up to date")
            assert statuses(said) == done | dict.fromkeys(NAMES[i : i + 1 + known], "ran")
    finishes(line, place, NAMES[-1])
    assert statuses(line.run(place)) == dict.fromkeys(NAMES, "up to date")


def test_a_changed_training_goes_on_too(line: Line) -> None:
    """A training that begins anew, because an option changed, and is killed: it goes on from its own checkpoint, not from the other's."""
    place = copy(line, "changed")
    said = line.run(place, "rate=2.0e-3", sign=Sign("os.mkdir", "/dpo/checkpoint-4"), exit_code=-signal.SIGKILL)
    assert "went on" not in said
    said = line.run(place, "rate=2.0e-3")
    assert "went on from step 2" in said
    assert statuses(said) == dict.fromkeys(NAMES[:5], "up to date") | {"train dpo": "ran", "eval rm": "ran"}
    changed = outputs(place / "out")
    assert changed["dpo/model.safetensors"] != line.whole["dpo/model.safetensors"]
    # back again, and killed before anything of the other training is gone: no checkpoint of it is taken up
    line.run(place, sign=Sign("shutil.rmtree", "/dpo/checkpoint-6"), exit_code=-signal.SIGKILL)
    assert "went on" not in line.run(place)
    assert outputs(place / "out") == line.whole


def copy(line: Line, name: str) -> Path:
    """What the whole run left, to go on with."""
    place = line.place(name)
    shutil.copytree(line.recipe.parent / "whole" / "out", place / "out")
    return place


FROM = {name: NAMES[i:] for i, name in enumerate(NAMES)}
CHANGES = [
    ("n=20", NAMES),
    ("show=4", ["validate"]),
    ("decide=hard", FROM["label"]),
    ("rm_rate=3.0e-3", FROM["train rm"]),
    ("samples=5", FROM["sample"]),
    ("rate=3.0e-3", FROM["train dpo"]),
    ("batch=5", FROM["train dpo"]),
    ("worst=10", ["eval rm"]),
    ("server=http://localhost:1/v1", []),
]


@pytest.fixture(scope="module")
def again(line: Line) -> Path:
    return copy(line, "again")


@pytest.mark.parametrize(("change", "wanted"), CHANGES)
def test_what_one_option_would_run(line: Line, again: Path, change: str, wanted: list[str]) -> None:
    before = outputs(again / "out")
    found = statuses(line.run(again, change, "--dry-run", exit_code=0))
    assert found == dict.fromkeys(NAMES, "up to date") | dict.fromkeys(wanted, "would run")
    assert outputs(again / "out") == before


@pytest.mark.parametrize(("change", "wanted"), [("show=4", ["validate"]), ("log=5", ["train rm"]), ("worst=10", ["eval rm"])])
def test_what_one_option_runs(line: Line, change: str, wanted: list[str]) -> None:
    """What comes out of these steps is what it was (log: another account of the same training), so nothing behind them runs."""
    place = copy(line, change)
    assert statuses(line.run(place, change)) == dict.fromkeys(NAMES, "up to date") | dict.fromkeys(wanted, "ran")
    assert statuses(line.run(place, change)) == dict.fromkeys(NAMES, "up to date")
