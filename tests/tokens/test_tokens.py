"""`--tokenizer`: what the trainer sees. Tokens are words in most tests, so every count can be derived by reading."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from prefdata.errors import InputError, UsageError
from prefdata.tokens import RULES, TRUNCATION, Lens, Seen, Truncation, look, open_lens
from prefdata.tokens.tokenizer import load, rendered
from prefdata.tokens.truncation import Cut, cut, truncation_of
from tests import strategies
from tests.conftest import ROOT, Convert
from tests.tokens.chat_templates import CHATML, GENERATION, LLAMA, STRICT, TEMPLATES, THINKING, TOOLS, bytes_, save, words

VOCABULARY = "user assistant system What is two plus ? Four . Five Be brief one three a b c d e f g h [INST] [/INST]"


def turns(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    head = [{"role": "system", "content": system}] if system is not None else []
    return head + [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]


def pairs(*rows: tuple[list[dict[str, str]], str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"id": f"{i:032x}", "prompt": p, **{k: [{"role": "assistant", "content": a}] for k, a in (("chosen", c), ("rejected", r))}}
            for i, (p, c, r) in enumerate(rows)
        ]
    )


PLAIN = pairs((turns("What is two plus two ?"), "Four .", "Five ."))
"""In ChatML: start user What is two plus two ? end start assistant = 11 tokens of prompt, then Four . end = 3."""


def chatml(tmp_path: Path, template: str | None = CHATML, eos: str | None = "<|im_end|>", **more: Any) -> str:
    return save(tmp_path / "tokenizer", words(VOCABULARY), template, eos=eos, **more)


def seen_by(tokenizer: str, records: pl.DataFrame, limit: int | None = None, target: str = "trl", form: str = "preference") -> Seen:
    kind = "pair" if "chosen" in records.columns else "binary" if "completion" in records.columns else "listwise"
    return look(records, kind, open_lens(tokenizer, target, form, limit))


def test_lengths_and_fates_of_a_clean_row(tmp_path: Path) -> None:
    seen = seen_by(chatml(tmp_path), PLAIN)
    assert seen.findings == Counter()
    assert seen.fates == {"whole": 1}
    assert seen.lengths == {"prompt": {11: 1}, "chosen": {3: 1}, "rejected": {3: 1}, "whole row": {14: 1}}
    assert seen.max_length == 1024
    assert seen.suggestion() == 64
    assert not seen.failed


def test_every_rule_has_words() -> None:
    assert [r.code for r in RULES] == [f"PD6{i:02}" for i in range(1, 11)]
    for rule in RULES:
        assert all([rule.name, rule.message, rule.reason, rule.bad, rule.good, rule.fix])
        assert rule.reason.endswith(".") and not rule.message.endswith(".")
        assert f"| {rule.code} | {rule.severity} | {rule.message} |" in (ROOT / "docs" / "tokenizer.md").read_text(encoding="utf-8")


# one planted row for each rule, and the nearest clean row


def test_pd601_question_cut(tmp_path: Path) -> None:
    """LLaMA-Factory at 8: the answer has 3 tokens, 3*2 < 8, so it stays and the prompt keeps 5 of 11: start user What is two."""
    seen = seen_by(chatml(tmp_path), PLAIN, 8, "llama-factory")
    assert seen.findings == {"PD601": 1}
    assert seen.examples["PD601"][0]["detail"] == "5 of 11 tokens of the prompt are left"
    assert seen.fates == {"cut": 1}
    # at 12, 9 tokens of the prompt are left: the question ends with the 8th
    assert seen_by(chatml(tmp_path), PLAIN, 12, "llama-factory").findings == Counter()
    assert seen_by(chatml(tmp_path), PLAIN, 11, "llama-factory").findings == Counter()
    assert seen_by(chatml(tmp_path), PLAIN, 10, "llama-factory").findings == {"PD601": 1}


def test_pd602_nothing_is_left_of_an_answer(tmp_path: Path) -> None:
    """OpenRLHF's reward data set drops nothing: a prompt of 11 tokens fills 11."""
    seen = seen_by(chatml(tmp_path), PLAIN, 11, "openrlhf", "reward")
    assert seen.findings == {"PD602": 1, "PD603": 1}
    # at 12 one token is left and becomes EOS; at 13 Four and Five are left
    assert seen_by(chatml(tmp_path), PLAIN, 12, "openrlhf", "reward").findings == {"PD602": 1, "PD603": 1}
    assert seen_by(chatml(tmp_path), PLAIN, 13, "openrlhf", "reward").findings == Counter()


