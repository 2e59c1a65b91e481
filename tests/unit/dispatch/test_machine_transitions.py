from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from services.dispatch.channels.contract import Capabilities, ProviderClass, SendKind, SendResult
from services.dispatch.machine.settings import MachineSettings
from services.dispatch.machine.transitions import (
    SPREADS,
    TOO_LATE,
    Next,
    after_result,
    without_sending,
)

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
ANY = UUID(int=1)
THEN = NOW + timedelta(hours=3)
SETTINGS = MachineSettings(
    attempt_count_max=4, backoff_min=timedelta(seconds=8), backoff_max=timedelta(seconds=60)
)
WITHOUT_KEY = Capabilities(
    idempotency=None, echo_window=timedelta(days=1), lookup=False, screen_dedupe=False
)
WITH_KEY = replace(WITHOUT_KEY, idempotency=timedelta(days=1))
ON_SCREEN = replace(WITHOUT_KEY, screen_dedupe=True)
KEYS = {"no key": WITHOUT_KEY, "key": WITH_KEY, "screen": ON_SCREEN}


def after(
    kind: SendKind,
    provider_class: ProviderClass = "R",
    *,
    capabilities: Capabilities = WITHOUT_KEY,
    in_doubt: bool = False,
    attempt: int = 1,
    retry_at: datetime | None = None,
    delivery_id: UUID = ANY,
    expires_at: datetime = NOW + timedelta(days=1),
) -> Next:
    result = SendResult(
        kind=kind, provider_class=provider_class, code="c", reason="why", retry_at=retry_at
    )
    return after_result(
        result,
        delivery_id=delivery_id,
        capabilities=capabilities,
        in_doubt=in_doubt,
        attempt=attempt,
        now=NOW,
        expires_at=expires_at,
        settings=SETTINGS,
    )


# What a result leads to, by: kind, an earlier doubt, a key, the last attempt that may be.
TABLE = {
    ("accepted", False, False, False): ("accepted", False),
    ("accepted", False, False, True): ("accepted", False),
    ("accepted", False, True, False): ("accepted", False),
    ("accepted", False, True, True): ("accepted", False),
    ("accepted", True, False, False): ("accepted", True),
    ("accepted", True, False, True): ("accepted", True),
    ("accepted", True, True, False): ("accepted", True),
    ("accepted", True, True, True): ("accepted", True),
    ("rejected", False, False, False): ("failed", False),
    ("rejected", False, False, True): ("failed", False),
    ("rejected", False, True, False): ("failed", False),
    ("rejected", False, True, True): ("failed", False),
    ("rejected", True, False, False): ("outcome_unknown", True),
    ("rejected", True, False, True): ("outcome_unknown", True),
    ("rejected", True, True, False): ("outcome_unknown", True),
    ("rejected", True, True, True): ("outcome_unknown", True),
    ("retry_at", False, False, False): ("retry_wait", False),
    ("retry_at", False, False, True): ("failed", False),
    ("retry_at", False, True, False): ("retry_wait", False),
    ("retry_at", False, True, True): ("failed", False),
    ("retry_at", True, False, False): ("outcome_unknown", True),
    ("retry_at", True, False, True): ("outcome_unknown", True),
    ("retry_at", True, True, False): ("retry_wait", True),
    ("retry_at", True, True, True): ("outcome_unknown", True),
    ("unknown", False, False, False): ("outcome_unknown", True),
    ("unknown", False, False, True): ("outcome_unknown", True),
    ("unknown", False, True, False): ("retry_wait", True),
    ("unknown", False, True, True): ("outcome_unknown", True),
    ("unknown", True, False, False): ("outcome_unknown", True),
    ("unknown", True, False, True): ("outcome_unknown", True),
    ("unknown", True, True, False): ("retry_wait", True),
    ("unknown", True, True, True): ("outcome_unknown", True),
}


def test_the_table_is_complete() -> None:
    kinds = ("accepted", "rejected", "retry_at", "unknown")
    assert set(TABLE) == set(product(kinds, *[(False, True)] * 3))


