"""Ids of requests that a second run makes again."""

from __future__ import annotations

import hashlib
from uuid import UUID


def request_id_of(text: str) -> str:
    """The same UUID4 for the same text: a second run repeats the first one's requests."""
    return str(UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))
