"""The delivery machine: claim, intent, send, result; each doubt kept until evidence settles it."""

from __future__ import annotations

from services.dispatch.machine.results import settle

__all__ = ["settle"]