def test_pd603_equal_after_the_cut(tmp_path: Path) -> None:
    df = pairs((turns("a"), "b c d", "b c e"))  # prompt: start user a end start assistant = 6
    assert seen_by(chatml(tmp_path), df, 8).findings == {"PD603": 1}
    assert seen_by(chatml(tmp_path), df, 9).findings == Counter()


def test_pd603_equal_because_of_the_template(tmp_path: Path) -> None:
    df = pairs((turns("a"), "<think>b</think> c", "<think>d</think> c"))
    assert seen_by(chatml(tmp_path, THINKING), df).findings == {"PD603": 1, "PD610": 1}


def test_pd604_dropped(tmp_path: Path) -> None:
    folder = chatml(tmp_path)
    seen = seen_by(folder, PLAIN, 11)
    assert (seen.findings, seen.fates) == ({"PD604": 1}, {"dropped": 1})
    assert seen_by(folder, PLAIN, 12).fates == {"cut": 1}
    assert seen_by(folder, PLAIN, 13, form="reward").fates == {"dropped": 1}
    assert seen_by(folder, PLAIN, 14, form="reward").fates == {"whole": 1}


def test_pd605_white_space(tmp_path: Path) -> None:
    trims = CHATML.replace("{{ message.content }}", "{{ message.content | trim }}")
    seen = seen_by(chatml(tmp_path, trims), pairs((turns("a"), "  b", "c"), (turns("a"), "d", "e")))
    assert seen.findings == {"PD605": 1}
    assert seen.examples["PD605"] == [{"id": "0" * 32, "field": "chosen", "detail": "the template trims the answer"}]
    trailing = CHATML.replace("<|im_start|>assistant\n{% endif", "<|im_start|>assistant\n\n{% endif")
    assert seen_by(chatml(tmp_path / "2", trailing), PLAIN).findings == {"PD605": 1}


def test_pd606_no_end_token(tmp_path: Path) -> None:
    assert seen_by(chatml(tmp_path, eos="</s>"), PLAIN).findings == {"PD606": 1}
    # whoever generates with this model stops at <|im_end|> as well
    both = Path(chatml(tmp_path / "2", eos="</s>"))
    (both / "generation_config.json").write_text('{"eos_token_id": [2, 4]}', encoding="utf-8")
    assert seen_by(str(both), PLAIN).findings == Counter()
    # OpenRLHF adds EOS itself
    assert seen_by(chatml(tmp_path / "3", eos="</s>"), PLAIN, target="openrlhf").findings == Counter()
    nothing = seen_by(chatml(tmp_path / "4", eos=None), PLAIN)
    assert nothing.notes == ["the tokenizer names no eos_token, so nothing can be said about the end of answers"]


def test_pd607_doubled_tokens(tmp_path: Path) -> None:
    twice = "{{ bos_token }}" + CHATML
    assert seen_by(chatml(tmp_path, twice), PLAIN).findings == Counter()
    assert seen_by(chatml(tmp_path / "2", "{{ bos_token }}" + twice), PLAIN).findings == {"PD607": 1}
    ends = CHATML.replace("<|im_end|>", "<|im_end|>{{ eos_token }}")
    assert seen_by(chatml(tmp_path / "3", ends), PLAIN).findings == {"PD607": 1}


def test_pd607_the_tokenizer_adds_what_the_template_wrote(tmp_path: Path) -> None:
    folder = save(tmp_path, words(VOCABULARY, add_bos=True), "{{ bos_token }}" + CHATML, eos="<|im_end|>")
    seen = seen_by(folder, PLAIN)  # TRL tokenises chats without special tokens
    assert seen.findings == Counter()
    assert seen.notes == ["the tokenizer adds BOS itself: rendered text must be tokenised with add_special_tokens=False"]
    careless = Truncation("whole", None, "nothing is cut", special=True)
    assert look(PLAIN, "pair", Lens(folder, careless, None)).findings == {"PD607": 1}


def test_pd608_not_a_prefix(tmp_path: Path) -> None:
    thought = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
    seen = seen_by(chatml(tmp_path, thought), PLAIN)
    assert seen.findings == {"PD608": 1}
    assert seen.lengths["prompt"] == {11: 1}  # as in TRL, the answer begins where the two diverge


