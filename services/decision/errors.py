"""Every error that decision raises by itself; the reasons are registered in error_reason.proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libs.rpc.errors import ConflictError, ExistsError, MissingError, StateError
from libs.rpc.refusals import ConditionRefusedError, FieldsError, RequestReuseError

if TYPE_CHECKING:
    from uuid import UUID

_DOMAIN = "decision.leo"


class FieldInvalidError(FieldsError):
    """Fields of the request are missing, malformed or out of range."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "FIELD_INVALID"


class ConditionInvalidError(ConditionRefusedError):
    """The condition does not compile."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CONDITION_INVALID"
    field: ClassVar[str] = "rule.condition"


class RequestIdReusedError(RequestReuseError):
    """The request_id was used before with another body."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REQUEST_ID_REUSED"


class CampaignExistsError(ExistsError):
    """The name is taken."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CAMPAIGN_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'the tenant has a campaign named "{name}"',
            resource_type="leo.decision.v1.Campaign",
            resource_name=name,
            metadata={"name": name},
        )


class CampaignMissingError(MissingError):
    """The tenant has no such campaign."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CAMPAIGN_MISSING"

    def __init__(self, campaign_id: UUID) -> None:
        super().__init__(
            f"the tenant has no campaign {campaign_id}",
            resource_type="leo.decision.v1.Campaign",
            resource_name=str(campaign_id),
            metadata={"campaign_id": str(campaign_id)},
        )


class CampaignStateError(StateError):
    """The campaign has ended, for good."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CAMPAIGN_STATE"

    def __init__(self, campaign_id: UUID, state: str) -> None:
        super().__init__(
            f"the campaign is {state} and stays so; make a new one",
            subject=f"campaign/{campaign_id}",
            metadata={"campaign_id": str(campaign_id), "state": state},
        )


class RuleExistsError(ExistsError):
    """The name is taken."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "RULE_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'the campaign has a rule named "{name}"',
            resource_type="leo.decision.v1.Rule",
            resource_name=name,
            metadata={"name": name},
        )


class RuleMissingError(MissingError):
    """The tenant has no such rule."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "RULE_MISSING"

    def __init__(self, rule_id: UUID) -> None:
        super().__init__(
            f"the tenant has no rule {rule_id}",
            resource_type="leo.decision.v1.Rule",
            resource_name=str(rule_id),
            metadata={"rule_id": str(rule_id)},
        )


class EtagMismatchError(ConflictError):
    """Somebody changed the rule meanwhile."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "ETAG_MISMATCH"

    def __init__(self, rule_id: UUID) -> None:
        super().__init__(
            "rule.etag is of another version: read the rule again and repeat the change",
            metadata={"rule_id": str(rule_id)},
        )


class ReferenceMissingError(StateError):
    """What a rule names does not exist in the tenant, or is of another channel."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REFERENCE_MISSING"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}", subject=field, metadata={"field": field})


class EventMissingError(MissingError):
    """The tenant has no such event."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "EVENT_MISSING"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"the tenant has no event {event_id}",
            resource_type="leo.ingest.v1.Event",
            resource_name=str(event_id),
            metadata={"event_id": str(event_id)},
        )


class CampaignInactiveError(StateError):
    """The campaign does not act, so it cannot be launched."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CAMPAIGN_STATE"

    def __init__(self, campaign_id: UUID, state: str) -> None:
        super().__init__(
            f"the campaign is {state}; only an active one can be launched",
            subject=f"campaign/{campaign_id}",
            metadata={"campaign_id": str(campaign_id), "state": state},
        )


class RuleTriggerError(StateError):
    """The rule is about events, not launched."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "RULE_TRIGGER"

    def __init__(self, rule_id: UUID) -> None:
        super().__init__(
            "the rule is about events; launch one whose trigger is TRIGGER_LAUNCH",
            subject=f"rule/{rule_id}",
            metadata={"rule_id": str(rule_id)},
        )


class RuleNotValidError(StateError):
    """The rule is not valid yet, or not any more."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "RULE_NOT_VALID"

    def __init__(self, rule_id: UUID) -> None:
        super().__init__(
            "the rule is not valid now; change valid_from_time or valid_until_time, or wait",
            subject=f"rule/{rule_id}",
            metadata={"rule_id": str(rule_id)},
        )


class TemplateNeedsEventError(StateError):
    """A template of a launched rule says something of an event, which a launch does not have."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "TEMPLATE_NEEDS_EVENT"

    def __init__(self, field: str, text: str, *, line: int, column: int) -> None:
        super().__init__(
            f"{field} names a template that reads an event (data.{text}, line {line}, column "
            f"{column}), and a launch has none; take one without event fields",
            subject=field,
            metadata={"field": field, "text": text, "line": str(line), "column": str(column)},
        )


class SnapshotMissingError(MissingError):
    """The tenant has no such snapshot."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "SNAPSHOT_MISSING"

    def __init__(self, snapshot_id: UUID) -> None:
        super().__init__(
            f"the tenant has no snapshot {snapshot_id}",
            resource_type="leo.segment.v1.Snapshot",
            resource_name=str(snapshot_id),
            metadata={"snapshot_id": str(snapshot_id)},
        )


class LaunchMissingError(MissingError):
    """The tenant has no such launch."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "LAUNCH_MISSING"

    def __init__(self, launch_id: UUID) -> None:
        super().__init__(
            f"the tenant has no launch {launch_id}",
            resource_type="leo.decision.v1.CampaignLaunch",
            resource_name=str(launch_id),
            metadata={"launch_id": str(launch_id)},
        )
