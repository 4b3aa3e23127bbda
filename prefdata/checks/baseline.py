"""A ratchet: findings that are known already do not fail a run, new ones do, and the known ones can only become fewer.

The file holds, for every rule, the number of findings and their fingerprints (rule, content id of the record, field): a finding is known
again when its line moves, and forgotten when the record changes. Of a rule with over MOST findings only the number is kept.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from prefdata.checks.result import Finding, ValidateResult
from prefdata.errors import UsageError
from prefdata.io.write import replacing

MOST = 10_000
Update = Literal["no", "down", "all"]


@dataclass
class Baseline:
    """Known findings: counts by rule, and fingerprints with how often each occurs."""

    counts: Counter[str] = field(default_factory=Counter)
    known: dict[str, Counter[str]] = field(default_factory=dict)


def read(path: str) -> Baseline:
    """Raises UsageError for a file that is none."""
    try:
        with open(path, "rb") as f:
            found = orjson.loads(f.read())
        rules = found["rules"]
        counts = Counter({str(code): int(rule["count"]) for code, rule in rules.items()})
        known = {str(c): Counter({str(k): int(n) for k, n in r["findings"].items()}) for c, r in rules.items() if r["findings"] is not None}
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such baseline; --update-baseline all writes the first one") from None
    except OSError as e:
        raise UsageError(f"{path}: cannot be read ({e.strerror or e})") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise UsageError(f"{path} is no baseline of prefdata validate ({e})") from None
    return Baseline(counts, known)


def write(path: str, baseline: Baseline) -> None:
    """Sorted, so that a change of it can be read in a review."""
    rules: dict[str, Any] = {}
    for code in sorted(c for c, n in baseline.counts.items() if n):
        findings = baseline.known.get(code)
        rules[code] = {"count": baseline.counts[code], "findings": dict(sorted(findings.items())) if findings is not None else None}
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(orjson.dumps({"version": 1, "rules": rules}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def of(result: ValidateResult) -> Baseline:
    """The findings of a run, all of which `result.findings` lists."""
    known: dict[str, Counter[str]] = {code: Counter() for code, n in result.counts.items() if n <= MOST}
    for f in result.findings:
        if f.code in known:
            known[f.code][f.fingerprint] += 1
    return Baseline(Counter(result.counts), known)


def compare(result: ValidateResult, before: Baseline) -> tuple[dict[str, dict[str, int]], list[Finding]]:
    """Counts of known, new and gone findings by rule, and the new findings."""
    now = of(result)
    new: list[Finding] = []
    counts: dict[str, dict[str, int]] = {"known": {}, "new": {}, "gone": {}}
    for code in sorted({*now.counts, *before.counts} & set(result.severities)):
        if code in now.known and (code in before.known or not before.counts[code]):
            left = Counter(before.known.get(code, Counter()))
            mine = []
            for f in (f for f in result.findings if f.code == code):
                if left[f.fingerprint] > 0:
                    left[f.fingerprint] -= 1
                else:
                    mine.append(f)
            found = {"known": now.counts[code] - len(mine), "new": len(mine), "gone": left.total()}
            new += mine
        else:  # too many to tell one from another
            more = max(0, now.counts[code] - before.counts[code])
            found = {"known": now.counts[code] - more, "new": more, "gone": max(0, before.counts[code] - now.counts[code])}
            new += [f for f in result.findings if f.code == code][-more:] if more else []
        for what, n in found.items():
            if n:
                counts[what][code] = n
    return counts, new


def apply(result: ValidateResult, path: str, update: Update) -> None:
    """Judge a result by a baseline: only new findings are listed and can fail. `down` takes findings that are gone out of the file, `all`
    takes in new ones, too. Rules that did not run keep what the file says of them."""
    before = Baseline() if update == "all" and not os.path.exists(path) else read(path)
    counts, new = compare(result, before)
    result.baseline = {"path": path, **counts, "updated": False}
    now = of(result)
    kept = Baseline(before.counts, before.known)
    for code in result.severities:
        if update == "all":
            kept.counts[code] = now.counts[code]
            kept.known.pop(code, None)
            if code in now.known:
                kept.known[code] = now.known[code]
        elif update == "down" and counts["gone"].get(code):
            kept.counts[code] = counts["known"].get(code, 0)
            if code in kept.known and code in now.known:
                kept.known[code] &= now.known[code]
    if update == "all" or (update == "down" and counts["gone"]):
        write(path, kept)
        result.baseline["updated"] = True
        if update == "all":
            new, result.baseline["new"] = [], {}
    result.findings = new