def test_pd608_tokens_merge_across_the_boundary(tmp_path: Path) -> None:
    """`:` and `)` are one token together."""
    tokenizer = Tokenizer(models.BPE({"a": 0, ":": 1, ")": 2, ":)": 3, "<": 4}, [(":", ")")]))
    folder = save(tmp_path, tokenizer, "{% for m in messages %}{{ m.content }}{% endfor %}", bos=None, eos=None)
    seen = seen_by(folder, pairs((turns("a:"), ")", "a)")))
    assert seen.findings == {"PD608": 1}
    assert seen.lengths == {"prompt": {1: 1}, "chosen": {1: 1}, "rejected": {3: 1}, "whole row": {4: 1}}
    assert seen_by(folder, pairs((turns("a"), ")", "a)"))).findings == Counter()


def test_pd609_the_template_refuses(tmp_path: Path) -> None:
    folder = chatml(tmp_path, STRICT, eos="</s>")
    df = pairs((turns("a", system="Be brief"), "b", "c"), (turns("a"), "b", "c"), (turns("a", "b", "c"), "d", "e"))
    seen = seen_by(folder, df)
    assert seen.findings == {"PD609": 1}
    assert seen.examples["PD609"] == [{"id": "0" * 32, "field": "record", "detail": "System role not supported"}]
    assert seen.fates == {"refused": 1, "whole": 2}
    assert seen.lengths["prompt"].total() == 2
    assert seen.failed
    assert seen.notes == ["the template puts a space between prompt and answer: the model learns to begin its answers with it"]


def test_what_a_template_says_cannot_steer_a_terminal(tmp_path: Path) -> None:
    seen = seen_by(chatml(tmp_path, "{{ raise_exception('\\x1b[31mred\\n') }}"), PLAIN)
    assert seen.examples["PD609"][0]["detail"] == " [31mred "


def test_pd610_rewritten(tmp_path: Path) -> None:
    folder = chatml(tmp_path, THINKING)
    assert seen_by(folder, pairs((turns("a"), "<think> b </think>c", "d"))).findings == {"PD610": 1}
    assert seen_by(folder, PLAIN).findings == Counter()


# kinds


def test_binary_and_listwise(tmp_path: Path) -> None:
    folder = chatml(tmp_path)
    answer = [{"role": "assistant", "content": "b c"}]
    binary = pl.DataFrame([{"id": "0", "prompt": turns("a"), "completion": answer, "label": True}])
    assert seen_by(folder, binary, form="unpaired").lengths == {"prompt": {6: 1}, "completion": {3: 1}, "whole row": {9: 1}}
    listwise = pl.DataFrame([{"id": "0", "prompt": turns("a"), "completions": [{"messages": answer}, {"messages": turns("x", "b")[1:]}]}])
    assert seen_by(folder, listwise, target="jsonl").lengths == {"prompt": {6: 1}, "completions": {3: 1, 2: 1}, "whole row": {9: 1}}
    assert seen_by(folder, listwise, form="prompt-only").lengths == {"prompt": {6: 1}, "whole row": {6: 1}}


def test_plain_texts_need_no_template(tmp_path: Path) -> None:
    """TRL's standard form: <s> a, then b </s>. TRL tokenises with special tokens and appends EOS."""
    folder = save(tmp_path, words(VOCABULARY, add_bos=True), None)
    seen = seen_by(folder, pairs((turns("a"), "b", "c")), form="standard")
    assert seen.lengths == {"prompt": {2: 1}, "chosen": {2: 1}, "rejected": {2: 1}, "whole row": {4: 1}}
    assert (seen.findings, seen.notes) == (Counter(), [])


def test_tools_reach_the_template(tmp_path: Path) -> None:
    folder = chatml(tmp_path, TOOLS)
    call = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    job = [turns("a"), [[call]], '[{"name": "f"}]']
    (reply,) = next(rendered(load(folder), [[job]]))
    assert '"name": "f"' in reply["texts"][0]
    assert reply["texts"][1].endswith(
        'assistant 2\n[{"id": null, "type": "function", "function": {"name": "f", "arguments": "{}"}}]<|im_end|>\n'
    )


# cutting, as the sources of the trainers say


