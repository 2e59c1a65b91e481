"""Real purchases as events: a slice of the CDNOW log. See data/SOURCE.md."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import leo_sdk
from libs.demo.people import ext_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leo.ingest.v1.ingest_service_pb2 import Event

SOURCE = "cdnow"
SLICE = Path(__file__).parent / "data" / "cdnow_slice.csv"
# A round rate, so that amounts look as they do in Viet Nam; it is nobody's quotation.
VND_PER_USD = 25_000
# Asia/Ho_Chi_Minh, which has no summer time.
VIETNAM = timezone(timedelta(hours=7))
_SHOP_OPENS = time(7)
_SHOP_OPEN_SECONDS = 16 * 60 * 60


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line of the log.

    Attributes:
        line: its number in the original file; the event's id in its source.
        day: the date in the log, in 1997.
        value_usd: what was paid.
    """

    line: int
    customer_id: str
    day: date
    cd_count: int
    value_usd: Decimal


def read_purchases() -> list[Purchase]:
    """All purchases of the slice, in the order of the log, which is by customer."""
    with SLICE.open(encoding="ascii", newline="") as file:
        return [
            Purchase(
                line=int(row["line"]),
                customer_id=row["customer_id"],
                day=datetime.strptime(row["date"], "%Y%m%d").replace(tzinfo=UTC).date(),
                cd_count=int(row["number_of_cds"]),
                value_usd=Decimal(row["dollar_value"]),
            )
            for row in csv.DictReader(file)
        ]


def value_vnd(purchase: Purchase) -> int:
    """What was paid, in đồng."""
    return int(purchase.value_usd * VND_PER_USD)


def moved_times(purchases: Sequence[Purchase], created_at: datetime) -> dict[int, datetime]:
    """When each purchase happens in the demo, by line.

    The last day of the slice becomes the day before `created_at`, the tenant's creation: so every
    purchase lies in the past, and a later run, which finds the same tenant, tells the same times.
    The log has no time of day; the line number gives one within the shop's hours.
    """
    last_day = created_at.astimezone(VIETNAM).date() - timedelta(days=1)
    shift = last_day - max(purchase.day for purchase in purchases)
    return {
        purchase.line: datetime.combine(purchase.day + shift, _SHOP_OPENS, VIETNAM)
        + timedelta(seconds=_number_of(purchase.line) % _SHOP_OPEN_SECONDS)
        for purchase in purchases
    }


def purchase_event(purchase: Purchase, event_time: datetime) -> Event:
    """The purchase as the shop would tell it, with what the log really says beside it."""
    return leo_sdk.event(
        source=SOURCE,
        source_event_id=str(purchase.line),
        event_type="purchase",
        profile_ext_id=ext_id_of(purchase.customer_id),
        event_time=event_time,
        properties={
            "cd_count": purchase.cd_count,
            "value_vnd": value_vnd(purchase),
            "original_day": purchase.day.isoformat(),
            "original_value_usd": str(purchase.value_usd),
        },
    )


def purchase_events(purchases: Sequence[Purchase], created_at: datetime) -> list[Event]:
    """All purchases as events, in the order in which they happen."""
    times = moved_times(purchases, created_at)
    in_order = sorted(purchases, key=lambda purchase: (times[purchase.line], purchase.line))
    return [purchase_event(purchase, times[purchase.line]) for purchase in in_order]


def _number_of(line: int) -> int:
    return int.from_bytes(hashlib.sha256(str(line).encode()).digest()[:8], "big")
