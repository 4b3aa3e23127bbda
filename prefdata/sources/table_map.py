"""The map of a table: which column is which field. The same names as options of `prefdata convert` and as keys of a YAML file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefdata.errors import UsageError
from prefdata.schema.records import explain

Path = str
FIELDS = ("system", "prompt", "chosen", "rejected", "first", "second", "preferred", "completion", "label", "score")
NUMBERS = ("score_first", "score_second", "margin")
LABELS = ("label_true_is", "label_false_is")
YAML_WORDS = {"true": ("true", "yes"), "false": ("false", "no")}


class TableMap(BaseModel):
    """Column paths of the fields. `first_is`, `second_is`, `tie_is` are the values of `preferred`, compared as texts; `label_true_is` and
    `label_false_is` are those of `label`, compared as texts without regard to case (1 is also 1.0)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: Path | None = None
    prompt: Path | None = None
    chosen: Path | None = None
    rejected: Path | None = None
    first: Path | None = None
    second: Path | None = None
    preferred: Path | None = None
    first_is: list[str] = Field(default_factory=list)
    second_is: list[str] = Field(default_factory=list)
    tie_is: list[str] = Field(default_factory=list)
    score_first: Path | None = None
    score_second: Path | None = None
    completion: Path | None = None
    label: Path | None = None
    label_true_is: list[str] = Field(default_factory=list)
    label_false_is: list[str] = Field(default_factory=list)
    score: Path | None = None
    margin: Path | None = None
    weight: Path | None = None
    source: Path | None = None
    split: Path | None = None
    meta: list[Path] = Field(default_factory=list)
    constants: dict[Literal["source", "split"], str] = Field(default_factory=dict)

    @property
    def kind(self) -> Literal["pair", "comparison", "binary", "listwise"]:
        if self.chosen or self.rejected:
            return "pair"
        if self.first or self.second:
            return "comparison"
        return "binary" if self.label else "listwise"

    def needed(self) -> list[Path]:
        """Paths whose columns must not be null in any row."""
        names = {
            "pair": ("prompt", "chosen", "rejected"),
            "comparison": ("prompt", "first", "second"),
            "binary": ("prompt", "completion", "label"),
            "listwise": ("prompt", "completion"),
        }[self.kind]
        return [getattr(self, n) for n in names if getattr(self, n)]

    def paths(self) -> list[Path]:
        """Every path of the map."""
        named = [getattr(self, n) for n in (*FIELDS, *NUMBERS, "weight", "source", "split")]
        return [p for p in named if p] + self.meta


def table_map(options: Any) -> TableMap:
    """The map from `--map FILE` and the options (an option overrides the file). Raises UsageError, all problems at once."""
    given = _from_file(options.map) if options.map else {}
    for name in (*FIELDS, *NUMBERS):
        if getattr(options, name, None) is not None:
            given[name] = getattr(options, name)
    for name in ("first_is", "second_is", "tie_is", *LABELS):
        if getattr(options, name, None) is not None:
            given[name] = [v.strip() for v in getattr(options, name).split(",")]
        elif name in given:
            values = given[name] if isinstance(given[name], list) else [given[name]]
            given[name] = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    for name in set(LABELS) & set(given):
        # YAML reads a bare yes as true
        given[name] = [word for v in given[name] for word in YAML_WORDS.get(v.strip().lower(), (v.strip().lower(),))]
    try:
        m = TableMap.model_validate(given)
    except ValidationError as e:
        problems = "\n".join(f"  {field}: {message}" for field, message in explain(e))
        raise UsageError(f"the table map is wrong:\n{problems}\nIts keys are: {', '.join(TableMap.model_fields)}") from None
    problem = _incomplete(m)
    if problem:
        raise UsageError(f"the table map is incomplete: {problem}")
    return m


def _incomplete(m: TableMap) -> str | None:
    if not m.prompt:
        return "say which column is the prompt: --prompt COLUMN"
    if m.kind == "pair" and not (m.chosen and m.rejected):
        return "--chosen and --rejected go together"
    if m.kind == "pair" and (m.first or m.completion):
        return "--chosen/--rejected cannot be combined with --first/--second or --completion"
    if m.kind == "comparison":
        if not (m.first and m.second):
            return "--first and --second go together"
        if not m.preferred and not (m.score_first and m.score_second):
            return "say what decides: --preferred COLUMN --first-is VALUE --second-is VALUE, or both --score-first and --score-second"
        if m.preferred and not (m.first_is and m.second_is):
            example = "--first-is 0 --second-is 1 (0-based) or --first-is 1 --second-is 2 (1-based)"
            return f"say which values of {m.preferred!r} mean what: {example}"
        if set(m.first_is) & set(m.second_is) or set(m.tie_is) & {*m.first_is, *m.second_is}:
            return "the same value cannot mean two things in --first-is, --second-is and --tie-is"
    if (m.label_true_is or m.label_false_is) and not m.label:
        return "label_true_is and label_false_is say what the values of --label mean; name that column too"
    if set(m.label_true_is) & set(m.label_false_is):
        return "the same value cannot mean two things in label_true_is and label_false_is"
    if m.kind == "binary" and not m.completion:
        return "--label needs --completion"
    if m.kind == "listwise" and not (m.completion and m.score):
        return "name --chosen and --rejected, --first and --second, --completion and --label, or --completion and --score"
    return None


def _from_file(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path, encoding="utf-8") as f:
            found = yaml.safe_load(f)
    except OSError as e:
        raise UsageError(f"--map {path}: cannot be read ({e.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise UsageError(f"--map {path}: not valid YAML ({e})") from None
    if not isinstance(found, dict):
        raise UsageError(f"--map {path}: expected keys such as prompt, chosen, rejected")
    return found