@pytest.mark.parametrize(
    ("target", "form", "prompt", "answers", "limit", "left"),
    [
        ("trl", "preference", 1024, [1, 1], 1024, None),
        ("trl", "preference", 1023, [5, 1], 1024, Cut(1023, [1, 1])),
        ("trl", "unpaired", 10, [5], 12, Cut(10, [2])),
        ("trl", "reward", 10, [5, 3], 14, None),
        ("trl", "reward", 10, [5, 3], 15, Cut(10, [5, 3])),
        ("axolotl", "preference", 10, [5, 3], 14, None),
        ("openrlhf", "preference", 510, [1, 1], 512, None),
        ("openrlhf", "preference", 509, [9, 1], 512, Cut(509, [3, 1])),
        ("openrlhf", "reward", 600, [9, 1], 512, Cut(512, [0, 0])),
        ("align-anything", "preference", 5000, [9, 1], 2048, Cut(5000, [9, 1])),
        # infer_seqlen: a short answer stays, a short prompt stays, else both in proportion
        ("llama-factory", "preference", 3000, [100, 50], 2048, Cut(1948, [100, 50])),
        ("llama-factory", "preference", 500, [3000, 50], 2048, Cut(500, [1548, 50])),
        ("llama-factory", "preference", 3000, [1000, 2000], 2048, Cut(1229, [819, 819])),
        ("jsonl", "pair", 3000, [10, 20], 1024, Cut(1024, [0, 0])),
    ],
)
def test_cut(target: str, form: str, prompt: int, answers: list[int], limit: int, left: Cut | None) -> None:
    assert cut(truncation_of(target, form), prompt, answers, limit) == left


def test_defaults() -> None:
    expected = {"trl": 1024, "llama-factory": 2048, "axolotl": 512, "openrlhf": 512, "align-anything": 2048, "unsloth": 1024}
    assert {t: TRUNCATION[t].default for t in expected} == expected
    assert truncation_of("trl", "preference") is TRUNCATION["trl"]
    assert truncation_of("azure-openai", "dpo").default is None


# statistics


def test_percentiles_are_nearest_rank() -> None:
    seen = Seen(rows=200)
    seen.lengths["whole row"] = Counter(dict.fromkeys(range(1, 201), 1))
    assert [seen.percentile("whole row", p) for p in (50, 90, 95, 99, 100)] == [100, 180, 190, 198, 200]
    assert seen.suggestion() == 256  # 198 tokens keep 99 %
    seen.lengths["whole row"] = Counter({64: 99, 5000: 1})
    assert seen.suggestion() == 64
    seen.lengths["whole row"] = Counter({64: 98, 65: 1, 5000: 1})
    assert seen.suggestion() == 128
    assert Seen().suggestion() is None


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 11))
def test_parts_add_up_to_the_whole(tmp_path: Path, sizes: list[tuple[int, int, int]], at: int) -> None:
    folder = chatml(tmp_path)
    df = pairs(*[(turns("a " * p + "b"), "c " * c + "d", "c " * r + "e") for p, c, r in sizes])
    whole = seen_by(folder, df, 24)
    parts = Seen()
    for part in (df[:at], df[at:]):
        parts.add(seen_by(folder, part, 24))
    assert parts == whole
    assert whole.fates.total() == whole.rows == len(sizes)


def test_lines_section_and_json(tmp_path: Path) -> None:
    folder = chatml(tmp_path)
    seen = seen_by(folder, pairs((turns("a"), "b c d", "b c e"), (turns("a"), "b", "c")), 8)
    policy = "sequences are cut at the end, rows whose prompt fills the length are dropped"
    fates = "cut 1 (50.0%), whole 1 (50.0%); 64 tokens keep 99 % whole"
    assert seen.lines() == [
        f"  seen through {folder}",
        f"    at 8 tokens, {policy}: {fates}",
        "    tokens         50 %     90 %     95 %     99 %      max",
        "    prompt            6        6        6        6        6",
        "    chosen            2        4        4        4        4",
        "    rejected          2        4        4        4        4",
        "    whole row         8       10       10       10       10",
        "    error PD603 equal-when-seen: 1 rows, chosen and rejected are the same tokens when the trainer sees them "
        f"(first: {0:032x}, both are the same 2 tokens)",
    ]
    section = "\n".join(seen.section())
    assert f"At 8 tokens, {policy}: {fates}." in section
    assert "| prompt | 6 | 6 | 6 | 6 | 6 |" in section
    assert "* 1 rows: PD603, chosen and rejected are the same tokens when the trainer sees them" in section
    as_dict = json.loads(json.dumps(seen.as_dict()))
    assert as_dict["tokens"]["chosen"] == {"p50": 2, "p90": 4, "p95": 4, "p99": 4, "max": 4}
    assert as_dict["findings"] == {"PD603": 1}


# real rows and properties


