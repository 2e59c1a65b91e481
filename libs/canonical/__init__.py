"""Canonical JSON (RFC 8785): the same bytes for the same value, whoever writes them.

The library for it, rfc8785, is written in Python and took a quarter of the time that ingest spends
on an event. Where orjson writes the same bytes, sixty times as fast, it does: with keys in ASCII
(it sorts by UTF-8, the standard by UTF-16) and numbers that both write without an exponent.
"""

from __future__ import annotations

from typing import Any

import orjson
import rfc8785

__all__ = ["CanonicalError", "dumps"]

_INTEGER_MAX = 2**53 - 1
_FRACTION_MIN = 1e-4
_FRACTION_MAX = 1e15


class CanonicalError(ValueError):
    """No canonical form: a number that readers would round, half of a surrogate pair, no JSON."""


def dumps(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        CanonicalError: a value has no canonical form.
    """
    try:
        if _is_written_alike(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return rfc8785.dumps(value)
    except (orjson.JSONEncodeError, rfc8785.CanonicalizationError) as error:
        raise CanonicalError("a value has no canonical form") from error


def _is_written_alike(value: Any) -> bool:  # noqa: PLR0911 - one for each type
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_INTEGER_MAX <= value <= _INTEGER_MAX)
    if kind is float:
        return bool(not value.is_integer() and _FRACTION_MIN <= abs(value) < _FRACTION_MAX)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_written_alike(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_written_alike, value))
    return False
