"""Links by which a person withdraws consent without logging in, sealed by who sends them."""

from __future__ import annotations

from libs.unsubscribe.links import LinkInvalidError, UnsubscribeLinks, Withdrawal
from libs.unsubscribe.settings import UnsubscribeSettings

__all__ = ["LinkInvalidError", "UnsubscribeLinks", "UnsubscribeSettings", "Withdrawal"]