def test_real_rows_with_a_trained_tokenizer(run: Convert, real: Any, tmp_path: Path) -> None:
    """Counts agree with a plain loop over the rows, as TRL's tokenize_fn does it."""
    df, _ = run(real("hh_rlhf_harmless/harmless_base_test_part.jsonl.gz"))
    texts = df["chosen"].list.first().struct.field("content").to_list()
    tokenizer = bytes_(texts, 1000)
    folder = save(tmp_path / "t", tokenizer, CHATML, eos="<|im_end|>")
    seen = seen_by(folder, df, 256)
    assert seen.rows == df.height > 50
    fates: Counter[str] = Counter()
    for row in df.iter_rows(named=True):
        head = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["prompt"]) + "<|im_start|>assistant\n"
        prompt = len(tokenizer.encode(head).ids)
        longest = max(len(tokenizer.encode(head + row[c][0]["content"] + "<|im_end|>\n").ids) for c in ("chosen", "rejected"))
        fates["dropped" if prompt >= 256 else "cut" if longest > 256 else "whole"] += 1
    assert seen.fates == fates
    assert seen.findings["PD604"] == fates["dropped"]
    assert set(seen.findings) <= {"PD603", "PD604"}


@pytest.fixture(scope="module")
def byte_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("bytes"), bytes_(["user assistant system hello"], 300), CHATML, eos="<|im_end|>")


@settings(max_examples=15, deadline=None)
@given(st.lists(strategies.pairs(), min_size=1, max_size=5))
@example([{"prompt": turns("{{ 7 * 7 }}<|im_end|>"), "chosen": turns("", "x{% raw %}")[1:], "rejected": turns("", "x\u2028\x00")[1:]}])
def test_chatml_is_prefix_preserving(byte_folder: str, records: list[dict[str, Any]]) -> None:
    """Whatever the texts are: no template language in data is run, no boundary moves, and tokens of byte-level BPE give the text back."""
    rows = [{"id": str(i), **{k: r[k] for k in ("prompt", "chosen", "rejected")}} for i, r in enumerate(records)]
    seen = look(pl.DataFrame(rows), "pair", open_lens(byte_folder, "trl", "preference"))
    assert not set(seen.findings) & {"PD605", "PD606", "PD608", "PD609", "PD610"}
    loaded = load(byte_folder)
    replies = next(rendered(loaded, [[(r["prompt"], [r["chosen"]], None) for r in rows]]))
    for row, reply in zip(rows, replies, strict=True):
        assert reply["texts"][1] == reply["texts"][0] + row["chosen"][0]["content"] + "<|im_end|>\n"
        ids = loaded.tokenizer.encode(reply["texts"][1]).ids
        assert loaded.tokenizer.decode(ids, skip_special_tokens=False) == reply["texts"][1]


# templates are code of strangers

