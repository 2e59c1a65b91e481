"""Ids that say the same thing about the same thing."""

from __future__ import annotations

from uuid import UUID


def uuid8(digest: bytes) -> UUID:
    """The first 16 bytes of a digest as a UUID of version 8 (RFC 9562), the one for own hashes."""
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) | (0x8 << 76)  # the version
    value = value & ~(0x3 << 62) | (0x2 << 62)  # the variant
    return UUID(int=value)
