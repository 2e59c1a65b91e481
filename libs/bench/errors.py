"""Why there are no figures."""

from __future__ import annotations


class BenchError(Exception):
    """The figures would be worth nothing; the message says why."""
