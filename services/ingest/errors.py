"""Every error that ingest raises by itself; the reasons are registered in error_reason.proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libs.rpc.errors import ExistsError, InvalidError, MissingError, StateError
from libs.rpc.refusals import FieldsError, RequestReuseError

if TYPE_CHECKING:
    from uuid import UUID

    from libs.rpc.errors import FieldViolation

_DOMAIN = "ingest.leo"


class FieldInvalidError(FieldsError):
    """Fields of the request are missing, malformed or out of range."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "FIELD_INVALID"


class DocumentInvalidError(InvalidError):
    """A document cannot be read as one of its source at all."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "DOCUMENT_INVALID"

    def __init__(self, source: str, violation: FieldViolation) -> None:
        super().__init__(
            f"{violation.field} {violation.description}",
            [violation],
            metadata={"source": source, "field": violation.field},
        )


class RequestIdReusedError(RequestReuseError):
    """The request_id was used before with another body."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REQUEST_ID_REUSED"


class EventConflictError(ExistsError):
    """The identity is taken by an event with another body; the first one stands."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "EVENT_CONFLICT"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            "an event with this source and source_event_id was ingested before with another body; "
            "the first one stands",
            resource_type="leo.ingest.v1.Event",
            resource_name=str(event_id),
            metadata={"event_id": str(event_id)},
        )


class TenantExistsError(ExistsError):
    """The name is taken."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TENANT_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'a tenant named "{name}" exists',
            resource_type="leo.ingest.v1.Tenant",
            resource_name=name,
            metadata={"name": name},
        )


class TenantUnknownError(MissingError):
    """There is no such tenant."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TENANT_MISSING"

    def __init__(self, named: str) -> None:
        super().__init__(
            f'there is no tenant "{named}"',
            resource_type="leo.ingest.v1.Tenant",
            resource_name=named,
            metadata={"tenant": named},
        )


class TenantStateError(StateError):
    """The tenant is on its way out; that is not taken back."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TENANT_STATE"

    def __init__(self, tenant_id: UUID, state: str) -> None:
        super().__init__(
            f"the tenant is {state}, and that is not taken back",
            subject=f"tenant/{tenant_id}",
            metadata={"tenant_id": str(tenant_id), "state": state},
        )


class ProfileMissingError(MissingError):
    """The tenant has no such profile. The id is not repeated: some sources use a phone number."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "PROFILE_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "the tenant has no profile with this ext_id",
            resource_type="leo.ingest.v1.Profile",
        )


class ConsentSupersededError(StateError):
    """The person said something newer about the same channel and purpose."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CONSENT_SUPERSEDED"

    def __init__(self, *, channel: str, purpose: str) -> None:
        super().__init__(
            "consent.consent_time is older than what is recorded; the newer statement stands",
            subject=f"{channel}/{purpose}",
            metadata={"channel": channel, "purpose": purpose},
        )
