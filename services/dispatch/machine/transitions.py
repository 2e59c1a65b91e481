"""The state machine: what becomes of a delivery, from what its provider said and what is in doubt.

Pure functions. The law is docs/reference/delivery.md: at most one acceptance, and a doubt is never
erased by a later answer to another attempt.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from services.dispatch.channels.contract import Capabilities, ProviderClass, SendResult
    from services.dispatch.domain.delivery import State
    from services.dispatch.machine.settings import MachineSettings

# More would overflow a timedelta; the longest back-off is reached long before.
DOUBLING_COUNT_MAX = 20
# Over how long what waits for one moment of its provider comes back, by what it waits for: most of
# the next minute, a quarter after midnight, half an hour of the morning.
SPREADS: Final[Mapping[ProviderClass, timedelta]] = {
    "RL": timedelta(seconds=45),
    "Q": timedelta(minutes=15),
    "D": timedelta(minutes=30),
}
TOO_LATE: Final = "; by the time it may be tried again it is no longer worth sending"


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
    delivery_id: UUID,
    capabilities: Capabilities,
    in_doubt: bool,
    attempt: int,
    now: datetime,
    expires_at: datetime,
    settings: MachineSettings,
) -> Next:
    """Where a delivery stands after an attempt.

    What can be tried again only when it is no longer worth sending is not tried again: the next
    choice of its decision may still be in time.

    Args:
        result: what the provider said, or that it said nothing.
        delivery_id: its place among those that wait for the same moment.
        capabilities: of the channel.
        in_doubt: whether an earlier attempt ended without an answer.
        attempt: counts from 1.
        now: by the database's clock.
        expires_at: when it is no longer worth sending.
        settings: how often and when to try again.
    """
    if result.kind == "accepted":
        return Next("accepted", "", in_doubt=in_doubt)
    doubted = in_doubt or result.kind == "unknown"
    # The provider's own limits, its nights and its tokens end by themselves, or the delivery by its
    # time to live.
    counts = result.kind == "unknown" or result.provider_class == "R"
    again = (
        result.kind != "rejected"
        and (not counts or attempt < settings.attempt_count_max)
        and (not doubted or knows_key(capabilities))
    )
    reason = result.reason
    if again:
        due_at = _again(attempt, now, settings)
        if result.retry_at is not None:
            due_at = _spread(result.retry_at, result.provider_class, delivery_id, expires_at)
        if due_at < expires_at:
            return Next("retry_wait", reason, in_doubt=doubted, due_at=due_at)
        reason += TOO_LATE
    if doubted:
        # A definite no to this attempt says nothing about one that went unanswered.
        return Next("outcome_unknown", reason, in_doubt=True)
    return Next("failed", reason, in_doubt=False)


def without_sending(state: State, reason: str, *, in_doubt: bool) -> tuple[State, str]:
    """How a delivery ends that is not sent (again): with a doubt, its outcome is unknown."""
    return ("outcome_unknown", f"not sent again: {reason}") if in_doubt else (state, reason)


def _again(attempt: int, now: datetime, settings: MachineSettings) -> datetime:
    doublings: int = 2 ** min(attempt - 1, DOUBLING_COUNT_MAX)
    longest = min(settings.backoff_min * doublings, settings.backoff_max)
    # Jitter, so that what failed together does not come back together.
    return now + longest * random.uniform(0.5, 1.0)  # noqa: S311


def _spread(
    at: datetime, provider_class: ProviderClass, delivery_id: UUID, expires_at: datetime
) -> datetime:
    """A time of its own for each of those that wait for one moment: never before it.

    It is within the time to live, unless the moment itself is not.
    """
    window = min(SPREADS.get(provider_class, timedelta(0)), max(expires_at - at, timedelta(0)))
    place = int.from_bytes(hashlib.sha256(delivery_id.bytes).digest()[:4], "big")
    return at + window * place // 2**32
