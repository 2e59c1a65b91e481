"""The delivery machine: claim, intent, send, result; each doubt kept until evidence settles it."""

from __future__ import annotations

from services.dispatch.machine.moves import settle

__all__ = ["settle"]
