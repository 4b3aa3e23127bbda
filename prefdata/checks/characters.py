"""PD1: characters that do not belong into a text: broken, hidden, or spelt in two ways."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np
import polars as pl

from prefdata.checks.rule import Rule
from prefdata.checks.screens import TEXT, Blocks, hits, says, sift, texts_of, where
from prefdata.checks.view import Hits, Ints, View
from prefdata.io.positions import ahead, places, words

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{FFFD}]"
"""Control characters other than tab and line ends, and U+FFFD, which a decoder leaves where it failed."""


DELETED_OR_BROKEN = says("\x7f|\ufffd")


def control_character(v: View) -> list[Hits]:
    rare = sift(v, DELETED_OR_BROKEN, screen=DELETED_OR_BROKEN)["n"].to_numpy()
    return list(hits(v, np.union1d(rare, numbers(v, _below_space))))


def numbers(v: View, of: Callable[[Blocks], Ints]) -> Ints:
    """Numbers of the texts that a function finds in the blocks of a column."""
    texts = texts_of(v)
    return np.concatenate([start + of(blocks) for start, blocks in zip(texts.starts, texts.blocks, strict=False)])


def _below_space(blocks: Blocks) -> Ints:
    """Texts with a character below the space other than tab and line ends; a regex for so many characters would be ten times slower."""
    bytes_ = pl.Series(blocks.bytes)
    at = places(words(bytes_ < 32) & ~words(bytes_ == 10))
    return blocks.owners(at[(blocks.bytes[at] != 9) & (blocks.bytes[at] != 13)])


RTL = r"[\p{Arabic}\p{Hebrew}\p{Syriac}\p{Thaana}\p{Nko}]"
SPACELESS = r"[\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}]"
FLAG = r"\x{1F3F4}[\x{E0030}-\x{E0039}\x{E0061}-\x{E007A}]{3,6}\x{E007F}"
"""The flags of England, Scotland, Wales and other regions: the only use of tag characters."""

HIDDEN = {
    "bidirectional control": ("[\u202a-\u202e\u2066-\u2069]", None),
    "direction mark": ("[\u200e\u200f\u061c]", RTL),
    "zero-width character": ("[\u200b\u2060-\u2064\ufeff]", SPACELESS),
    "soft hyphen": ("\u00ad", None),
}
"""Characters without a glyph, and the scripts whose texts need them. Zero-width joiners belong to emoji and to many scripts."""

HIDDEN_SCREENS = (
    "|".join("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff")
    + "|\ufeff\ufeff",
    "[\u00ad\u061c]",
)
"""The same for blocks. A regex is fast when it is a few literals that begin differently: three bytes and two bytes go apart, and the pair
keeps the many single characters from becoming one class, which would be looked up byte by byte."""

TAGS = r"[\x{E0000}-\x{E007F}]|[\x{E0100}-\x{E01EF}]{2}"
"""Tag characters, and runs of selectors of which no more than one follows a character: both can spell out a whole hidden text."""


_SCREEN = pl.any_horizontal(says(p) for p in HIDDEN_SCREENS)
_KINDS = [(says(p) & ~says(needed) if needed else says(p)).alias(note) for note, (p, needed) in HIDDEN.items()]


def hidden_character(v: View) -> list[Hits]:
    out: list[Hits] = []
    some = sift(v, screen=_SCREEN)
    if some.height:
        flags = some.select("n", *_KINDS)
        for note in HIDDEN:
            out += hits(v, flags["n"].filter(flags[note]), note)
    if any(len(b.bytes) and b.bytes.max() >= 0xF3 for b in texts_of(v).blocks):  # no other character that is in use begins with such a byte
        tagged = sift(v, says(TAGS)).with_columns(TEXT.str.replace_all(FLAG, "")).filter(says(TAGS))
        out += hits(v, tagged["n"], "tag characters")
    return out


_SIGN = "[\u00a1-\u00aa\u00ac-\u00ba\u00bc-\u00bf€ƒ†‡ˆ‰Š‹ŒŽ™šœžŸ]"
"""What the second byte of a character becomes in Windows-1252, without the quotes, dashes and dots that true texts have after a letter."""
_ANY = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_C1 = "|".join(rf"\x{{{c:x}}}" for c in range(0x80, 0xA0) if c != 0x85)

MOJIBAKE = (
    f"Ã(?:{_SIGN}|\u00a0|˜|›)|[a-zß-ÿ]Ã{_ANY}|Â[\u00a0-\u00bf]|â€|ï¿½|ï»¿|ðŸ|ã€|ï¼|[ÐÑ]{_ANY}[ÐÑ]{_ANY}"
    f"|[a-z][ÄÅ](?:‚|™|›|„|…|Ÿ|“|”|¡|\u00bc|\u00bd|\u00be)|(?:^|[^\\p{{L}}])Å[’“][a-z]|{_C1}"
)
"""UTF-8 read as Latin-1 or Windows-1252. What also occurs in true texts (a Portuguese word in capitals before a closing quote, say) is left
out, or wanted behind a small letter."""
MOJIBAKE_SCREEN = f"Ã|Â|â€|ï¿½|ï»¿|ðŸ|ã€|ï¼|Ð|Ñ|Ä|Å|{_C1}"


def mojibake(v: View) -> list[Hits]:
    return where(v, says(MOJIBAKE), screen=says(MOJIBAKE_SCREEN))


UNUSUAL = (
    r"\p{M}|[\x{0340}-\x{0387}\x{0958}-\x{095F}\x{09DC}-\x{09DF}\x{0A33}-\x{0A5E}\x{0B5C}\x{0B5D}\x{0F43}-\x{0F69}"
    r"\x{1100}-\x{11FF}\x{1F00}-\x{1FFF}\x{2000}\x{2001}\x{2126}\x{212A}\x{212B}\x{2329}\x{232A}\x{2ADC}"
    r"\x{F900}-\x{FAFF}\x{FB1D}-\x{FB4E}\x{1D15E}-\x{1D1C0}\x{2F800}-\x{2FA1D}]"
)
"""Characters that a text which is not in NFC has at least one of."""


def _beyond_latin(blocks: Blocks) -> Ints:
    """Texts with a character from U+0300 on that is no dash, quote or dot of U+2010 to U+203F (three bytes, 0xE2, 0x80 and one from 0x90
    on): all others are in NFC."""
    bytes_ = pl.Series(blocks.bytes)
    usual = words(bytes_ == 0xE2) & ahead(words(bytes_ == 0x80), 1) & ahead(words(bytes_ >= 0x90), 2)
    return blocks.owners(places(words(bytes_ >= 0xCC) & ~usual))


def not_normalised(v: View) -> list[Hits]:
    some = texts_of(v).flat[numbers(v, _beyond_latin)].filter(says(UNUSUAL))
    # polars cannot ask this without making the normal form of every text; the loop is over texts with such characters only
    odd = [n for n, text in some.select("n", "content").iter_rows() if not unicodedata.is_normalized("NFC", text)]
    return list(hits(v, np.array(odd, dtype=np.int64)))


RULES = (
    Rule(
        code="PD107",
        name="control-character",
        severity="warning",
        message="a text has control characters or U+FFFD",
        reason="They come from broken decoding or terminal captures, tokenise badly, and teach the model to produce them.",
        bad='"content": "caf\\ufffd"',
        good='"content": "café"',
        fix="decode the source again with the right encoding",
        row=control_character,
        safe=True,
    ),
    Rule(
        code="PD114",
        name="hidden-character",
        severity="warning",
        message="a text has characters that cannot be seen",
        reason="They can carry instructions that no reviewer sees, break words into other tokens, and make equal texts unequal.",
        bad='"content": "pay\\u200bpal"',
        good='"content": "paypal"',
        fix="remove the characters, and look at what they hid",
        row=hidden_character,
        safe=True,
    ),
    Rule(
        code="PD116",
        name="mojibake",
        severity="warning",
        message="a text was decoded with the wrong encoding",
        reason="UTF-8 that was read as Latin-1 or Windows-1252 is noise to the tokeniser, and the model learns to write it.",
        bad='"content": "cafÃ©, donâ€™t"',
        good='"content": "café, don’t"',
        fix="decode the source again as UTF-8",
        row=mojibake,
    ),
    Rule(
        code="PD117",
        name="not-normalised",
        severity="info",
        message="a text is not in Unicode normal form C",
        reason="The same word in two spellings becomes different tokens, and duplicates of it are not found.",
        bad='"content": "cafe\\u0301"',
        good='"content": "café"',
        fix="normalise the source to NFC",
        row=not_normalised,
        on=False,
    ),
)
