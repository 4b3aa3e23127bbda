"""prefdata eval policy as a user meets it: exit codes, words about mistakes, the page in a browser; hostile prompts and answers."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from typer.testing import CliRunner  # noqa: E402

from prefdata.cli.main import build  # noqa: E402
from tests.browser import HOSTILE, Page, document, needs_browser  # noqa: E402
from tests.evaluate.test_rm import WORDS, classifier  # noqa: E402
from tests.evaluate.test_rm_cli import edited  # noqa: E402
from tests.judges.scripted import Body, scripted  # noqa: E402
from tests.train import tiny  # noqa: E402

torch.set_num_threads(1)
ANSWER = HOSTILE.replace("\x00", "")  # the client refuses a reply that is no JSON text of a model


def called(*arguments: Any) -> Any:
    return CliRunner().invoke(build(["eval"]), ["eval", "policy", *map(str, arguments)])


@pytest.fixture(scope="module")
def rm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited(classifier(tmp_path_factory.mktemp("models") / "rm"), max_position_embeddings=4096)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.saved(tmp_path_factory.mktemp("models") / "lm", WORDS, hidden=32)


def wordy(body: Body) -> str:
    """Tuned says the same twice as often."""
    n = 1 + sum(map(len, (m["content"] for m in body["messages"]))) % 5
    return "good dog " * n * (2 if body["model"] == "N" else 1)


def prompts(path: Path, n: int = 12) -> str:
    path.write_text("".join(json.dumps({"prompt": f"why {'x' * i}?", "split": f"s{i % 3}"}) + "\n" for i in range(n)))
    return str(path)


def test_the_table_and_the_exit_codes(rm: Path, tmp_path: Path) -> None:
    data, out = prompts(tmp_path / "p.jsonl"), tmp_path / "out"
    with scripted(wordy) as server:
        given = [data, "-o", out, "--base", "M", "--tuned", "N", "--base-url", server.url, "--reward-model", rm]
        done = called(*given)
        assert done.exit_code == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith("N against M: wins ")
        for wanted in ("win rate, ties half", "win rate at equal length", "difference, mean", "base, cut (length)", "both the same text"):
            assert any(line.startswith(f"  {wanted}") for line in lines), wanted
        assert "prompts: read 12 = kept 12 + dropped 0 + rejected 0; intervals hold 95 %" in lines
        said = json.loads(called(*given, "--by", "split", "--json").stdout)
        assert [p["name"] for p in said["parts"]["parts"]] == ["s0", "s1", "s2"]
        value = said["figures"]["win_rate"]["value"]
        assert called(*given, "--min-win-rate", value, "-q").exit_code == 0
        below = called(*given, "--min-win-rate", value + 0.01)
        assert (below.exit_code, "is below --min-win-rate" in below.stdout) == (1, True)
        assert len(server.seen) == 24  # nothing was asked again
        dry = called(*given, "--dry-run", "--json", "--price-in", "1", "--price-out", "1")
        assert json.loads(dry.stdout)["calls"] == 0
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert {f["path"] for f in manifest["files"]} >= {"table.parquet", "table.jsonl", "report.json", "report.html", "plots/scores.svg"}
    assert [p["name"] for p in manifest["policies"]] == ["base", "tuned"]


def test_nothing_can_be_scored(tmp_path: Path) -> None:
    """A reward model that no text fits into: everything is counted with the reason, and the page is there."""
    short = edited(classifier(tmp_path / "rm"), max_position_embeddings=4)
    with scripted(wordy) as server:
        given = [prompts(tmp_path / "p.jsonl", 3), "-o", tmp_path / "out", "--base", "M", "--tuned", "N", "--base-url", server.url]
        done = called(*given, "--reward-model", short)
    assert (done.exit_code, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "N against M: no comparison has an outcome"
    assert any("without an outcome" in line and "3 no-score" in line for line in lines)
    assert not Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).open
    said = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert said["how"]["scores"]["scorers"]["rm:rm"] == {"scored": 0, "invalid": {"context-length": 6}}


def test_mistakes_are_told(rm: Path, lm: str, tmp_path: Path) -> None:
    data = prompts(tmp_path / "p.jsonl", 2)
    plain = [data, "-o", tmp_path / "out"]
    local = ["--base", f"hf:{lm}", "--tuned", f"hf:{lm}"]
    mistakes: list[tuple[list[Any], int, str]] = [
        ([*local], 2, "compare by what? --reward-model FOLDER, --judge NAME"),
        ([*local, "--reward-model", rm, "--judge", "pairwise"], 2, "take one of the two at a time"),
        (["--base", lm, "--tuned", f"hf:{lm}", "--reward-model", rm], 2, f"a local model is written hf:{lm}"),
        (["--base", "hf:nowhere", "--tuned", f"hf:{rm}", "--reward-model", rm], 2, "no such folder"),
        (
            ["--base", f"hf:{rm}", "--tuned", f"hf:{lm}", "--reward-model", rm],
            2,
            "a sequence classifier; answers are written by a causal model",
        ),
        ([*local, "--reward-model", lm], 2, "a causal model; its implicit reward"),
        ([*local, "--judge", "rm:x"], 2, "a reward model is --reward-model x"),
        ([*local, "--judge", "pairwise"], 2, "--model: which model should be asked"),
        ([*local, "--judge", "nobody", "--model", "M"], 2, "nobody"),
        (
            [*local, "--reward-model", rm, "--by", "colour"],
            2,
            "--by colour: no record has such a column or key of meta; there are: source, split",
        ),
        ([*local, "--reward-model", rm, "--min-win-rate", "60"], 2, "--min-win-rate: Input should be less than or equal to 1"),
        (["--base", f"hf:{lm}", "--reward-model", rm], 2, "--tuned: is needed"),
    ]
    for more, code, words in mistakes:
        done = called(*plain, *more, "--max-tokens", "4")
        assert (done.exit_code, "Traceback" in done.stderr) == (code, False), (more, done.stderr)
        assert words in done.stderr.replace("\n", " "), (words, done.stderr)
        assert not (tmp_path / "out" / "manifest.json").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    done = called(data, "-o", foreign, *local, "--reward-model", rm)
    assert (done.exit_code, [p.name for p in foreign.iterdir()]) == (2, ["thesis.txt"])
    assert called(data, "-o", foreign, *local, "--reward-model", rm, "--max-tokens", "4", "--force", "-q").exit_code == 0
    assert (foreign / "thesis.txt").read_text() == "mine"
    assert called(tmp_path / "none.jsonl", "-o", tmp_path / "out", *local, "--reward-model", rm).exit_code == 3


@pytest.fixture(scope="module")
def hostile_page(rm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts, sources, names of models and answers that try to get out of their place."""
    folder = tmp_path_factory.mktemp("page")
    data = folder / "in.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{HOSTILE} {i}", "source": HOSTILE * (1 + i % 2)}) + "\n" for i in range(12)))

    def say(body: Body) -> str:
        n = int(body["messages"][-1]["content"].rpartition(" ")[2])
        return f"{ANSWER * (1 + 8 * (n % 2))} {'good ' * (n % 5)}{body['model'][:1]}"

    with scripted(say) as server:
        names = ["--base", "M</title><script>1</script>", "--tuned", "N\u202e<img src=x onerror=alert(1)>"]
        done = called(data, "-o", folder / "out", *names, "--base-url", server.url, "--reward-model", rm)
    assert done.exit_code in (0, 1), done.stderr
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
    assert "\\u202egood\\u001b[31m" in shown
    assert "characters …]" in shown  # the long one is shortened
    assert "prefers-color-scheme:dark" in raw
    assert "Gained most" in shown or "Lost most" in shown
    assert ("class", "sides") in page.attributes


