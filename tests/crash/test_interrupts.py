"""Ctrl-C at every single instruction of what makes an output appear: it is the old one or the new one, and nothing is left beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from prefdata.errors import UsageError
from prefdata.exporters import folder
from prefdata.io import held, write
from prefdata.recipe import state

OURS = {held.__file__, write.__file__, folder.__file__, state.__file__}


def interrupted(nth: int, work: Callable[[], None]) -> bool:
    """Run, with a KeyboardInterrupt before the n-th bytecode instruction of these modules; False when there are fewer of them."""
    left = nth

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in OURS:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def new_file(place: Path) -> None:
    with write.replacing(str(place / "out")) as temporary:
        Path(temporary).write_text("new")


def new_folder(place: Path) -> None:
    with folder.replacing(str(place / "out"), force=True) as work:
        (Path(work) / "a").write_text("new")
        (Path(work) / "b").write_text("new")


def new_lock(place: Path) -> None:
    with state.alone(str(place)):
        pass


def contents(place: Path) -> dict[str, str]:
    return {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("work", "old", "new"),
    [
        (new_file, {"out": "old"}, {"out": "new"}),
        (new_folder, {"out/a": "old", "out/c": "old"}, {"out/a": "new", "out/b": "new"}),
        (new_lock, {"other": "old"}, {"other": "old"}),
    ],
)
def test_an_interrupt_at_any_instruction(
    work: Callable[[Path], None], old: dict[str, str], new: dict[str, str], before: bool, tmp_path: Path
) -> None:
    if not before:
        old, new = {}, {name: text for name, text in new.items() if text == "new"}
    fates = []
    for nth in range(1, 5000):
        place = tmp_path / str(nth)
        for name, text in old.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        place.mkdir(exist_ok=True)
        hit = interrupted(nth, partial(work, place))
        found = contents(place)
        assert found in (old, new), f"instruction {nth}"
        assert [p.name for p in place.iterdir() if p.name.startswith(".")] == [], f"instruction {nth}"
        fates.append(found)
        if not hit:
            break
    assert not hit
    assert nth > 100
    assert old in fates
    assert fates[-1] == new


def test_a_kill_between_the_two_renames_of_a_folder(tmp_path: Path) -> None:
    """The old folder is under another name then; the next run puts it back, whatever comes of that run."""
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "a").write_text("old")
    (tmp_path / ".out.tmp").mkdir()
    (tmp_path / ".out.tmp" / "a").write_text("new")
    with pytest.raises(ZeroDivisionError), folder.replacing(str(tmp_path / "out"), force=True):
        assert contents(tmp_path)["out/a"] == "old"
        _ = 1 / 0
    assert contents(tmp_path) == {"out/a": "old"}


def test_a_folder_that_is_put_back_is_not_replaced_unasked(tmp_path: Path) -> None:
    """It was somebody's own, and the killed run had --force."""
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="did not write"), folder.replacing(str(tmp_path / "out"), force=False):
        raise AssertionError
    assert contents(tmp_path) == {"out/thesis.txt": "mine"}
