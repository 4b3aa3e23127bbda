"""The files of examples/ci do what they say: schemas of the CI systems take them, and their scripts run on good and on bad data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.build import pair, write
from tests.ci.commands import ROOT, data, run

CI = ROOT / "examples" / "ci"
ACTION = yaml.safe_load((CI / "github" / "action.yml").read_text(encoding="utf-8"))
HOOK: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit works in a git repository")


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-actions", "github/action.yml"),
        ("github-workflows", "github/workflow.yml"),
        ("gitlab-ci", "gitlab/.gitlab-ci.yml"),
    ],
)
def test_ci_systems_take_the_files(schema: str, file: str, tmp_path: Path) -> None:
    done = run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", str(CI / file), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


# GitHub Actions


def action(folder: Path, step: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run one step of the action as a runner does: inputs go into the step's environment, the script into a file for bash."""
    unknown = set(inputs) - {name.replace("-", "_") for name in ACTION["inputs"]}
    assert not unknown
    given = {name: inputs.get(name.replace("-", "_"), told.get("default")) for name, told in ACTION["inputs"].items()}
    (found,) = (s for s in ACTION["runs"]["steps"] if s["name"] == step)
    env = {k: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda m: given[m[1]], v) for k, v in found["env"].items()}
    assert found["shell"] == "bash"
    script = folder.parent / "step.sh"
    script.write_text(found["run"], encoding="utf-8")
    runner = {"GITHUB_WORKSPACE": str(folder), "GITHUB_STEP_SUMMARY": str(folder.parent / "summary.md"), "GITHUB_ACTIONS": "true"}
    places = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(folder.parent / "installed"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return run("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script), cwd=folder, **env, **runner, **places)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    data(folder)
    return folder


def test_action_passes_good_data(checkout: Path) -> None:
    done = action(checkout, "Validate", files="data/good.jsonl\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 pair row in 1 file: no findings\n"
    assert json.loads((checkout / "prefdata.sarif").read_text())["runs"][0]["results"] == []


def test_action_fails_bad_data(checkout: Path) -> None:
    done = action(checkout, "Validate", files="data/*.jsonl", junit="junit.xml")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=data/bad.jsonl,line=2,title=PD201 identical::")
    results = json.loads((checkout / "prefdata.sarif").read_text())["runs"][0]["results"]
    (where,) = [r["locations"][0]["physicalLocation"] for r in results if r["ruleId"] == "PD201"]
    assert where == {"artifactLocation": {"uri": "data/bad.jsonl"}, "region": {"startLine": 2}}
    assert (checkout.parent / "summary.md").read_text().startswith("## prefdata validate: failed")
    assert (checkout / "junit.xml").exists()


def test_action_hands_its_inputs_on(checkout: Path) -> None:
    bad = "data/bad.jsonl"
    assert action(checkout, "Validate", files=bad, fail_on="never").returncode == 0
    assert action(checkout, "Validate", files=bad, max_errors="1").returncode == 0
    assert action(checkout, "Validate", files=bad, ignore="PD201").returncode == 0
    assert action(checkout, "Validate", files=bad, select="PD101").returncode == 0
    assert action(checkout, "Validate", files=bad, set="PD201.severity=warning").returncode == 0
    assert action(checkout, "Validate", files=bad, select="PD101", extend_select="PD201").returncode == 1
    told = action(checkout, "Validate", files=bad, format="text", sarif="")
    assert told.stdout.startswith("data/bad.jsonl:2: PD201 error: ")
    assert action(checkout, "Validate", files="data/none.jsonl").returncode == 3
    missing = action(checkout, "Validate", files=bad, baseline="b.json")
    assert (missing.returncode, "b.json: there is no such baseline" in missing.stderr) == (2, True)


@pytest.mark.parametrize("text", ["$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "'; touch pwned; '", "a\ntouch pwned", "--help"])
def test_action_never_runs_its_inputs(text: str, checkout: Path) -> None:
    done = action(checkout, "Validate", **{n.replace("-", "_"): text for n in ACTION["inputs"]})
    assert done.returncode == 2, "whatever the text does, it is the value of an option"
    assert "Usage: prefdata [OPTIONS]" not in done.stdout
    action(checkout, "Install prefdata", spec=text)
    assert [p for p in checkout.parent.rglob("*") if p.name == "pwned"] == []


def test_action_scripts_hold_no_expressions() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_action_installs_what_it_is_told_to(checkout: Path) -> None:
    wheel = checkout / "standin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("standin.py", "")
        z.writestr("standin-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: standin\nVersion: 1.0\n")
        z.writestr("standin-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("standin-1.0.dist-info/RECORD", "")
    done = action(checkout, "Install prefdata", spec=f"./{wheel.name}")
    assert done.returncode == 0, done.stderr
    assert (checkout.parent / "installed" / "standin.py").exists()
    assert action(checkout, "Install prefdata").returncode != 0, "there is no index in this test"


def test_workflow_uses_the_action_as_it_is() -> None:
    workflow = yaml.safe_load((CI / "github" / "workflow.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    steps = {s["uses"].partition("@")[0]: s for s in job["steps"]}
    given = steps["./.github/actions/prefdata"]["with"]
    assert set(given) <= set(ACTION["inputs"])
    assert {n for n, i in ACTION["inputs"].items() if i.get("required")} <= set(given)
    upload = steps["github/codeql-action/upload-sarif"]
    assert upload["with"]["sarif_file"] == ACTION["inputs"]["sarif"]["default"]
    assert f"hashFiles('{upload['with']['sarif_file']}')" in upload["if"]
    assert workflow["permissions"]["security-events"] == "write"


# GitLab


def gitlab(folder: Path, part: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a part of the job as GitLab's runner does: variables are the environment, lines run until one fails."""
    job = yaml.safe_load((CI / "gitlab" / ".gitlab-ci.yml").read_text(encoding="utf-8"))["prefdata"]
    places = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(folder.parent / "installed"), "CI": "true", "CI_PROJECT_DIR": str(folder)}
    return run("sh", "-e", "-c", "\n".join(job[part]), cwd=folder, **{**job["variables"], **variables, **places})


def test_gitlab_job(checkout: Path) -> None:
    good = gitlab(checkout, "script", PREFDATA_FILES="data/good.jsonl")
    assert (good.returncode, good.stdout) == (0, "1 pair row in 1 file: no findings\n")
    bad = gitlab(checkout, "script")
    assert bad.returncode == 1
    assert "data/bad.jsonl:2: PD201 error: " in bad.stdout
    job = yaml.safe_load((CI / "gitlab" / ".gitlab-ci.yml").read_text(encoding="utf-8"))["prefdata"]
    assert 'failures="1"' in (checkout / job["artifacts"]["reports"]["junit"]).read_text()
    assert job["artifacts"]["when"] == "always", "the report is wanted most when the job fails"
    assert gitlab(checkout, "script", PREFDATA_FILES="$(touch pwned)").returncode == 3
    assert not (checkout / "pwned").exists()
    assert "No matching distribution found for prefdata" in gitlab(checkout, "before_script").stderr


# pre-commit


def test_manifest_and_example_are_valid(tmp_path: Path) -> None:
    for what, path in (("manifest", ROOT / ".pre-commit-hooks.yaml"), ("config", CI / "pre-commit" / ".pre-commit-config.yaml")):
        done = run("pre-commit", f"validate-{what}", str(path), cwd=tmp_path, PRE_COMMIT_HOME=str(tmp_path))
        assert done.returncode == 0, done.stdout
    config = yaml.safe_load((CI / "pre-commit" / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (used,) = config["repos"][0]["hooks"]
    assert used["id"] == HOOK["id"]
    assert used["args"][-1] == HOOK["args"][-1] == "--", "names that begin with a dash are no options"


def test_hook_takes_the_files_it_should() -> None:
    names = ["a.jsonl", "x/b.parquet", "c.jsonl.gz", "d.ndjson.zst", "e.csv", "f.tsv"]
    assert [n for n in [*names, "a.json", "jsonl", "b.jsonl.py"] if re.search(HOOK["files"], n)] == names


def hook(folder: Path, **own: Any) -> subprocess.CompletedProcess[str]:
    """pre-commit runs the hook of the manifest, with the program that is installed here instead of one it installs itself."""
    local = {**HOOK, "language": "system", **own}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": [local]}]}))
    git = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    run("git", "init", "-q", ".", cwd=folder, **git)
    run("git", "add", "-A", cwd=folder, **git)
    return run("pre-commit", "run", "--color=never", cwd=folder, PRE_COMMIT_HOME=str(folder.parent / "home"), **git)


@needs_git
def test_hook(checkout: Path) -> None:
    (checkout / "notes.md").write_text("no data\n")
    bad = hook(checkout)
    assert bad.returncode == 1, bad.stderr
    assert "prefdata validate" in bad.stdout
    assert "data/bad.jsonl:2: PD201 error: " in bad.stdout
    assert "3 pair rows in 2 files: " in bad.stdout, "all files are seen by one process"
    (checkout / "data" / "bad.jsonl").unlink()
    assert hook(checkout).returncode == 0
    write(checkout / "--help.jsonl", [pair("Four.", "Five.", prompt="How many legs has a cat?")])
    dashed = hook(checkout, verbose=True)
    assert (dashed.returncode, "2 pair rows in 2 files" in dashed.stdout) == (0, True)


# The page


def test_page_shows_the_files_as_they_are() -> None:
    """Every YAML block of docs/ci.md is a part of a file that is tested here."""
    files = [p.read_text(encoding="utf-8") for p in (*CI.rglob("*.yml"), *CI.rglob(".*.yml"), *CI.rglob(".*.yaml"))]
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        assert any(block in f for f in files), block
