"""Every rule: a planted positive where the damage is, and nothing else; then real data with its exact counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import prefdata
from prefdata.checks.rules import RULES
from prefdata.errors import UsageError
from tests.checks import planted_content, planted_distribution, planted_pairs, planted_structure
from tests.checks.build import GOOD, A, B, pair, turn, write

CASES = planted_structure.CASES | planted_pairs.CASES | planted_distribution.CASES | planted_content.CASES
LEVELS = ("error", "warning", "info")


@pytest.mark.parametrize("code", [c for c, r in RULES.items() if r.needs is None])
def test_rule(code: str, tmp_path: Path) -> None:
    """The rule, and no other, finds its damage and nothing else; a run of all rules finds it too."""
    case, rule = CASES[code], RULES[code]
    path = write(tmp_path / "in.jsonl", case.rows)
    only = prefdata.validate(path, select=[code], show=1000, **case.options)
    assert [(f.code, f.line) for f in only.findings] == [(code, n) for n in case.lines]
    assert all(f.message and f.severity == rule.severity and f.field == (case.field or f.field) for f in only.findings)
    every = prefdata.validate(path, select=["PD"], show=1000, **case.options)
    assert every.counts == {code: len(case.lines), **case.also}
    for level in LEVELS:
        fails = LEVELS.index(rule.severity) <= LEVELS.index(level)
        assert prefdata.validate(path, select=[code], fail_on=level, **case.options).exit_code == fails
    assert code not in prefdata.validate(path, ignore=[code], **case.options).counts


def test_every_rule_explains_itself() -> None:
    for rule in RULES.values():
        assert rule.reason.endswith(".")
        assert all((rule.name, rule.message, rule.bad, rule.good, rule.fix))
        assert rule.code.startswith("PD")


def test_clean_rows(tmp_path: Path) -> None:
    rows = [GOOD, pair("The user: yes. Human: no?", prompt=[turn("system", "s"), turn("user", "R")])]
    result = prefdata.validate(write(tmp_path / "in.jsonl", rows), fail_on="warning")
    assert (result.counts, result.exit_code, result.rows) == ({}, 0, 2)


def test_same_finding_in_every_format(tmp_path: Path) -> None:
    rows = [r for code in ("PD105", "PD201", "PD203", "PD206") for r in CASES[code].rows if r is not GOOD]
    rows = [{**r, "margin": r.get("margin")} for r in rows]
    jsonl = prefdata.validate(write(tmp_path / "in.jsonl", rows))
    import polars as pl

    pl.DataFrame(rows, schema_overrides={"margin": pl.Float64}).write_parquet(tmp_path / "in.parquet")
    parquet = prefdata.validate(str(tmp_path / "in.parquet"))
    assert jsonl.counts == parquet.counts == {"PD105": 1, "PD201": 1, "PD203": 1, "PD206": 1}
    assert [f[1:7] for f in jsonl.findings] == [f[1:7] for f in parquet.findings]


def test_duplicates_across_files(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", [pair(chosen=A), GOOD]), write(tmp_path / "b.jsonl", [pair(chosen=B), pair(chosen=A)])
    result = prefdata.validate([a, b], select=["PD106"])
    assert [(f.code, f.file, f.line) for f in result.findings] == [("PD106", b, 2)]


def test_findings_are_capped_and_counted(tmp_path: Path) -> None:
    rows = [pair(A, A, prompt=str(i)) for i in range(50)]
    result = prefdata.validate(write(tmp_path / "in.jsonl", rows), show=3)
    assert (len(result.findings), result.counts) == (3, {"PD201": 50})


def test_wrong_options(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [GOOD])
    with pytest.raises(UsageError, match="no rule begins with 'PD9'"):
        prefdata.validate(path, select=["PD9"])
    with pytest.raises(UsageError, match="no known source"):
        prefdata.validate(write(tmp_path / "raw.jsonl", [{"foo": 1}]))


def test_real_hh(real: Callable[[str], Path], tmp_path: Path) -> None:
    """What convert keeps of HH-RLHF has no error and is checked as the transcripts are. The warnings were looked at one by one: 22 answers
    hold a transcript marker, one is the beginning of the other answer, two repeat the prompt, two are dots alone, one goes in circles."""
    source = str(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz"))
    out = str(tmp_path / "hh.parquet")
    prefdata.convert(source, out)
    result, raw = prefdata.validate(out), prefdata.validate(source)
    assert (result.rows, result.exit_code, raw.rows, raw.exit_code) == (1725, 0, 1734, 1)
    assert result.counts == {"PD203": 1, "PD204": 22, "PD213": 2, "PD702": 29, "PD703": 51, "PD706": 11, "PD707": 1, "PD709": 2}
    assert raw.counts == {**result.counts, "PD103": 4, "PD105": 3, "PD207": 2}


def test_the_gate_uses_the_catalogues_names() -> None:
    from prefdata.schema.valid import NAMES

    assert {code: RULES[code].name for code in NAMES} == NAMES
