"""A tenant: one customer of the platform."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from services.ingest.domain.identity import uuid8
from services.ingest.domain.limits import TEXT_LENGTH_MAX

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

TIME_ZONE_DEFAULT = "Asia/Ho_Chi_Minh"
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
    state: str
    created_at: datetime


def check_tenant(found: Fields, tenant: NewTenant) -> None:
    """Note in `found` everything that is wrong with a new tenant."""
    if not _NAME.fullmatch(tenant.name):
        found.refuse("name", "must be 2 to 63 characters of a-z, 0-9 and '-', a letter first")
    found.text("display_name", tenant.display_name, length_max=TEXT_LENGTH_MAX)
    if tenant.time_zone not in available_timezones():
        found.refuse("time_zone", f'must be an IANA time zone, such as "{TIME_ZONE_DEFAULT}"')


def tenant_id_of(request_id: UUID) -> UUID:
    """The id of the tenant that a request creates: UUIDv8 from SHA-256 of the request's id.

    No row of another tenant is visible before a tenant is named, so a repeated request finds its
    first answer by knowing the id.
    """
    return uuid8(hashlib.sha256(b"tenant" + request_id.bytes).digest())
