"""A profile in canonical form, its document and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from libs import canonical
from libs.addressing import normal_email, normal_phone
from libs.fields import NAME_LENGTH_MAX
from services.ingest.domain.limits import (
    ATTRIBUTES_BYTES_MAX,
    CLOCK_AHEAD_MAX,
    EMAIL_COUNT_MAX,
    EXT_ID_LENGTH_MAX,
    HINT_COUNT_MAX,
    LABEL_COUNT_MAX,
    MONEY_VND_MAX,
    PHONE_COUNT_MAX,
    PUSH_ADDRESS_COUNT_MAX,
    PUSH_ADDRESS_LENGTH_MAX,
    SEGMENT_COUNT_MAX,
    SOURCE_REVISION_LENGTH_MAX,
    TEXT_LENGTH_MAX,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

State = Literal["active", "inactive", "merged"]
Context = Literal["production", "test", "fake"]
Gender = Literal["", "female", "male", "other"]
Outcome = Literal["created", "updated", "unchanged", "stale"]

# The leap year stands in where only day and month of a birthday are known.
_LEAP_YEAR = 2024
_YEAR_MIN = 1900
# Not part of the document: the source renews both with every write, changed or not.
_BOOKKEEPING = frozenset({"source_updated_at", "source_revision"})


@dataclass(frozen=True, slots=True)
class PushAddress:
    """One device or browser: the provider's name and the address there."""

    provider: str
    address: str


@dataclass(frozen=True, slots=True)
class BirthDate:
    """A birthday; year is None where only day and month are known."""

    year: int | None
    month: int
    day: int

    def valid(self) -> bool:
        """Whether there is such a day, from 1900 on."""
        if self.year is not None and self.year < _YEAR_MIN:
            return False
        try:
            date(self.year or _LEAP_YEAR, self.month, self.day)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One person in canonical form; the field names are the columns of cdp_profiles.

    Attributes:
        emails, phones, push_addresses: the first choice first. A delivery names an address by its
            kind and place in here, so the order is part of the version.
        consent_hints: the source's own flag for a channel; True is agreed.
    """

    ext_id: str
    state: State = "active"
    merged_into_ext_id: str = ""
    context: Context = "production"
    given_name: str = ""
    middle_name: str = ""
    family_name: str = ""
    gender: Gender = ""
    birth_date: BirthDate | None = None
    language: str = ""
    city: str = ""
    country: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    zalo_user_id: str = ""
    push_addresses: tuple[PushAddress, ...] = ()
    labels: tuple[str, ...] = ()
    source_segment_ids: tuple[str, ...] = ()
    funnel_stage: str = ""
    transaction_value_vnd: int = 0
    lifetime_value_vnd: int = 0
    churn_score: float | None = None
    consent_hints: dict[str, bool] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    source_updated_at: datetime | None = None
    source_revision: str = ""


@dataclass(frozen=True, slots=True)
class VersionedProfile:
    """A profile with the document of its version, ready to be stored.

    Attributes:
        document: the canonical JSON text of everything but the source's bookkeeping.
        digest: SHA-256 of it; two profiles with one digest are one version.
    """

    profile: Profile
    document: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What became of a profile, and the version that is stored now."""

    outcome: Outcome
    profile_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class CurrentProfile:
    """A profile as it is now."""

    profile_id: UUID
    version: int
    updated_at: datetime
    profile: Profile


def with_document(profile: Profile) -> VersionedProfile:
    """The profile with its canonical document (RFC 8785) and digest; empty fields are left out."""
    document: dict[str, Any] = {"ext_id": profile.ext_id, "state": profile.state}
    document["context"] = profile.context
    for column in fields(profile):
        value = getattr(profile, column.name)
        if column.name not in _BOOKKEEPING and value not in ("", (), None, {}, 0):
            document[column.name] = value
    if profile.churn_score is not None:
        document["churn_score"] = profile.churn_score
    if profile.birth_date is not None:
        birth_date = profile.birth_date
        document["birth_date"] = [birth_date.year, birth_date.month, birth_date.day]
    if profile.push_addresses:
        document["push_addresses"] = [
            [item.provider, item.address] for item in profile.push_addresses
        ]
    # Money may be beyond what a JSON number holds.
    for money in ("transaction_value_vnd", "lifetime_value_vnd"):
        if money in document:
            document[money] = str(document[money])
    text = canonical.dumps(document)
    return VersionedProfile(profile, text.decode(), hashlib.sha256(text).digest())


