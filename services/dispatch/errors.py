"""Every error that dispatch raises by itself; the reasons are registered in error_reason.proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libs.rpc.errors import ExistsError, InvalidError, MissingError, StateError
from libs.rpc.refusals import FieldsError, RequestReuseError

if TYPE_CHECKING:
    from uuid import UUID

_DOMAIN = "dispatch.leo"


class FieldInvalidError(FieldsError):
    """Fields of the request are missing, malformed or out of range."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "FIELD_INVALID"


class TemplateInvalidError(FieldsError):
    """Texts of a template hold what is not let through."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TEMPLATE_INVALID"


class RequestIdReusedError(RequestReuseError):
    """The request_id was used before with another body."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REQUEST_ID_REUSED"


class TemplateExistsError(ExistsError):
    """The name is taken."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TEMPLATE_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'the tenant has a template named "{name}"',
            resource_type="leo.dispatch.v1.Template",
            resource_name=name,
            metadata={"name": name},
        )


class TemplateMissingError(MissingError):
    """The tenant has no such template."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TEMPLATE_MISSING"

    def __init__(self, template_id: UUID) -> None:
        super().__init__(
            "the tenant has no such template",
            resource_type="leo.dispatch.v1.Template",
            resource_name=str(template_id),
            metadata={"template_id": str(template_id)},
        )


class ProfileMissingError(MissingError):
    """The tenant has no such profile. The id is not repeated: some sources use a phone number."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "PROFILE_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "the tenant has no profile with this ext_id", resource_type="leo.ingest.v1.Profile"
        )


class AddressMissingError(StateError):
    """The person has no address that the channel could reach."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "ADDRESS_MISSING"

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"the person has no address for {channel}; name the address itself",
            subject=channel,
            metadata={"channel": channel},
        )


class EventMissingError(MissingError):
    """The tenant has no such event."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "EVENT_MISSING"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            "the tenant has no such event",
            resource_type="leo.ingest.v1.Event",
            resource_name=str(event_id),
            metadata={"event_id": str(event_id)},
        )


class ValueMissingError(StateError):
    """The person or the event lacks a value that the template needs."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "VALUE_MISSING"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is missing; nothing would be sent to this person",
            subject=name,
            metadata={"name": name},
        )


class ValueUnusableError(StateError):
    """A value is there, but no text can be made of it."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "VALUE_UNUSABLE"

    def __init__(self, problem: str) -> None:
        super().__init__(problem, subject="template", metadata={"problem": problem})


class AccountMissingError(MissingError):
    """The tenant has no such account."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "ACCOUNT_MISSING"

    def __init__(self, account_id: UUID) -> None:
        super().__init__(
            "the tenant has no such account",
            resource_type="leo.dispatch.v1.ChannelAccount",
            resource_name=str(account_id),
            metadata={"account_id": str(account_id)},
        )


class DecisionMissingError(MissingError):
    """The tenant has no such decision, or it does not act."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "DECISION_MISSING"

    def __init__(self, decision_id: UUID) -> None:
        super().__init__(
            "the tenant has no such decision, or it does not act",
            resource_type="leo.decision.v1.Decision",
            resource_name=str(decision_id),
            metadata={"decision_id": str(decision_id)},
        )


class DeliveryMissingError(MissingError):
    """The tenant has no such delivery."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "DELIVERY_MISSING"

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(
            "the tenant has no such delivery",
            resource_type="leo.dispatch.v1.Delivery",
            resource_name=str(delivery_id),
            metadata={"delivery_id": str(delivery_id)},
        )


class ReceiptRefusedError(InvalidError):
    """Nobody can know that the account's provider said this, or what it says.

    `problem` is one word: "signature" or "unreadable".
    """

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "RECEIPT_REFUSED"

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the receipt is refused: {problem}; nothing of it is stored",
            metadata={"problem": problem},
        )
