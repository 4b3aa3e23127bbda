"""Records to token ids: exact at the prompt's end, an end-of-sequence token on every completion, and every dropped record counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import prefdata
from prefdata.errors import InputError, UsageError
from prefdata.train.data import store_of
from prefdata.train.store import Store, with_mismatched
from tests.checks.build import binary, listwise, pair, turn, write
from tests.train import tiny

TEXTS = ["the quick brown fox jumps over the lazy dog", "what is it? it is a dog.", "def foo(self): pass"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("words")
    tiny.tokenizer(TEXTS, 320).save_pretrained(folder)
    return folder


def store(tmp_path: Path, words: Path, rows: list[Any], kind: str = "pair", **options: Any) -> Any:
    path = write(tmp_path / "in.jsonl", rows)
    how = {"max_length": None, "truncate": "drop", **options}
    return store_of([path], kind, str(words), str(tmp_path / "cache"), answers=kind, limit=None, **how)


def test_the_prompt_is_what_a_server_would_tokenise(tmp_path: Path, words: Path) -> None:
    """Prompt ids are those of the rendered prompt alone, whatever follows: 'def foo(sel' + 'f): pass' keeps its boundary."""
    fast = tiny.tokenizer(TEXTS, 320)
    talk = [turn("user", "what is it?"), turn("assistant", "a dog"), turn("user", "def foo(sel")]
    found, _ = store(tmp_path, words, [pair("f): pass", "the dog", prompt=talk)])
    group = found.group(0)
    rendered = fast.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert group.prompt.tolist() == fast.encode(rendered, add_special_tokens=False)
    assert [fast.decode(c.tolist()) for c in group.completions] == ["f): pass<|end|>", "the dog<|end|>"]
    assert all(c.tolist().count(fast.eos_token_id) == 1 for c in group.completions)


def test_every_kind(tmp_path: Path, words: Path) -> None:
    found, _ = store(tmp_path, words, [listwise("a", "b", scores=[2.0, 1.0])], "listwise")
    row = listwise("a", "b", scores=[2.0, 1.0])
    assert len(found.group(0).completions) == len(row["completions"])
    assert found.table.column("scores").to_pylist()[0] == [c["score"] for c in row["completions"]]
    (tmp_path / "b").mkdir()
    found, _ = store(tmp_path / "b", words, [binary(label=True), binary("other", label=False)], "binary")
    assert found.numbers("label", -1).tolist() == [1, 0]


def test_what_is_too_long(tmp_path: Path, words: Path) -> None:
    """Drop by default; cut where asked, with counts; a record that the cut makes empty or equal is dropped by its reason."""
    long = "the lazy dog " * 20
    rows = [pair("it is", "a dog"), pair(long, long + "x", prompt="fox"), pair("it", "a", prompt=long)]
    found, about = store(tmp_path, words, rows, max_length=40)
    assert (found.size, dict(about.dropped), dict(about.cut)) == (1, {"too-long": 2}, {})
    found, about = store(tmp_path, words, rows, max_length=40, truncate="completion")
    assert (found.size, dict(about.dropped)) == (1, {"equal-completions": 1, "too-long": 1})
    assert about.cut["completion"] == 2
    found, about = store(tmp_path, words, rows, max_length=40, truncate="prompt")
    assert (found.size, dict(about.dropped), about.cut["prompt"]) == (2, {"too-long": 1}, 1)
    last = found.group(1)
    assert len(last.prompt) + max(map(len, last.completions)) == 40


def test_a_template_without_an_end_gets_one(tmp_path: Path) -> None:
    fast = tiny.tokenizer(TEXTS, 320)
    fast.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    fast.save_pretrained(tmp_path / "w")
    found, about = store(tmp_path, tmp_path / "w", [pair("yes", "no")])
    assert about.cut["eos"] == 2
    assert all(c[-1] == fast.eos_token_id for c in found.group(0).completions)


def test_a_template_that_rewrites_the_prompt(tmp_path: Path) -> None:
    """An empty thought block that only the generation prompt has: the completion cannot be told from the prompt."""
    fast = tiny.tokenizer(TEXTS, 320)
    fast.chat_template = tiny.TEMPLATE.replace("<|assistant|>\n{% endif %}", "<|assistant|>\nthink\n{% endif %}")
    fast.save_pretrained(tmp_path / "w")
    with pytest.raises(AssertionError):
        assert store(tmp_path, tmp_path / "w", [pair("yes", "no")])[0].size
    assert dict(store(tmp_path, tmp_path / "w", [pair("yes", "no")])[1].dropped) == {"boundary": 1}


def test_the_store_is_kept_for_the_same_bytes_only(tmp_path: Path, words: Path) -> None:
    first, _ = store(tmp_path, words, [pair("yes", "no")])
    kept = sorted((tmp_path / "cache").glob("*.arrow"))
    assert store(tmp_path, words, [pair("yes", "no")])[0].table.equals(first.table)
    assert sorted((tmp_path / "cache").glob("*.arrow")) == kept
    store(tmp_path, words, [pair("yes", "nope")])
    store(tmp_path, words, [pair("yes", "no")], max_length=100)
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 3


def test_bad_rows_stop_the_training(tmp_path: Path, words: Path) -> None:
    with pytest.raises(InputError, match=r"in\.jsonl:2: .*prefdata validate"):
        store(tmp_path, words, [pair("yes", "no"), pair("same", "same")])
    with pytest.raises(UsageError, match="binary records, and pair records are needed"):
        store(tmp_path, words, [binary()])


def test_mismatched_completions(tmp_path: Path, words: Path) -> None:
    """Every completion stands once as its own and once behind another; no row is its own mismatch."""
    rows = [binary(f"answer {i}", prompt=f"Q{i}", label=True) for i in range(7)]
    found, _ = store(tmp_path, words, rows, "binary")
    both = Store(with_mismatched(found.table, seed=3))
    own = [both.group(i).completions[0].tolist() for i in range(7)]
    other = [both.group(i).completions[1].tolist() for i in range(7)]
    assert own == [found.group(i).completions[0].tolist() for i in range(7)]
    assert sorted(map(tuple, own)) == sorted(map(tuple, other))
    assert all(a != b for a, b in zip(own, other, strict=True))


def test_real_pairs(tmp_path: Path, words: Path, real: Any) -> None:
    path = str(tmp_path / "hh.parquet")
    prefdata.convert(str(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz")), path)
    found, about = store_of([path], "pair", str(words), str(tmp_path / "c"), answers="pair", limit=None, max_length=2048, truncate="drop")
    assert found.size + sum(about.dropped.values()) == pl.read_parquet(path).height == 1725


def test_files_without_ids_get_them(tmp_path: Path) -> None:
    """A file of somebody else in TRL's columns: the ids are those that convert would have made."""
    import polars as pl

    import prefdata
    from prefdata.train.data import frames
    from tests.checks.build import pair, write

    own = write(tmp_path / "own.jsonl", [pair("yes", "no", prompt="Q"), pair("one", "two", prompt="R")])
    df = prefdata.read(own)
    for name, save in (("a.parquet", pl.DataFrame.write_parquet), ("a.jsonl", pl.DataFrame.write_ndjson)):
        save(df.drop("id"), tmp_path / name)
        (found,) = frames([str(tmp_path / name)], "pair")
        prefdata.convert(str(tmp_path / name), str(tmp_path / "c.parquet"), from_="prefdata-pair", force=True)
        assert found["id"].to_list() == prefdata.read(str(tmp_path / "c.parquet"))["id"].to_list()
