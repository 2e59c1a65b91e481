"""The one way in which a delivery comes to stand elsewhere, but for the claim that begins a call.

A delivery that ends without having reached anybody hands over to the next choice of its decision in
the transaction that ends it: a crash leaves both or neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libs import audit
from libs.postgres.queries import load_queries
from services.dispatch.domain.delivery import ACTOR
from services.dispatch.store import Reached, decision_of, insert_reached

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.postgres.database import Connection
    from services.dispatch.domain.delivery import State

_QUERIES = load_queries(__file__)
# A definite no from the provider or from us. What somebody stopped (cancelled) or must look at
# (dead_letter) stays where it is, and so does what may have reached the person.
HANDS_OVER: Final[tuple[State, ...]] = ("failed", "suppressed", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where a delivery stands from now on.

    Attributes:
        epoch: of the claim that it is known by; under another one it is left alone.
        due_at: when its turn comes; None leaves the time as it is.
        provider_message_id: empty leaves it as it is.
    """

    delivery_id: UUID
    epoch: int
    state: State
    reason: str
    in_doubt: bool
    due_at: datetime | None = None
    provider_message_id: str = ""


async def move(connection: Connection, tenant_id: UUID, moves: Sequence[Move]) -> None:
    """Move deliveries, with all that follows from where they stand then.

    Those that end without having reached anybody get their next choices; those whose outcome is
    unknown are settled where a receipt has overtaken the answer that never came. Call it under the
    deliveries' locks. What is at its end is left alone.
    """
    if not moves:
        return
    await _QUERIES.move_deliveries(
        connection,
        tenant_id=tenant_id,
        delivery_ids=[move.delivery_id for move in moves],
        epochs=[move.epoch for move in moves],
        states=[move.state for move in moves],
        reasons=[move.reason for move in moves],
        in_doubts=[move.in_doubt for move in moves],
        due_ats=[move.due_at for move in moves],
        provider_message_ids=[move.provider_message_id for move in moves],
    )
    # Where all is well, as nearly always, neither costs anything.
    if ended := [move.delivery_id for move in moves if move.state in HANDS_OVER]:
        await _hand_over(connection, tenant_id, ended)
    if doubtful := [move.delivery_id for move in moves if move.state == "outcome_unknown"]:
        await settle(connection, tenant_id, doubtful)


async def settle(connection: Connection, tenant_id: UUID, delivery_ids: Sequence[UUID]) -> None:
    """Accept deliveries in doubt of which a stored receipt proves that the provider took them.

    Call it under the deliveries' locks, after their receipts are stored.
    """
    accepted = [
        Move(
            delivery_id=row["delivery_id"],
            epoch=row["epoch"],
            state="accepted",
            reason="a receipt proves that the provider took it",
            in_doubt=row["in_doubt"],
        )
        async for row in _QUERIES.select_proved(
            connection, tenant_id=tenant_id, delivery_ids=delivery_ids
        )
    ]
    await move(connection, tenant_id, accepted)
    for settled in accepted:
        await audit.append(
            connection,
            kind="delivery_settled",
            actor=ACTOR,
            call_id="",
            details={"delivery_id": str(settled.delivery_id), "state": "accepted"},
        )


async def _hand_over(connection: Connection, tenant_id: UUID, ended: Sequence[UUID]) -> None:
    """Make the next choice of each. Whether it is still allowed, its own claim asks."""
    following: list[Reached] = []
    async for row in _QUERIES.select_decisions_of_ended(
        connection, tenant_id=tenant_id, delivery_ids=ended, states=HANDS_OVER
    ):
        values = dict(row)
        step, before = values.pop("step"), values.pop("choice")
        decision = decision_of(values)
        choice = decision.choice_after(before)
        if choice is not None:
            following.append(Reached(decision, step, choice))
    if following:
        await insert_reached(connection, tenant_id, following)
