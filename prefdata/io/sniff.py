"""What a file is: looked up in its first bytes, not believed from its name."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, BinaryIO, Literal

from prefdata.errors import InputError, UsageError

Format = Literal["jsonl", "json", "csv", "parquet", "arrow", "xml"]
Codec = Literal["none", "gzip", "zstd"]

HEAD = 256 * 1024
LFS = b"version https://git-lfs.github.com/spec/"
_MAGIC: tuple[tuple[bytes, Codec], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PACKED = (".gz", ".gzip", ".zst", ".zstd")


@dataclass(frozen=True)
class Input:
    """One input file: its path, the name that messages show, how it is packed, what it holds, its first unpacked bytes, and what tells
    that it has changed."""

    path: str
    name: str
    format: Format
    codec: Codec
    size: int
    head: bytes
    stamp: tuple[int, int]


def stamp_of(path: str) -> tuple[int, int]:
    """The size of a file and the time of its last change: other contents have another one."""
    about = os.stat(path)
    return about.st_size, about.st_mtime_ns


def expand(paths: list[str]) -> list[str]:
    """Globs to sorted paths; everything else unchanged. A glob without a match and a directory are usage errors."""
    out: list[str] = []
    for path in paths:
        if path == "-" or path.startswith("hub:") or os.path.exists(path) or not glob.has_magic(path):
            out.append(path)
        else:
            found = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
            if not found:
                raise UsageError(f"{path}: no file matches this pattern")
            out += found
    for path in out:
        if os.path.isdir(path):
            raise UsageError(f"{path} is a directory; name its files, for example '{os.path.join(path, '*.jsonl')}'")
    return out


def open_bytes(path: str) -> BinaryIO:
    """The raw bytes of a path. Raises InputError in words a user can act on."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_instead(path)}") from None
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None


def _instead(path: str) -> str:
    """What may have been meant by a name that is no file: an address, a data set of the hub, a file with nearly this name."""
    if "://" in path:
        return "; addresses are not opened: download it first"
    folder, name = os.path.split(path)
    near = get_close_matches(name, os.listdir(folder or "."), n=1, cutoff=0.8) if os.path.isdir(folder or ".") else []
    if near:
        return f"; did you mean {os.path.join(folder, near[0])}?"
    if folder and not os.path.isdir(folder):
        hub = f"; a data set of the Hugging Face hub is named hub:{path}" if re.fullmatch(r"[\w.-]+/[\w.-]+", path) else ""
        return f", and no folder {folder}{hub}"
    return ""


def spool(path: str) -> str:
    """Copy stdin ("-") or a pipe to a temporary file, so that it can be sniffed, hashed and cut into shards like any file."""
    if path == "-" and sys.stdin is None:
        raise InputError("stdin is closed")
    with contextlib.ExitStack() as stack:
        source = sys.stdin.buffer if path == "-" else stack.enter_context(open_bytes(path))
        target = stack.enter_context(tempfile.NamedTemporaryFile(prefix="prefdata-input-", delete=False))
        shutil.copyfileobj(source, target, 1 << 20)
        return target.name


def unpacked(raw: BinaryIO, codec: Codec) -> Any:
    """A stream of the unpacked bytes (all members of a multi-member file); it raises OSError when the data is cut off."""
    if codec == "none":
        return raw
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)


def sniff(path: str, name: str | None = None) -> Input:
    """Open, look at the head and classify. Raises InputError for a file that cannot hold records."""
    name = name or path
    with open_bytes(path) as raw:
        try:
            stamp = stamp_of(path)
            head = raw.read(HEAD)
            codec = codec_of(head)
            if codec != "none":
                head = _unpacked_head(name, raw, codec)
        except OSError as e:
            raise InputError(f"{name}: cannot be read ({e.strerror or e})") from None
    return Input(path, name, format_of(name, head), codec, stamp[0], head, stamp)


def codec_of(head: bytes) -> Codec:
    for magic, codec in _MAGIC:
        if head.startswith(magic):
            return codec
    return "none"


def _unpacked_head(name: str, raw: BinaryIO, codec: Codec) -> bytes:
    raw.seek(0)
    stream = unpacked(raw, codec)
    head = b""
    try:
        while len(head) < HEAD and (chunk := stream.read(HEAD - len(head))):
            head += chunk
    except OSError as e:
        if not head:
            raise InputError(f"{name}: broken {codec} data ({e})") from None
    return head


def format_of(name: str, head: bytes) -> Format:
    """The format that the first bytes show; the name only tells CSV from JSON lines."""
    if not head:
        raise InputError(f"{name} is empty")
    if head.startswith(LFS):
        raise InputError(f"{name} is a Git-LFS pointer, not the data: run 'git lfs pull' in its repository")
    if head.startswith(_UTF16) or (len(head) > 3 and head[1:4:2] == b"\0\0"):
        raise InputError(f"{name} is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8 {name} > new-file")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    stem = name.lower()
    for suffix in _PACKED:
        stem = stem.removesuffix(suffix)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise InputError(f"{name} is empty (only white space)")
    if stem.endswith((".parquet", ".arrow", ".feather")):
        raise InputError(f"{name} is not a {stem.rsplit('.', 1)[-1]} file: its first bytes are {head[:16]!r}")
    if stem.endswith((".csv", ".tsv")):
        return "csv"
    first_line, _, rest = text.partition(b"\n")
    if text.startswith(b"[") and not (stem.endswith((".jsonl", ".ndjson")) and first_line.rstrip().endswith(b"]") and rest.strip()):
        return "json"
    if text.startswith(b"<"):
        return "xml"
    if text.startswith(b"{") or stem.endswith((".jsonl", ".json", ".ndjson")):
        return "jsonl"
    return "csv" if b"\t" in first_line or b"," in first_line else "jsonl"
