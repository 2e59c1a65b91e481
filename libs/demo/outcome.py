"""What became of the events: decisions, messages, receipts and doubts, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from libs.demo.purchases import VIETNAM
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from rich.console import Console

_QUERIES = load_queries(__file__)

OUTCOMES: Final = {
    "acted": "to send a message",
    "no_rule": "nothing: no rule applies",
    "no_profile": "nothing: the person is unknown, merged away or not real",
    "not_in_segment": "nothing: not in the segment",
    "cooldown": "nothing: had a message of this rule already",
    "no_consent": "nothing: never agreed to it",
    "hold_out": "nothing: held out, for comparison",
    "no_address": "nothing: no address for it",
    "expired": "nothing: too long ago",
    "error": "nothing: deciding failed",
}
STATES: Final = {
    "pending": "waits",
    "sending": "with the provider now",
    "accepted": "the provider took it",
    "retry_wait": "will be tried again",
    "failed": "the provider refused it; where there is another way, that is taken",
    "suppressed": "not sent after all",
    "expired": "not sent: too late",
    "cancelled": "not sent: stopped",
    "outcome_unknown": "in doubt: nobody knows whether the provider took it",
    "closed_unknown": "nobody will ever know",
    "dead_letter": "a person must look",
}
RECEIPTS: Final = {
    "delivered": "it is on the phone; the webhook's signature was checked",
    "sent": "the mail server has it; every report says so",
    "bounced": "the mailbox is gone, as the mail server found after it had taken the message",
}
SUPPRESSIONS: Final = {
    "bounced": "a mail came back: there is no such mailbox",
    "complained": "the person called a mail spam",
    "rejected": "the provider refuses the address for good",
    "requested": "somebody asked for it",
}
DOUBTS: Final = {
    "no_answer_lost": "the connection broke before the answer came",
    "no_answer_timeout": "no answer came in time",
    "http_503": "an error page came in place of an answer",
    "unreadable": "half of an answer came",
    "lease": "our own worker died while it asked",
}


@dataclass(frozen=True, slots=True)
class Activation:
    """What the database says, as rows of counts.

    Attributes:
        waiting_until: when the first message that waits for its hour is due.
        telling_event_id: the event whose story is worth telling.
    """

    decisions: Sequence[Mapping[str, Any]]
    deliveries: Sequence[Mapping[str, Any]]
    receipts: Sequence[Mapping[str, Any]]
    suppressions: Sequence[Mapping[str, Any]]
    doubts: Sequence[Mapping[str, Any]]
    waiting_until: datetime | None
    telling_event_id: UUID | None


async def read_activation(auditor: asyncpg.Connection, tenant_id: UUID) -> Activation:
    """What became of the tenant's events."""
    return Activation(
        decisions=[row async for row in _QUERIES.decisions(auditor, tenant_id=tenant_id)],
        deliveries=[row async for row in _QUERIES.deliveries(auditor, tenant_id=tenant_id)],
        receipts=[row async for row in _QUERIES.receipts(auditor, tenant_id=tenant_id)],
        suppressions=[row async for row in _QUERIES.suppressions(auditor, tenant_id=tenant_id)],
        doubts=[row async for row in _QUERIES.doubts(auditor, tenant_id=tenant_id)],
        waiting_until=await _QUERIES.waiting_until(auditor, tenant_id=tenant_id),
        telling_event_id=await _QUERIES.telling_event(auditor, tenant_id=tenant_id),
    )


def print_activation(console: Console, activation: Activation) -> None:
    """Print the tables."""
    console.print(_decision_table(activation.decisions))
    console.print(_delivery_table(activation.deliveries))
    if activation.waiting_until is not None:
        until = activation.waiting_until.astimezone(VIETNAM)
        console.print(
            f"What waits, waits for the end of quiet hours: at {until:%H:%M} in Việt Nam it goes "
            "out, if the stack still runs then.",
            soft_wrap=True,
            highlight=False,
        )
    console.print(_receipt_table(activation.receipts))
    if activation.suppressions:
        console.print(_suppression_table(activation.suppressions))
    if activation.doubts:
        console.print(_doubt_table(activation.doubts))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    table.add_column("count", justify="right")
    return table


def _decision_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("What was decided", "decision", "rule", "reason")
    for row in rows:
        words = OUTCOMES.get(row["outcome"], row["outcome"])
        table.add_row(words, row["rule"] or "-", row["reason"], f"{row['count']:,}")
    return table


def _delivery_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("What became of the messages", "channel", "state", "meaning", "reason")
    for row in rows:
        words = STATES.get(row["state"], "")
        table.add_row(row["channel"], row["state"], words, row["reason"], f"{row['count']:,}")
    return table


def _receipt_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("What the providers said later", "channel", "receipt", "meaning")
    for row in rows:
        words = RECEIPTS.get(row["kind"], "")
        table.add_row(row["channel"], row["kind"], words, f"{row['count']:,}")
    return table


def _suppression_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Addresses that get nothing more", "channel", "cause", "meaning")
    for row in rows:
        words = SUPPRESSIONS.get(row["cause"], "")
        table.add_row(row["channel"], row["cause"], words, f"{row['count']:,}")
    return table


def _doubt_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Doubts, and how they ended", "what happened", "how it ended")
    for row in rows:
        code = row["provider_code"]
        table.add_row(DOUBTS.get(code, code), _end_of_doubt(row), f"{row['count']:,}")
    return table


def _end_of_doubt(row: Mapping[str, Any]) -> str:
    if row["state"] == "accepted" and row["has_receipt"]:
        return "settled: the receipt proves that the provider took it"
    if row["state"] == "outcome_unknown":
        return "still in doubt, so it is not sent again: it could arrive twice"
    return STATES[row["state"]]
