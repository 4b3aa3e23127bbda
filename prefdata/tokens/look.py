"""Records as sequences of tokens, and what is amiss with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from prefdata.errors import UsageError
from prefdata.tokens.tally import EXAMPLES, ROW, Seen
from prefdata.tokens.tokenizer import Loaded, load, rendered
from prefdata.tokens.truncation import Truncation, cut, truncation_of

ANSWERS = {"pair": ("chosen", "rejected"), "binary": ("completion",)}
BATCH, BATCH_BYTES = 128, 1 << 23
SPACE = "the template puts a space between prompt and answer: the model learns to begin its answers with it"
Finding = tuple[str, str, str]
"""Code, field, detail."""


@dataclass(frozen=True)
class Lens:
    """Through what records are looked at. It can be pickled."""

    tokenizer: str
    truncation: Truncation
    max_length: int | None


class Row(NamedTuple):
    """One record: the fields of its answers, texts and tokens of the prompt and of the prompt with each answer."""

    id: str
    fields: list[str]
    prompt: list[dict[str, Any]]
    answers: list[list[dict[str, Any]]]
    texts: list[str]
    ids: list[list[int]]


def open_lens(tokenizer: str, target: str, form: str, max_length: int | None = None) -> Lens:
    """The lens of a target's form; `max_length` goes before the target's default. Raises UsageError and InputError."""
    t = truncation_of(target, form)
    if max_length is not None and max_length < 1:
        raise UsageError("--max-length: at least 1")
    loaded = load(tokenizer)
    if t.sees != "text":
        list(rendered(loaded, []))  # a template that is missing or does not compile stops the work before it begins
    return Lens(tokenizer, t, t.default if max_length is None else max_length)


def look(records: pl.DataFrame, kind: str, lens: Lens) -> Seen:
    """What the trainer will see of the records. Raises InputError when the chat template is refused."""
    loaded = load(lens.tokenizer)
    seen = Seen(lens.tokenizer, lens.truncation.words, lens.max_length, rows=records.height)
    if not records.height:
        return seen
    step = max(1, min(BATCH, BATCH_BYTES * records.height // max(int(records.estimated_size()), 1)))
    batches = [_jobs(part, kind, lens.truncation) for part in records.iter_slices(step)]
    texts = _plain(batches, loaded) if lens.truncation.sees == "text" else rendered(loaded, ([j[2:] for j in b] for b in batches))
    number = -1
    for batch, replies in zip(batches, texts, strict=True):
        for row, error in _rows(batch, replies, loaded, lens.truncation):
            number += 1
            found = [("PD609", "record", error)] if error is not None else _findings(row, loaded, lens, seen)
            if error is not None:
                seen.fates["refused"] += 1
            _count(row.id, found, seen)
            seen.flags += [(number, *f) for f in found]
    seen.notes += _notes(loaded, lens)
    return seen


def _jobs(part: pl.DataFrame, kind: str, t: Truncation) -> list[tuple[str, list[str], Any, list[Any], str | None]]:
    """`(id, fields, prompt, answers, tools)` of each record."""
    out = []
    for r in part.iter_rows(named=True):
        if t.sees == "prompt":
            answers = {}
        elif kind == "listwise":
            answers = {f"completions[{i}]": c["messages"] for i, c in enumerate(r["completions"])}
        else:
            answers = {c: r[c] for c in ANSWERS[kind]}
        out.append((r["id"], list(answers), r["prompt"], list(answers.values()), r.get("tools")))
    return out


def _plain(batches: list[list[Any]], loaded: Loaded) -> Iterator[list[dict[str, Any]]]:
    """Texts without a template, as the `standard` form writes them."""
    for batch in batches:
        yield [{"texts": [j[2][-1]["content"], *[j[2][-1]["content"] + "\n" + a[0]["content"] for a in j[3]]]} for j in batch]


def _rows(batch: list[Any], replies: list[dict[str, Any]], loaded: Loaded, t: Truncation) -> Iterator[tuple[Row, str | None]]:
    """The rows with their tokens, or with the error of the template."""
    finished: list[list[str]] = []
    for reply in replies:
        prompt, *whole = reply.get("texts", [""])
        finished.append([prompt, *[_finish(w, loaded, t) for w in whole]])
    flat = [text for texts in finished for text in texts]
    encoded = iter(loaded.tokenizer.encode_batch_fast(flat, add_special_tokens=t.special))
    for (id_, fields, prompt, answers, _), texts, reply in zip(batch, finished, replies, strict=True):
        ids = [next(encoded).ids for _ in texts]
        yield Row(id_, fields, prompt, answers, texts, ids), reply.get("error")


def _finish(text: str, loaded: Loaded, t: Truncation) -> str:
    """The text with the end that the trainer gives it."""
    text = text.rstrip(t.strip) if t.strip else text
    eos = loaded.special.get("eos_token")
    return text if t.eos is None or eos is None or text.endswith(eos) else text + t.eos + eos


def _findings(row: Row, loaded: Loaded, lens: Lens, seen: Seen) -> list[Finding]:
    """Everything about one row; its lengths and its fate go into the tally."""
    out: list[Finding] = []
    prompt, *whole = row.ids
    shared = min([common(prompt, w) for w in whole], default=len(prompt))
    for name, answer, text, ids in zip(row.fields, row.answers, row.texts[1:], whole, strict=True):
        if lens.truncation.sees == "chat":
            out += _boundary(name, answer, row.texts[0], text, len(prompt) - common(prompt, ids))
            if text.startswith(row.texts[0] + " ") and not answer[0]["content"].startswith(" ") and SPACE not in seen.notes:
                seen.notes.append(SPACE)
        elif common(prompt, ids) < len(prompt):
            out.append(("PD608", name, "tokens merge across the end of the prompt"))
        out += _ends(name, text, ids, loaded)
    measured = [("prompt", shared), *[(f.partition("[")[0], len(w) - shared) for f, w in zip(row.fields, whole, strict=True)]]
    for name, length in [*measured, (ROW, max([len(w) for w in whole], default=shared))]:
        seen.lengths.setdefault(name, Counter())[length] += 1
    return out + _cut(row, shared, loaded, lens, seen)


def _boundary(name: str, answer: list[dict[str, Any]], prompt: str, text: str, lost: int) -> list[Finding]:
    """Is the rendered prompt followed by the answer as it was judged?"""
    if not text.startswith(prompt):
        if text.startswith(prompt.rstrip()):
            return [("PD605", name, "the end of the rendered prompt differs in white space")]
        return [("PD608", name, "the rendered prompt is not the beginning of the conversation")]
    out = [("PD608", name, "tokens merge across the end of the prompt")] if lost else []
    said = answer[0]["content"]
    if len(answer) == 1 and said and not answer[0].get("tool_calls"):
        rest = text[len(prompt) :]
        if said not in rest:
            out.append(("PD605", name, "the template trims the answer") if said.strip() in rest else ("PD610", name, "its text is changed"))
    return out


def _ends(name: str, text: str, ids: list[int], loaded: Loaded) -> list[Finding]:
    """BOS and EOS."""
    out = []
    if loaded.ends and not text.rstrip().endswith(tuple(loaded.ends)):
        out.append(("PD606", name, f"it ends with {text.rstrip()[-12:]!r}"))
    bos, eos = loaded.id_of("bos_token"), loaded.id_of("eos_token")
    if bos is not None and ids[:2] == [bos, bos]:
        out.append(("PD607", name, "two BOS"))
    if eos is not None and ids[-2:] == [eos, eos]:
        out.append(("PD607", name, "two EOS"))
    return out


def _cut(row: Row, shared: int, loaded: Loaded, lens: Lens, seen: Seen) -> list[Finding]:
    """What the maximum length does to the row."""
    answers = [ids[shared:] for ids in row.ids[1:]]
    limit, t = lens.max_length, lens.truncation
    left = None if limit is None else cut(t, shared, [len(a) for a in answers], limit)
    if limit is not None and left is None:
        seen.fates["dropped"] += 1
        return [("PD604", "prompt" if shared >= limit else "record", f"{max([shared, *map(len, row.ids[1:])]):,} tokens")]
    cuts = left is not None and (left.prompt < shared or any(k < len(a) for k, a in zip(left.answers, answers, strict=True)))
    seen.fates["cut" if cuts else "whole"] += 1
    kept = answers if left is None else [a[: _kept(k, len(a), t)] for k, a in zip(left.answers, answers, strict=True)]
    out: list[Finding] = [("PD602", f, "no token is left") for f, a in zip(row.fields, kept, strict=True) if not a]
    if row.fields == ["chosen", "rejected"] and kept[0] == kept[1]:
        out.append(("PD603", "rejected", f"both are the same {len(kept[0]):,} tokens"))
    if left is not None and left.prompt < shared and _question_ends(row, loaded) > left.prompt:
        out.append(("PD601", "prompt", f"{left.prompt:,} of {shared:,} tokens of the prompt are left"))
    return out


def _kept(kept: int, of: int, t: Truncation) -> int:
    return max(kept - 1, 0) if t.eos_on_cut and kept < of else kept


def _question_ends(row: Row, loaded: Loaded) -> int:
    """The number of tokens up to the end of the last user turn in the prompt."""
    said = next((m["content"].strip() for m in reversed(row.prompt) if m["role"] == "user"), "")
    start = row.texts[0].rfind(said)
    token = None
    if said and start >= 0:
        token = loaded.tokenizer.encode(row.texts[0], add_special_tokens=False).char_to_token(start + len(said) - 1)
    return len(row.ids[0]) if token is None else token + 1


def _count(id_: str, found: list[Finding], seen: Seen) -> None:
    for code, (_, name, detail) in {f[0]: f for f in reversed(found)}.items():
        seen.findings[code] += 1
        if len(seen.examples.setdefault(code, [])) < EXAMPLES:
            seen.examples[code].append({"id": id_, "field": name, "detail": detail})


def _notes(loaded: Loaded, lens: Lens) -> list[str]:
    """What is true of the tokenizer and not of a row."""
    out = []
    if not loaded.ends:
        out.append("the tokenizer names no eos_token, so nothing can be said about the end of answers")
    plain, full = (loaded.tokenizer.encode("a", add_special_tokens=s).ids for s in (False, True))
    added = [n for n in ("bos_token", "eos_token") if (i := loaded.id_of(n)) is not None and full.count(i) > plain.count(i)]
    if added and lens.truncation.sees == "chat" and not lens.truncation.special:
        names = " and ".join(n.removesuffix("_token").upper() for n in added)
        out.append(f"the tokenizer adds {names} itself: rendered text must be tokenised with add_special_tokens=False")
    return out


def common(a: list[int], b: list[int]) -> int:
    """How many tokens two sequences begin with together."""
    if b[: len(a)] == a:
        return len(a)
    return next(i for i in range(len(a) + 1) if i >= len(b) or i >= len(a) or a[i] != b[i])
