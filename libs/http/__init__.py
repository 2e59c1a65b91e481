"""HTTP, as the processes that speak it share it."""

from __future__ import annotations
