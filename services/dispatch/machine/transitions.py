"""The state machine: what becomes of a delivery, from what its provider said and what is in doubt.

Pure functions. The law is docs/reference/delivery.md: at most one acceptance, and a doubt is never
erased by a later answer to another attempt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from services.dispatch.channels.contract import Capabilities, SendResult
    from services.dispatch.domain.delivery import State
    from services.dispatch.machine.settings import MachineSettings

# More would overflow a timedelta; the longest back-off is reached long before.
DOUBLING_COUNT_MAX = 20


@dataclass(frozen=True, slots=True)
class Next:
    """Where a delivery stands after a result.

    Attributes:
        due_at: when it is tried again; None where it is not.
    """

    state: State
    reason: str
    in_doubt: bool
    due_at: datetime | None = None


def knows_key(capabilities: Capabilities) -> bool:
    """Whether the same message may go out again without reaching the person twice."""
    return capabilities.idempotency is not None or capabilities.screen_dedupe


def after_result(
    result: SendResult,
    *,
    capabilities: Capabilities,
    in_doubt: bool,
    attempt: int,
    now: datetime,
    settings: MachineSettings,
) -> Next:
    """Where a delivery stands after an attempt.

    Args:
        result: what the provider said, or that it said nothing.
        capabilities: of the channel.
        in_doubt: whether an earlier attempt ended without an answer.
        attempt: counts from 1.
        now: by the database's clock.
        settings: how often and when to try again.
    """
    if result.kind == "accepted":
        return Next("accepted", "", in_doubt=in_doubt)
    if result.kind == "unknown":
        if knows_key(capabilities) and attempt < settings.attempt_count_max:
            return Next(
                "retry_wait", result.reason, in_doubt=True, due_at=_again(attempt, now, settings)
            )
        return Next("outcome_unknown", result.reason, in_doubt=True)
    # The provider's own limits, its nights and its tokens end by themselves, or the delivery by its
    # time to live.
    passes = result.provider_class != "R" or attempt < settings.attempt_count_max
    if result.kind == "retry_at" and passes and (not in_doubt or knows_key(capabilities)):
        due_at = result.retry_at or _again(attempt, now, settings)
        return Next("retry_wait", result.reason, in_doubt=in_doubt, due_at=due_at)
    if in_doubt:
        # A definite no to this attempt says nothing about the one that went unanswered.
        return Next("outcome_unknown", result.reason, in_doubt=True)
    return Next("failed", result.reason, in_doubt=False)


def without_sending(state: State, reason: str, *, in_doubt: bool) -> tuple[State, str]:
    """How a delivery ends that is not sent (again): with a doubt, its outcome is unknown."""
    return ("outcome_unknown", f"not sent again: {reason}") if in_doubt else (state, reason)


def _again(attempt: int, now: datetime, settings: MachineSettings) -> datetime:
    doublings: int = 2 ** min(attempt - 1, DOUBLING_COUNT_MAX)
    longest = min(settings.backoff_min * doublings, settings.backoff_max)
    # Jitter, so that what failed together does not come back together.
    return now + longest * random.uniform(0.5, 1.0)  # noqa: S311
