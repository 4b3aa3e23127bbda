"""SARIF: what the standard demands, and what code scanning makes of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sarif_om

import prefdata
from prefdata.checks import reports
from prefdata.checks.reports import sarif
from prefdata.checks.result import ValidateResult
from prefdata.checks.rules import RULES
from tests.checks.build import GOOD, pair, write
from tests.checks.results import MARKED, mixed, result_of, some


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ValidateResult:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    return mixed()


CLASSES = {
    "runs": sarif_om.Run,
    "tool": sarif_om.Tool,
    "driver": sarif_om.ToolComponent,
    "rules": sarif_om.ReportingDescriptor,
    "shortDescription": sarif_om.MultiformatMessageString,
    "fullDescription": sarif_om.MultiformatMessageString,
    "help": sarif_om.MultiformatMessageString,
    "defaultConfiguration": sarif_om.ReportingConfiguration,
    "invocations": sarif_om.Invocation,
    "toolExecutionNotifications": sarif_om.Notification,
    "descriptor": sarif_om.ReportingDescriptorReference,
    "message": sarif_om.Message,
    "artifacts": sarif_om.Artifact,
    "location": sarif_om.ArtifactLocation,
    "artifactLocation": sarif_om.ArtifactLocation,
    "results": sarif_om.Result,
    "locations": sarif_om.Location,
    "physicalLocation": sarif_om.PhysicalLocation,
    "region": sarif_om.Region,
}
BAGS = {"properties", "partialFingerprints"}
URI = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*(?:#[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?"
)


def conforms(value: Any, form: type[Any], path: str = "log") -> None:
    """The object has the properties of the standard's schema, from which sarif_om's classes are generated, and all that it requires."""
    known = {a.metadata["schema_property_name"]: a.default for a in form.__attrs_attrs__}
    nothing = sarif_om.Run.__attrs_attrs__[0].default  # `tool`, which is required
    assert set(value) <= set(known), path
    assert {k for k, default in known.items() if default is nothing} <= set(value), path
    for k, v in value.items():
        if k in BAGS:
            assert isinstance(v, dict)
        elif k in CLASSES:
            for i, item in enumerate(v if isinstance(v, list) else [v]):
                conforms(item, CLASSES[k], f"{path}.{k}[{i}]")
        else:
            assert not isinstance(v, dict), f"{path}.{k} is of no known class"


def valid_sarif(text: str) -> dict[str, Any]:
    """The run of a SARIF log, after checks of what the standard demands beyond names: values, references, addresses."""
    log = json.loads(text)
    conforms(log, sarif_om.SarifLog)
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    assert log["$schema"].endswith("/sarif-schema-2.1.0.json")
    run: dict[str, Any] = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert len({r["id"] for r in rules}) == len(rules)
    for rule in rules:
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        assert all(0 < len(rule[k]["text"]) <= 1024 for k in ("shortDescription", "fullDescription"))
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert len(rule["properties"]["tags"]) == len(set(rule["properties"]["tags"])) <= 20
        assert ("helpUri" in rule) == ("rules" in sarif.addresses())
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (place,) = result["locations"]  # code scanning refuses a file with a result that has none
        where = place["physicalLocation"]
        assert URI.fullmatch(where["artifactLocation"]["uri"]), where
        assert where.get("region", {"startLine": 1})["startLine"] >= 1
        assert all(isinstance(v, str) and v for v in result["partialFingerprints"].values())
    for artifact in run["artifacts"]:
        assert URI.fullmatch(artifact["location"]["uri"])
        assert artifact["length"] >= 0
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    for note in invocation["toolExecutionNotifications"]:
        assert note["level"] in ("none", "note", "warning", "error")
    return run


def test_sarif(checked: ValidateResult) -> None:
    run = valid_sarif(reports.render(checked, "sarif"))
    assert [r["id"] for r in run["tool"]["driver"]["rules"]] == ["PD006", "PD201", "PD204"]
    assert run["invocations"][0]["exitCode"] == checked.exit_code == 1
    assert run["invocations"][0]["toolExecutionNotifications"] == []
    lined = next(f for f in checked.findings if (f.code, f.file) == ("PD201", "a.jsonl"))
    assert run["results"][1] == {
        "ruleId": "PD201",
        "ruleIndex": 1,
        "level": "error",
        "message": {"text": f"{RULES['PD201'].message} [record]"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.jsonl"}, "region": {"startLine": 2}}}],
        "partialFingerprints": {"prefdata/v1": lined.fingerprint},
        "properties": {"field": "record", "record": lined.id},
    }
    rowed = run["results"][-1]
    assert rowed["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "b.parquet"}}}]
    assert rowed["message"]["text"].startswith("row 4: ")
    assert rowed["properties"]["row"] == 4
    assert set(rowed["partialFingerprints"]) == {"prefdata/v1", "primaryLocationLineHash"}


def test_sarif_of_all_rules() -> None:
    everything = ValidateResult(severities={c: str(r.severity) for c, r in RULES.items()})
    rules = valid_sarif(reports.render(everything, "sarif"))["tool"]["driver"]["rules"]
    for said, rule in zip(rules, RULES.values(), strict=True):
        assert said["id"] == rule.code
        assert all(
            words in said["help"]["text"] and words in said["help"]["markdown"] for words in (rule.reason, rule.bad, rule.good, rule.fix)
        )


def test_sarif_fingerprints_stay_when_lines_move(tmp_path: Path) -> None:
    def marks(rows: list[Any]) -> list[str]:
        found = prefdata.validate(write(tmp_path / "a.jsonl", rows), select=["PD204"])
        return [r["partialFingerprints"]["prefdata/v1"] for r in sarif.log(found)["runs"][0]["results"]]

    bad, worse = pair(MARKED), pair(MARKED, prompt="R")
    assert marks([bad, worse]) == marks([GOOD, GOOD, bad, GOOD, worse])
    assert len(set(marks([bad, worse]))) == 2


def test_sarif_lists_the_most_severe_within_the_limit() -> None:
    many = [*some("PD204", 4999), *some("PD201", 2)]
    run = valid_sarif(reports.render(result_of(*many, counts={"PD204": 10_000, "PD201": 2}), "sarif", show=10_000))
    assert Counter(r["ruleId"] for r in run["results"]) == {"PD204": 4998, "PD201": 2}
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("5,002 findings are left out")
