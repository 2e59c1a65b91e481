"""Why an embedded server does not start."""

from __future__ import annotations

from libs.rpc.errors import StartError


class EmbeddedError(StartError):
    """A server cannot be set up or started; the message says what to do about it."""
