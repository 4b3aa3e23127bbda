"""Thrift's compact protocol, as far as the footers of Parquet files use it: bytes to plain values, and back to the same bytes.
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

A struct is `{field id: (type, value)}` in the order of the file, a list is `(type of its elements, values)`. (The thrift package reads
footers only with classes made from Parquet's definition by a compiler.)"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)

Struct = dict[int, tuple[int, Any]]


class Reader:
    """Reads values one behind the other. Raises ValueError for a type that footers do not have."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, n: int) -> bytes:
        self._at += n
        return self._data[self._at - n : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _signed(self) -> int:
        n = self._unsigned()
        return (n >> 1) ^ -(n & 1)

    def struct(self) -> Struct:
        out: Struct = {}
        field = 0
        while head := self._take(1)[0]:
            field = field + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            out[field] = (kind, kind == TRUE if kind in (TRUE, FALSE) else self._value(kind))
        return out

    def _value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == BINARY:
            return self._take(self._unsigned())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            head = self._take(1)[0]
            size = head >> 4 if head >> 4 < 15 else self._unsigned()
            return head & 15, [self._value(head & 15) for _ in range(size)]
        if kind in (TRUE, FALSE, BYTE, DOUBLE):  # booleans in a list take a byte
            return self._take(8 if kind == DOUBLE else 1)
        raise ValueError(f"no footer has values of the thrift type {kind}")


def _unsigned(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _signed(n: int) -> bytes:
    return _unsigned(n << 1 if n >= 0 else (-n << 1) - 1)


def packed(struct: Struct) -> bytes:
    """The bytes of a struct."""
    out, before = [], 0
    for field, (kind, value) in struct.items():
        near = 0 < field - before < 16
        out.append(bytes([(field - before) << 4 | kind]) if near else bytes([kind]) + _signed(field))
        if kind not in (TRUE, FALSE):
            out.append(_packed(kind, value))
        before = field
    return b"".join([*out, b"\0"])


def _packed(kind: int, value: Any) -> bytes:
    if kind in (I16, I32, I64):
        return _signed(value)
    if kind == BINARY:
        return _unsigned(len(value)) + bytes(value)
    if kind == STRUCT:
        return packed(value)
    if kind in (LIST, SET):
        inner, values = value
        head = bytes([len(values) << 4 | inner]) if len(values) < 15 else bytes([0xF0 | inner]) + _unsigned(len(values))
        return head + b"".join(_packed(inner, v) for v in values)
    return bytes(value)