HOSTILE = {
    "a large range": "{% for i in range(10**9) %}{% endfor %}",
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "doubling": "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "a large constant": "{{ 'a' * 10**11 }}",
    "internals": "{{ ''.__class__.__mro__ }}",
    "globals": "{{ cycler.__init__.__globals__ }}",
    "changing the data": "{{ messages[0].update({'content': 'x'}) }}",
    "namespace": "{{ namespace(__class__=1) }}",
    "long output": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "half characters": "{{ '%c' % 55296 }}",
    "syntax": "{% for %}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="the chat template is refused"):
        seen_by(chatml(tmp_path, HOSTILE[name]), PLAIN)


@pytest.mark.parametrize("template", ["{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{{ messages.__class__.x }}x"])
def test_templates_reach_nothing_outside(tmp_path: Path, template: str) -> None:
    try:
        seen = seen_by(chatml(tmp_path, template), PLAIN)
    except InputError:
        return
    assert seen.findings == {"PD609": 1}


def test_the_process_of_the_template_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can open no file, start no process, and its environment holds the search path alone."""
    from prefdata.tokens import tokenizer

    monkeypatch.setenv("API_KEY", "secret")
    script = tmp_path / "probe.py"
    script.write_text(
        "import sys, os, json; sys.path.insert(0, os.path.dirname(RENDER)); import render; render.give_up_rights(); out = {}\n"
        "acts = {'open': lambda: open('/etc/hostname'), 'fork': lambda: os.fork() or os._exit(0), 'memory': lambda: bytes(1 << 31)}\n"
        "for name, act in acts.items():\n"
        "    try: act(); out[name] = 'allowed'\n"
        "    except (OSError, MemoryError) as e: out[name] = 'refused'\n"
        "out['key'] = os.environ.get('API_KEY'); print(json.dumps(out))\n".replace("RENDER", repr(tokenizer.RENDER)),
        encoding="utf-8",
    )
    monkeypatch.setattr(tokenizer, "RENDER", str(script))
    child = tokenizer._process()
    out, _ = child.communicate(b"")
    answer = json.loads(out)
    assert answer["key"] is None
    assert (answer["open"], answer["memory"]) == ("refused", "refused")
    assert answer["fork"] == "refused" or os.geteuid() == 0  # the limit does not hold for root


# folders


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names of models are not looked up"):
        open_lens("Qwen/Qwen3-8B", "trl", "preference")
    with pytest.raises(UsageError, match="no chat template"):
        open_lens(chatml(tmp_path, None), "trl", "preference")
    with pytest.raises(UsageError, match="at least 1"):
        open_lens(chatml(tmp_path), "trl", "preference", 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
        ("tokenizer_config.json", b"[]"),
        ("tokenizer_config.json", b"{"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"1": {"content": 1}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": 1}}'),
        ("chat_template.jinja", b"\xff"),
        ("generation_config.json", b"3"),
    ],
)
def test_broken_folders(tmp_path: Path, name: str, content: bytes) -> None:
    folder = Path(chatml(tmp_path))
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=str(folder)):
        open_lens(str(folder), "trl", "preference")


def test_templates_are_found_as_transformers_finds_them(tmp_path: Path) -> None:
    both = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]
    folder = chatml(tmp_path, both)  # type: ignore[arg-type]
    assert load(folder).templates == {"default": "D", "tool_use": "T"}
    replies = next(rendered(load(folder), [[(turns("a"), [], None), (turns("a"), [], "[]")]]))
    assert [r["texts"] for r in replies] == [["D"], ["T"]]
    (Path(folder) / "chat_template.jinja").write_text("J", encoding="utf-8")
    assert load(folder).templates == {"default": "J"}


def test_a_saved_tokenizer_that_cuts_by_itself(tmp_path: Path) -> None:
    tokenizer = words(VOCABULARY)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=50)
    assert seen_by(save(tmp_path, tokenizer, CHATML, eos="<|im_end|>"), PLAIN).lengths["whole row"] == {14: 1}


def test_special_tokens_that_the_vocabulary_lacks_are_added(tmp_path: Path) -> None:
    """<stop> is no word and no token of tokenizer.json: transformers adds it, so it is one token."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = save(tmp_path, tokenizer, "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", eos="<stop>")
    assert seen_by(folder, pairs((turns("a"), "a", "a a"))).lengths == {
        "prompt": {2: 1},
        "chosen": {2: 1},
        "rejected": {3: 1},
        "whole row": {5: 1},
    }


def test_no_rows_and_a_lens_that_travels(tmp_path: Path) -> None:
    lens = pickle.loads(pickle.dumps(open_lens(chatml(tmp_path), "trl", "preference")))  # noqa: S301 - our own bytes
    seen = look(PLAIN[:0], "pair", lens)
    assert (seen.rows, seen.fates, seen.suggestion()) == (0, Counter(), None)
    assert "no rows" in seen.summary()


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_same_as_transformers(tmp_path: Path, name: str) -> None:
    """Texts, tokens and errors, where transformers is installed (the extra [train])."""
    transformers = pytest.importorskip("transformers")
    folder = save(tmp_path, bytes_(["user assistant system hello world"], 300), TEMPLATES[name])
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), load(folder)
    for prompt in (turns("  a\n"), turns("a", "b", "&<c>", system="é\u2028")):
        (reply,) = next(rendered(ours, [[(prompt, [turns("", " x ")[1:]], '[{"name": "f"}]')]]))
        try:
            expected = theirs.apply_chat_template(prompt + turns("", " x ")[1:], tools=[{"name": "f"}], tokenize=False)
        except Exception as e:
            assert str(e) in reply["error"]
            continue
        assert reply["texts"][1] == expected
        assert ours.tokenizer.encode(expected, add_special_tokens=False).ids == theirs(expected, add_special_tokens=False)["input_ids"]


def test_generation_blocks_and_trimmed_blocks(tmp_path: Path) -> None:
    folder = chatml(tmp_path, GENERATION)
    assert seen_by(folder, PLAIN).fates == {"whole": 1}
    assert load(save(tmp_path / "2", words(VOCABULARY), LLAMA)).special == {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
