"""A tenant: one customer of the platform."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias
from zoneinfo import available_timezones

from services.ingest.domain.identity import uuid8
from services.ingest.domain.limits import TEXT_LENGTH_MAX

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

State: TypeAlias = Literal["active", "suspended", "removing", "removed"]
TIME_ZONE_DEFAULT = "Asia/Ho_Chi_Minh"
NAME_RULE = "must be 2 to 63 characters of a-z, 0-9 and '-', a letter first"
_NAME = re.compile(r"[a-z][a-z0-9-]{1,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """What a tenant is to be."""

    name: str
    display_name: str
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant as stored."""

    tenant_id: UUID
    name: str
    display_name: str
    time_zone: str
    state: State
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """How much of a tenant is in one table; `more` than `row_count` where counting ended there."""

    table: str
    row_count: int
    more: bool


def is_name(text: str) -> bool:
    """Whether a tenant may be called so."""
    return _NAME.fullmatch(text) is not None


def check_tenant(found: Fields, tenant: NewTenant) -> None:
    """Note in `found` everything that is wrong with a new tenant."""
    if not is_name(tenant.name):
        found.refuse("name", NAME_RULE)
    found.text("display_name", tenant.display_name, length_max=TEXT_LENGTH_MAX)
    if tenant.time_zone not in available_timezones():
        found.refuse("time_zone", f'must be an IANA time zone, such as "{TIME_ZONE_DEFAULT}"')


def may_become(state: State, wanted: State) -> bool:
    """Whether a tenant may go from one state to another; a removal is not taken back."""
    return state == wanted or state in ("active", "suspended")


def tenant_id_of(request_id: UUID) -> UUID:
    """The id of the tenant that a request creates: UUIDv8 from SHA-256 of the request's id.

    No row of another tenant is visible before a tenant is named, so a repeated request finds its
    first answer by knowing the id.
    """
    return uuid8(hashlib.sha256(b"tenant" + request_id.bytes).digest())