@pytest.mark.parametrize("key", ["key", "screen"])
@pytest.mark.parametrize("case", TABLE, ids=lambda case: "-".join(map(str, case)))
def test_a_result_leads_to_one_state(case: tuple[SendKind, bool, bool, bool], key: str) -> None:
    kind, in_doubt, knows_key, is_last = case
    found = after(
        kind,
        capabilities=KEYS[key] if knows_key else WITHOUT_KEY,
        in_doubt=in_doubt,
        attempt=SETTINGS.attempt_count_max if is_last else 1,
    )
    assert (found.state, found.in_doubt) == TABLE[case]
    assert (found.due_at is not None) == (found.state == "retry_wait")
    assert found.reason == ("" if found.state == "accepted" else "why")


@pytest.mark.parametrize("provider_class", ["RL", "Q", "D", "T"])
def test_what_passes_by_itself_is_never_the_last_attempt(provider_class: ProviderClass) -> None:
    found = after("retry_at", provider_class, attempt=1000)
    assert found.state == "retry_wait"
    assert found.due_at is not None
    assert found.due_at <= NOW + SETTINGS.backoff_max


def test_the_providers_time_counts() -> None:
    # Of this class nothing is known but the time itself.
    assert after("retry_at", "R", retry_at=THEN).due_at == THEN


@pytest.mark.parametrize("provider_class", SPREADS)
def test_what_waits_for_one_moment_comes_back_one_by_one(provider_class: ProviderClass) -> None:
    def due_at(delivery_id: UUID) -> datetime:
        found = after("retry_at", provider_class, retry_at=THEN, delivery_id=delivery_id)
        assert found.due_at is not None
        return found.due_at

    deliveries = [uuid4() for _ in range(1000)]
    waits = [due_at(delivery_id) - THEN for delivery_id in deliveries]
    spread = SPREADS[provider_class]
    assert timedelta(0) <= min(waits) < max(waits) < spread
    # Each tenth of the time gets about a tenth of them; less than half of that is no chance.
    tenths = [0] * 10
    for wait in waits:
        tenths[int(wait / spread * 10)] += 1
    assert min(tenths) > 50
    assert due_at(deliveries[0]) == due_at(deliveries[0])


@pytest.mark.parametrize("spread", [timedelta(microseconds=1), timedelta(seconds=10)])
def test_nothing_waits_beyond_its_time_to_live(spread: timedelta) -> None:
    for number in range(100):
        found = after(
            "retry_at",
            "D",
            retry_at=THEN,
            expires_at=THEN + spread,
            delivery_id=UUID(int=number),
        )
        assert found.state == "retry_wait"
        assert found.due_at is not None
        assert THEN <= found.due_at < THEN + spread


@pytest.mark.parametrize(
    ("kind", "in_doubt", "state"),
    [
        ("retry_at", False, "failed"),
        ("retry_at", True, "outcome_unknown"),
        ("unknown", False, "outcome_unknown"),
    ],
)
def test_what_can_be_tried_again_too_late_alone_is_at_its_end(
    kind: SendKind,
    in_doubt: bool,  # noqa: FBT001
    state: str,
) -> None:
    found = after(
        kind,
        "Q",
        capabilities=WITH_KEY,
        in_doubt=in_doubt,
        retry_at=THEN,
        expires_at=THEN,
    )
    assert (found.state, found.reason, found.due_at) == (state, f"why{TOO_LATE}", None)


@pytest.mark.parametrize(
    ("attempt", "longest_seconds"), [(1, 8), (2, 16), (3, 32), (4, 60), (9, 60)]
)
def test_the_wait_doubles_up_to_its_limit_with_jitter(attempt: int, longest_seconds: int) -> None:
    waits = set()
    for _ in range(50):
        due_at = after("retry_at", "T", attempt=attempt).due_at
        assert due_at is not None
        waits.add(due_at - NOW)
    longest = timedelta(seconds=longest_seconds)
    assert longest / 2 <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize("state", ["suppressed", "expired", "cancelled", "dead_letter"])
def test_what_is_not_sent_ends_so_only_without_a_doubt(state: str) -> None:
    assert without_sending(state, "why", in_doubt=False) == (state, "why")  # type: ignore[arg-type]
    assert without_sending(state, "why", in_doubt=True) == (  # type: ignore[arg-type]
        "outcome_unknown",
        "not sent again: why",
    )