def test_plots_are_files_of_their_own(hostile_page: Path) -> None:
    found = sorted((hostile_page / "plots").iterdir())
    assert {"differences.svg", "length.svg", "lengths.svg", "outcomes.svg", "parts.svg", "scores.svg"} == {p.name for p in found}
    for path in found:
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "script" not in {e.tag.rpartition("}")[2] for e in root.iter()}


@needs_browser
def test_the_page_in_a_browser(hostile_page: Path, tmp_path: Path) -> None:
    """Chromium's own document: nothing of the data became an element, nothing ran; the charts and the two answers of a case are drawn side
    by side, and nothing is wider than the window."""
    page = hostile_page / "report.html"
    shown = document(page, tmp_path)
    dom = Page(shown)
    assert "script" not in dom.tags and "img" not in dom.tags
    assert "<title>Tuned against base</title>" in shown
    assert shown.count("<details>") == page.read_text(encoding="utf-8").count("<details>") > 0
    assert shown.count("<svg") == 6
    # the same page with a script of ours that measures it (its policy forbids scripts, so it is taken out)
    measure = """<script>
        document.querySelectorAll("details").forEach(d => d.open = true);
        const sides = [...document.querySelector(".sides").children], [a, b] = sides.map(e => e.getBoundingClientRect());
        const charts = [...document.querySelectorAll("svg")].every(e => e.clientWidth > 300);
        const fits = document.documentElement.scrollWidth <= innerWidth;
        document.title = [fits, sides.length, a.top == b.top && a.right <= b.left, charts].join(" ");
    </script>"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    (tmp_path / "measured.html").write_text(text.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    found = document(tmp_path / "measured.html", tmp_path)
    assert re.findall("<title>(.*?)</title>", found)[0] == "true 2 true true"
