"""The notebook runs from its first to its last cell, offline, and shows what its words promise."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest

import prefdata
from prefdata.llm.mock_server import serving

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "text_to_text_dpo.ipynb"


def printed(nb: Any) -> str:
    return "".join(o.text for c in nb.cells for o in c.get("outputs", []) if o.output_type == "stream" and o.name == "stdout")


def test_outputs_are_cleared() -> None:
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


# zmq's ioloop and jupyter's client close after the loop is gone
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name, value in {"HF_HUB_OFFLINE": "1", "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_PLATFORM_DIRS": "1"}.items():
        monkeypatch.setenv(name, value)
    nb = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(nb, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()

    said = printed(nb)
    assert "rows: read 894 = kept 836 + dropped 0 + rejected 58" in said
    assert "chosen is the longer answer in" in said
    errors = [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == "stream" and o.name == "stderr"]
    assert not errors, errors
    charts = [o.data["image/svg+xml"] for c in nb.cells for o in c.get("outputs", []) if "image/svg+xml" in o.get("data", {})]
    assert len(charts) == 13
    assert all("<svg" in chart for chart in charts)
    for page in ("rm-report/report.html", "dpo-report/report.html", "policy-report/report.html"):
        assert (tmp_path / "notebook-output" / page).exists()


def test_functions_write_files_where_stdout_takes_no_bytes(tmp_path: Path) -> None:
    """A notebook's stdout has no `buffer`."""
    data = ROOT / "examples" / "data"
    pairs, lists = str(tmp_path / "pairs.jsonl"), str(tmp_path / "lists.jsonl")
    with contextlib.redirect_stdout(io.StringIO()), serving(judge="longest") as server:
        ask = {"model": "M", "base_url": server.url, "limit": 4}
        prefdata.convert(str(data / "llmbar" / "Adversarial_Neighbor.dataset.json"), pairs)
        prefdata.convert(str(data / "oasst_trees" / "en_trees_part.jsonl.gz"), lists, to="listwise")
        done = [
            prefdata.label(pairs, str(tmp_path / "labelled.jsonl"), judge="pairwise", **ask).counts,
            prefdata.revise(pairs, str(tmp_path / "revised.jsonl"), **ask).counts,
            prefdata.select(lists, str(tmp_path / "selected.jsonl")).counts,
        ]
    assert [c["read"] for c in done] == [4, 4, prefdata.read(lists).height]
