"""`prefdata run`: the steps of a recipe, those that are up to date left out.

A step is up to date when its command, options and version, and the bytes of everything that it reads are those of its last run, and its
output is still what that run wrote. So a changed option runs the step again, and a later step only if what it reads came out otherwise.
A run that was interrupted goes on: steps resume by themselves (journals, checkpoints), as on the command line.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from prefdata.errors import PrefdataError, UsageError
from prefdata.llm.options import ClientOptions
from prefdata.recipe.adapters import forget, said
from prefdata.recipe.options import RunOptions
from prefdata.recipe.places import made_by
from prefdata.recipe.read import Recipe, Step, read
from prefdata.recipe.result import RecipeResult, StepResult
from prefdata.recipe.state import State, alone
from prefdata.version import __version__

Tell = Callable[[str], None]
Bars = Callable[[str], AbstractContextManager[Any]]
"""A command's progress function, by its name."""


FREE = {"force", "threads"}
FREE_OF_CALLS = {*ClientOptions.model_fields, "judge_base_url"} - {"model"}
"""Options that say where and how fast a step works, and not what it writes: a server that moved is no reason to do it again. Steps without
servers have other options under some of these names (the `batch` of a training)."""


def run(
    recipe: str,
    given: Sequence[str] = (),
    out: str | None = None,
    options: RunOptions | None = None,
    tell: Tell | None = None,
    bars: Bars | None = None,
) -> RecipeResult:
    """Run a recipe (a file, or a shipped one by name) with its variables set by `given` (name=value), into the folder `out` (by default the
    recipe's name).

    `tell` gets lines for people as the steps end. Raises UsageError for a recipe that is wrong, with every problem and its line; a step
    that fails ends the run and is in the result.
    """
    options = options or RunOptions.model_validate({})
    started = time.monotonic()
    found = read(recipe, given, out)
    chosen = _chosen(found, options)
    result = RecipeResult(found.name, found.out, dry_run=options.dry_run)
    if options.dry_run:
        _planned(found, chosen, options, result, tell or (lambda _: None))
    else:
        os.makedirs(found.out, exist_ok=True)
        with alone(found.out):
            _run(found, chosen, options, result, tell or (lambda _: None), bars or (lambda _: nullcontext()))
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _chosen(recipe: Recipe, options: RunOptions) -> range:
    """The numbers of the steps that are asked for. Raises UsageError."""
    names = [s.name for s in recipe.steps]
    for flag, name in (("--from", options.from_), ("--until", options.until)):
        if name is not None and name not in names:
            raise UsageError(f"{flag} {name}: no such step; {recipe.path} has {', '.join(names)}")
    first = names.index(options.from_) if options.from_ else 0
    last = names.index(options.until) if options.until else len(names) - 1
    if last < first:
        raise UsageError(f"--until {options.until} stands before --from {options.from_}")
    return range(first, last + 1)