def check_profile(found: Fields, profile: Profile, *, now: datetime) -> None:
    """Note in `found` everything that is wrong with a profile in canonical form."""
    _check_texts(found, profile)
    _check_addresses(found, profile)
    if (profile.state == "merged") != bool(profile.merged_into_ext_id):
        found.refuse("merged_into_ext_id", "must be set if and only if state is STATE_MERGED")
    if profile.gender not in get_args(Gender):
        found.refuse("gender", 'must be "female", "male", "other" or empty')
    if profile.birth_date is not None and not profile.birth_date.valid():
        found.refuse("birth_date", f"is no day of the calendar since {_YEAR_MIN}")
    if profile.churn_score is not None and not 0 <= profile.churn_score <= 1:
        found.refuse("churn_score", "must be from 0 to 1")
    for money in ("transaction_value_vnd", "lifetime_value_vnd"):
        if not -MONEY_VND_MAX <= getattr(profile, money) <= MONEY_VND_MAX:
            found.refuse(money, "is out of the range of 64 bits")
    if found.json("attributes", profile.attributes):
        attributes_bytes = len(orjson.dumps(profile.attributes))
        if attributes_bytes > ATTRIBUTES_BYTES_MAX:
            found.refuse(
                "attributes",
                f"takes {attributes_bytes} bytes; at most {ATTRIBUTES_BYTES_MAX} are allowed",
            )
    if profile.source_updated_at is not None:
        found.time(
            "source_update_time",
            profile.source_updated_at,
            now=now,
            ahead=CLOCK_AHEAD_MAX,
            age=None,
        )


def _check_texts(found: Fields, profile: Profile) -> None:
    found.text("ext_id", profile.ext_id, length_max=EXT_ID_LENGTH_MAX, required=True)
    for name in ("merged_into_ext_id", "zalo_user_id"):
        found.text(name, getattr(profile, name), length_max=EXT_ID_LENGTH_MAX)
    for name in ("given_name", "middle_name", "family_name", "city", "country", "funnel_stage"):
        found.text(name, getattr(profile, name), length_max=TEXT_LENGTH_MAX)
    found.text("language", profile.language, length_max=NAME_LENGTH_MAX)
    found.text("source_revision", profile.source_revision, length_max=SOURCE_REVISION_LENGTH_MAX)
    found.count("labels", len(profile.labels), LABEL_COUNT_MAX)
    for index, label in enumerate(profile.labels):
        found.text(f"labels[{index}]", label, length_max=TEXT_LENGTH_MAX, required=True)
    found.count("source_segment_ids", len(profile.source_segment_ids), SEGMENT_COUNT_MAX)
    for index, segment_id in enumerate(profile.source_segment_ids):
        found.text(
            f"source_segment_ids[{index}]", segment_id, length_max=EXT_ID_LENGTH_MAX, required=True
        )
    found.count("consent_hints", len(profile.consent_hints), HINT_COUNT_MAX)
    for index, channel in enumerate(profile.consent_hints):
        found.text(
            f"consent_hints[{index}].channel", channel, length_max=NAME_LENGTH_MAX, required=True
        )


def _check_addresses(found: Fields, profile: Profile) -> None:
    found.count("emails", len(profile.emails), EMAIL_COUNT_MAX)
    for index, email in enumerate(profile.emails):
        if normal_email(email) is None:
            found.refuse(f"emails[{index}]", "is not an email address")
    found.count("phones", len(profile.phones), PHONE_COUNT_MAX)
    for index, phone in enumerate(profile.phones):
        if normal_phone(phone) != phone:
            found.refuse(
                f"phones[{index}]", 'is not a valid number in E.164, such as "+84903111222"'
            )
    found.count("push_addresses", len(profile.push_addresses), PUSH_ADDRESS_COUNT_MAX)
    for index, push in enumerate(profile.push_addresses):
        place = f"push_addresses[{index}]"
        found.text(f"{place}.provider", push.provider, length_max=NAME_LENGTH_MAX, required=True)
        found.text(
            f"{place}.address", push.address, length_max=PUSH_ADDRESS_LENGTH_MAX, required=True
        )
