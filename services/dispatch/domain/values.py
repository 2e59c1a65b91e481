"""A person's values and an event's, under the names by which a template asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

FIELDS: Final = {
    "profile": (
        "ext_id",
        "given_name",
        "middle_name",
        "family_name",
        "gender",
        "birth_year",
        "birth_month",
        "birth_day",
        "language",
        "city",
        "country",
        "funnel_stage",
        "transaction_value_vnd",
        "lifetime_value_vnd",
        "churn_score",
        "attributes",
    ),
    "event": ("type", "source", "time", "properties"),
}
# Objects of which any key may be asked; every other field is one text, number or time.
OPEN_FIELDS: Final = frozenset({"profile.attributes", "event.properties"})
_MONEY: Final = ("transaction_value_vnd", "lifetime_value_vnd")
_BIRTHDAY: Final = ("birth_year", "birth_month", "birth_day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a template may say of an event."""

    event_type: str
    source: str
    occurred_at: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Values:
    """Everything that one person's texts are made of.

    Attributes:
        profile, event: by the names of FIELDS; what is missing is left out.
        time_zone: in which days are told.
    """

    profile: Mapping[str, Any]
    event: Mapping[str, Any]
    time_zone: ZoneInfo


def values_of(document: Mapping[str, Any], event: Event | None, time_zone: ZoneInfo) -> Values:
    """The values in a profile version's document and, where there is one, an event."""
    profile = {name: document[name] for name in FIELDS["profile"] if name in document}
    for name in _MONEY:
        if name in document:
            profile[name] = int(document[name])
    profile |= zip(_BIRTHDAY, document.get("birth_date", ()), strict=False)
    if event is None:
        return Values(profile, {}, time_zone)
    told = {
        "type": event.event_type,
        "source": event.source,
        "time": event.occurred_at,
        "properties": event.properties,
    }
    return Values(profile, told, time_zone)
