"""Metrics of text_similarity, from 0 (nothing in common) to 1. OpenAI names the metrics, not their settings; ours are told below.

nltk has BLEU, GLEU and METEOR, rouge-score ROUGE (both are in OpenAI's image of Python graders), rapidfuzz the fuzzy match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

Measure = Callable[[str, str], float]
_CJK = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_WORD = re.compile(r"[^\W_]+")


def metric(name: str) -> Measure:
    """The measure `(input, reference) -> 0 to 1` of an evaluation_metric."""
    if name.startswith("rouge_"):
        return rouge(name)
    return fuzzy_match if name == "fuzzy_match" else {"bleu": bleu, "gleu": gleu, "meteor": meteor}[name]()


def fuzzy_match(text: str, reference: str) -> float:
    """rapidfuzz's WRatio after lower-casing and without punctuation, as in the Python grader of OpenAI's guide."""
    from rapidfuzz import fuzz, utils

    return fuzz.WRatio(text, reference, processor=utils.default_process) / 100


def _words() -> Callable[[str], list[str]]:
    """nltk's word tokenizer, which needs no data files; Chinese and Japanese characters are words each."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return lambda text: list(tokenizer.tokenize(_CJK.sub(r" \1 ", text)))


def bleu() -> Measure:
    """Sentence BLEU of up to 4-grams (of fewer where the text has fewer words), exponential smoothing: as sacreBLEU's sentence_bleu."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    words, smooth = _words(), SmoothingFunction().method3

    def measure(text: str, reference: str) -> float:
        said, wanted = words(text), words(reference)
        n = min(4, len(said))
        return min(1.0, float(sentence_bleu([wanted], said, (1 / n,) * n, smooth))) if n and set(said) & set(wanted) else 0.0

    return measure


def gleu() -> Measure:
    """Google BLEU (Wu et al. 2016): the smaller of precision and recall of all 1- to 4-grams."""
    from nltk.translate.gleu_score import sentence_gleu

    words = _words()
    return lambda text, reference: float(sentence_gleu([words(reference)], words(text)))


class _NoSynonyms:
    def synsets(self, word: str) -> list[object]:
        return []


def meteor() -> Measure:
    """METEOR with exact and stemmed matches. Synonyms would need WordNet, which is a download, and a score must not depend on one."""
    from nltk.translate.meteor_score import single_meteor_score

    words = _words()
    return lambda text, reference: float(single_meteor_score(words(reference), words(text), wordnet=_NoSynonyms()))


class _Words:
    """rouge-score's own tokenizer knows a to z only: a Chinese answer equal to its reference would get 0."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(_CJK.sub(r" \1 ", text.lower()))


def rouge(name: str) -> Measure:
    """F1 of n-grams (rouge_1 to rouge_5) or of the longest common subsequence (rouge_l), lower case, no stemming."""
    from rouge_score.rouge_scorer import RougeScorer

    kind = "rouge" + name.removeprefix("rouge_").upper()
    scorer = RougeScorer([kind], tokenizer=_Words())
    return partial(_rouge, scorer.score, kind)


def _rouge(score: Callable[[str, str], dict[str, tuple[float, float, float]]], kind: str, text: str, reference: str) -> float:
    return float(score(reference, text)[kind][2])