def _key(step: Step, state: State) -> str:
    """A hash of all that the output of a step depends on."""
    inputs = [*state.contents.of_all(step.data), *map(state.contents.of, step.reads)]
    free = FREE | (FREE_OF_CALLS if isinstance(step.options, ClientOptions) else set())
    options = {k: v for k, v in step.raw.items() if k not in free}
    known = {"command": step.what, "version": __version__, "options": options, "inputs": inputs, "out": step.written}
    return hashlib.sha256(orjson.dumps(known, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()


def _is_done(step: Step, key: str, state: State) -> bool:
    before = state.done.get(step.name)
    if before is None or before["key"] != key:
        return False
    return step.out is None or (before["content"] is not None and state.contents.of(step.out) == before["content"])


def _run(recipe: Recipe, chosen: range, options: RunOptions, result: RecipeResult, tell: Tell, bars: Bars) -> None:
    state = State(recipe.out)
    state.about = {"recipe": recipe.name, "version": __version__}
    for i, step in enumerate(recipe.steps):
        head = f"[{i + 1}/{len(recipe.steps)}] {step.name}"
        if i not in chosen:
            result.steps.append(StepResult(step.name, step.what, step.out, "not asked for"))
            continue
        key = _key(step, state)
        if not options.force and _is_done(step, key, state):
            before = state.done[step.name]
            tell(f"{head}: up to date")
            result.steps.append(StepResult(step.name, step.what, step.out, "up to date", before["exit_code"], 0.0, before["lines"]))
            continue
        tell(head)
        ended = _step(step, key, state, options.force, bars)
        result.steps.append(ended)
        for line in ended.lines:
            tell(f"  {line}")
        if ended.status == "failed":
            return


def _step(step: Step, key: str, state: State, force: bool, bars: Bars) -> StepResult:
    """Run one step and note what came of it. An error of its command is its result."""
    started = time.monotonic()
    before = state.begun.get(step.name) or state.done.get(step.name) or {"key": key}
    anew = force or before["key"] != key or bool(before.get("anew"))  # what lies in its output is of other work
    state.begin(step.name, key, anew)
    if step.out is not None:
        os.makedirs(os.path.dirname(step.out) or ".", exist_ok=True)
    if anew and step.what.startswith("train ") and step.out is not None:
        forget(step.out)
        anew = False
        state.begin(step.name, key, anew)  # from here on its checkpoints are its own, and an interrupted training goes on from them
    options = step.options
    if anew and "force" in type(options).model_fields:
        options = options.model_copy(update={"force": True})
    try:
        with bars(step.what) as progress:
            found = step.command.function()(step.data, step.out, options, progress)
    except PrefdataError as e:
        return StepResult(step.name, step.what, step.out, "failed", e.exit_code, _since(started), str(e).splitlines())
    lines, code = said(found), int(found.exit_code)
    ended = StepResult(step.name, step.what, step.out, "done", code, _since(started), lines, _plain(found))
    if code and (step.command.gate or code != 1):
        ended.status = "failed"
        return ended
    if _lacks(found):  # it is asked again when the recipe is
        return ended
    content = state.contents.of(step.out) if step.out is not None else None
    state.finish(step.name, key=key, content=content, exit_code=code, seconds=ended.seconds, lines=lines)
    return ended


def _lacks(found: Any) -> bool:
    """Whether replies did not come: the same command asks for them again."""
    steps = getattr(found, "steps", None)
    parts = [found, *(steps.values() if isinstance(steps, dict) else ())]
    return any(getattr(p, "unanswered", 0) or getattr(p, "passing", 0) for p in parts)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _plain(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(result.as_dict(), default=str))
    return found


def _planned(recipe: Recipe, chosen: range, options: RunOptions, result: RecipeResult, tell: Tell) -> None:
    """What would run. A step whose input would be made anew is one of them, though its input may come out the same."""
    state = State(recipe.out)
    new: list[str] = []
    for i, step in enumerate(recipe.steps):
        head = f"[{i + 1}/{len(recipe.steps)}] {step.name}"
        if i not in chosen:
            result.steps.append(StepResult(step.name, step.what, step.out, "not asked for"))
            continue
        reads = [os.path.relpath(p, recipe.out) for p in (*step.data, *step.reads)]
        waits = any(made_by(r, new) for r in reads)
        if not waits and not options.force and _is_done(step, _key(step, state), state):
            tell(f"{head}: up to date")
            result.steps.append(StepResult(step.name, step.what, step.out, "up to date"))
            continue
        lines = [f"{' '.join(step.data)} -> {step.out or 'no file'}"]
        if waits and step.command.asks:
            lines.append("what its calls cost can be said when its input is there (--until the step before)")
        elif step.command.asks and "dry_run" in type(step.options).model_fields:
            try:
                lines += said(step.command.function()(step.data, step.out, step.options.model_copy(update={"dry_run": True}), None))
            except PrefdataError as e:
                lines += str(e).splitlines()
        tell(f"{head}: would run")
        for line in lines:
            tell(f"  {line}")
        new += [step.written] if step.written is not None else []
        result.steps.append(StepResult(step.name, step.what, step.out, "planned", 0, 0.0, lines))
