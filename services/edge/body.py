"""A request's body, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.edge.errors import BodyTooLargeError

if TYPE_CHECKING:
    from fastapi import Request


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Read the body, byte for byte.

    Raises:
        BodyTooLargeError: it is larger than `bytes_max`; the rest is not read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLargeError(
                f"the body is larger than {bytes_max} bytes",
                metadata={"body_bytes_max": str(bytes_max)},
            )
    return bytes(body)
