"""Pages of a list: by the keys of the last item, never by its number (AIP-158)."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import orjson

from libs.fields import unstorable

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500


class PageSizeError(ValueError):
    """The page_size is negative."""


class PageTokenError(ValueError):
    """The page_token is not one that this list gave."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a caller asks for.

    Attributes:
        size: items at most.
        after: the keys of the last item of the page before; empty for the first page.
    """

    size: int
    after: tuple[str, ...]


def page_of(
    page_size: int,
    page_token: str,
    *,
    key_count: int,
    default: int = PAGE_SIZE_DEFAULT,
    maximum: int = PAGE_SIZE_MAX,
) -> Page:
    """The page that a request asks for; a size of 0 is the default, a larger one the maximum.

    Args:
        page_size: as in the request.
        page_token: as in the request.
        key_count: how many keys this list's tokens hold.
        default: the size where none is asked for.
        maximum: the largest size.

    Raises:
        PageSizeError: the size is negative.
        PageTokenError: the token is none of this list.
    """
    if page_size < 0:
        raise PageSizeError
    size = min(page_size, maximum) or default
    if not page_token:
        return Page(size, ())
    try:
        keys = orjson.loads(base64.urlsafe_b64decode(page_token.encode("ascii")))
    except ValueError as error:
        raise PageTokenError from error
    if not isinstance(keys, list) or [type(key) for key in keys] != [str] * key_count:
        raise PageTokenError
    if any(map(unstorable, keys)):
        raise PageTokenError
    return Page(size, tuple(keys))


def refusal_of(error: ValueError) -> tuple[str, str]:
    """The field of a request that `page_of`, or reading the keys behind it, refused, and why."""
    if isinstance(error, PageSizeError):
        return "page_size", "must not be negative"
    return "page_token", "must be the next_page_token of the page before"


def token_of(*keys: str) -> str:
    """The token of the page behind the item with these keys."""
    return base64.urlsafe_b64encode(orjson.dumps(keys)).decode()
