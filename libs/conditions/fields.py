"""The fields that a condition may read, and their types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

Scope = Literal["segment", "rule", "launch"]


class Type(Enum):
    """What a value is. The value of each member is its name for people.

    INT has 64 bits; NUMBER is a double, as the numbers of JSON are. Two INTs compare exactly;
    beside a NUMBER both count as doubles.
    """

    BOOL = "true or false"
    INT = "a whole number"
    NUMBER = "a number"
    TEXT = "text"
    TIME = "a time"
    DURATION = "a duration"
    TEXTS = "a list of texts"
    NUMBERS = "a list of numbers"


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field.

    Attributes:
        type: None for an object of which any key may be read: its values have the type that the
            condition takes them for.
        optional: it may be missing, so that a condition may ask has().
    """

    type: Type | None
    optional: bool = False


PROFILE_FIELDS: Final = {
    "ext_id": Field(Type.TEXT),
    "state": Field(Type.TEXT),
    "context": Field(Type.TEXT),
    "given_name": Field(Type.TEXT),
    "middle_name": Field(Type.TEXT),
    "family_name": Field(Type.TEXT),
    "gender": Field(Type.TEXT),
    "birth_year": Field(Type.INT, optional=True),
    "birth_month": Field(Type.INT, optional=True),
    "birth_day": Field(Type.INT, optional=True),
    "language": Field(Type.TEXT),
    "city": Field(Type.TEXT),
    "country": Field(Type.TEXT),
    "emails": Field(Type.TEXTS),
    "phones": Field(Type.TEXTS),
    "zalo_user_id": Field(Type.TEXT),
    "labels": Field(Type.TEXTS),
    "source_segment_ids": Field(Type.TEXTS),
    "funnel_stage": Field(Type.TEXT),
    "transaction_value_vnd": Field(Type.INT),
    "lifetime_value_vnd": Field(Type.INT),
    "churn_score": Field(Type.NUMBER, optional=True),
    "attributes": Field(None),
    "created_at": Field(Type.TIME),
    "updated_at": Field(Type.TIME),
}
EVENT_FIELDS: Final = {
    "type": Field(Type.TEXT),
    "source": Field(Type.TEXT),
    "time": Field(Type.TIME),
    "properties": Field(None),
}
# Consent is asked by consent.granted(channel, purpose) and not by fields.
CONSENT: Final = "consent"
EVENT: Final = "event"
NOW: Final = "now"

_SEGMENT_FIELDS: Final = {
    **{f"profile.{name}": field for name, field in PROFILE_FIELDS.items()},
    NOW: Field(Type.TIME),
}
_RULE_FIELDS: Final = {
    **_SEGMENT_FIELDS,
    **{f"{EVENT}.{name}": field for name, field in EVENT_FIELDS.items()},
}


def fields_of(scope: Scope) -> dict[str, Field]:
    """The fields of a kind of condition by their full names.

    Only a rule about events has an event; one that is launched reads what a segment does.
    """
    return _RULE_FIELDS if scope == "rule" else _SEGMENT_FIELDS


def roots_of(scope: Scope) -> list[str]:
    """The words that a field starts with."""
    return sorted({name.split(".")[0] for name in fields_of(scope)} | {CONSENT})
