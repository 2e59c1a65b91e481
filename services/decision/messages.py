"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct

from leo.decision.v1 import decision_service_pb2 as pb
from libs import fields
from libs.fields import Fields, check_batch_count, unstorable
from libs.fields.paging import PageTokenError, page_of, refusal_of, token_of
from libs.quiet_hours import QuietHours
from libs.rpc import requests
from libs.rpc.messages import timestamp_of
from libs.rpc.status import status_of
from services.decision.domain.audit_entry import AuditFilter
from services.decision.domain.campaign import NewCampaign, check_campaign
from services.decision.domain.rule import (
    PRIORITY_MAX,
    TIME_TO_LIVE_DEFAULT,
    Choice,
    RuleTerms,
    check_terms,
    condition_problem,
)
from services.decision.errors import FieldInvalidError
from services.decision.usecases import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from libs.fields.paging import Page
    from libs.rpc.errors import LeoError
    from services.decision.domain.audit_entry import AuditEntry
    from services.decision.domain.campaign import Campaign, State
    from services.decision.domain.launching import CampaignLaunch, Estimate
    from services.decision.domain.record import JourneyStep, StoredDecision
    from services.decision.domain.rule import Rule, Trigger
    from services.decision.usecases import Undecided

BATCH_COUNT_MAX = 500
# Stands where an id is bad, which is noted and refuses the whole.
_NOBODY = UUID(int=0)
# What an UpdateRule may replace; the others are the server's, or fixed with the rule.
CHANGEABLE = (
    "name",
    "event_type",
    "condition",
    "segment_id",
    "cooldown",
    "priority",
    "purpose",
    "quiet_hours",
    "hold_out_percent",
    "choices",
    "time_to_live",
    "valid_from_time",
    "valid_until_time",
)

id_of = partial(fields.id_of, FieldInvalidError)
request_key_of = partial(requests.request_key_of, FieldInvalidError)


def campaign_of(message: pb.Campaign) -> NewCampaign:
    """The campaign that a request wants. Raises FieldInvalidError."""
    campaign = NewCampaign(name=message.name, display_name=message.display_name)
    found = Fields("campaign")
    check_campaign(found, campaign)
    found.raise_as(FieldInvalidError)
    return campaign


def campaign_message(campaign: Campaign) -> pb.Campaign:
    """A campaign as stored."""
    return pb.Campaign(
        campaign_id=str(campaign.campaign_id),
        name=campaign.name,
        display_name=campaign.display_name,
        state=pb.Campaign.State.Value(f"STATE_{campaign.state.upper()}"),
        create_time=timestamp_of(campaign.created_at),
    )


def campaign_state_of(state: pb.Campaign.State.ValueType) -> State:
    """The state that a campaign is to have. Raises FieldInvalidError."""
    words: dict[int, State] = {
        pb.Campaign.STATE_ACTIVE: "active",
        pb.Campaign.STATE_PAUSED: "paused",
        pb.Campaign.STATE_ENDED: "ended",
    }
    if state not in words:
        raise FieldInvalidError.of("state", "must be STATE_ACTIVE, STATE_PAUSED or STATE_ENDED")
    return words[state]


def terms_of(message: pb.Rule) -> RuleTerms:
    """What a rule of the wire says. Raises FieldInvalidError."""
    found = Fields("rule")
    quiet_hours = None
    if message.HasField("quiet_hours"):
        quiet_hours = QuietHours(message.quiet_hours.start, message.quiet_hours.end)
    time_to_live = _span(found, message, "time_to_live")
    terms = RuleTerms(
        name=message.name,
        trigger=_trigger(found, message.trigger),
        event_type=message.event_type,
        condition=message.condition,
        segment_id=found.id("segment_id", message.segment_id),
        cooldown=_span(found, message, "cooldown"),
        priority=message.priority,
        purpose=message.purpose,
        quiet_hours=quiet_hours,
        hold_out_percent=message.hold_out_percent,
        choices=tuple(
            Choice(
                choice.channel,
                found.id(f"choices[{index}].template_id", choice.template_id, required=True)
                or _NOBODY,
                found.id(f"choices[{index}].account_id", choice.account_id, required=True)
                or _NOBODY,
            )
            for index, choice in enumerate(message.choices)
        ),
        time_to_live=TIME_TO_LIVE_DEFAULT if time_to_live is None else time_to_live,
        valid_from=_time(found, message, "valid_from_time"),
        valid_until=_time(found, message, "valid_until_time"),
    )
    check_terms(found, terms)
    found.raise_as(FieldInvalidError)
    return terms


def rule_message(rule: Rule) -> pb.Rule:
    """A rule as stored."""
    terms = rule.terms
    message = pb.Rule(
        rule_id=str(rule.rule_id),
        version=rule.version,
        etag=rule.etag,
        campaign_id=str(rule.campaign_id),
        name=terms.name,
        trigger=pb.Rule.Trigger.Value(f"TRIGGER_{terms.trigger.upper()}"),
        event_type=terms.event_type,
        condition=terms.condition,
        segment_id=str(terms.segment_id) if terms.segment_id else "",
        priority=terms.priority,
        purpose=terms.purpose,
        hold_out_percent=terms.hold_out_percent,
        choices=[
            pb.Choice(
                channel=choice.channel,
                template_id=str(choice.template_id),
                account_id=str(choice.account_id),
            )
            for choice in terms.choices
        ],
        time_to_live=_duration_of(terms.time_to_live),
        update_time=timestamp_of(rule.updated_at),
        condition_problem=condition_problem(terms),
    )
    if terms.cooldown is not None:
        message.cooldown.CopyFrom(_duration_of(terms.cooldown))
    if terms.quiet_hours is not None:
        message.quiet_hours.start = terms.quiet_hours.start
        message.quiet_hours.end = terms.quiet_hours.end
    if terms.valid_from is not None:
        message.valid_from_time.CopyFrom(timestamp_of(terms.valid_from))
    if terms.valid_until is not None:
        message.valid_until_time.CopyFrom(timestamp_of(terms.valid_until))
    return message


def changed_terms(current: Rule, request: pb.UpdateRuleRequest) -> RuleTerms:
    """The terms of a rule after a change. Raises FieldInvalidError."""
    mask = FieldMask(paths=request.update_mask.paths or CHANGEABLE)
    for path in mask.paths:
        if path not in CHANGEABLE:
            raise FieldInvalidError.of("update_mask", f"may name {', '.join(CHANGEABLE)} only")
    merged = rule_message(current)
    mask.MergeMessage(request.rule, merged, replace_message_field=True, replace_repeated_field=True)
    return terms_of(merged)


def list_page_of(request: pb.ListRulesRequest) -> tuple[Page, tuple[int, str, UUID] | None]:
    """The page that a request asks for, and the keys behind which it begins."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=3)
        if not page.after:
            return page, None
        priority, name, rule_id = page.after
        if abs(int(priority)) > PRIORITY_MAX:
            raise PageTokenError
        return page, (int(priority), name, UUID(rule_id))
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error


def next_page_token(rules: Sequence[Rule]) -> str:
    """The token of the page behind these rules."""
    last = rules[-1]
    return token_of(str(last.terms.priority), last.terms.name, str(last.rule_id))


def event_ids_of(texts: Sequence[str]) -> list[UUID]:
    """The ids of a batch. Raises FieldInvalidError."""
    check_batch_count(FieldInvalidError, "event_ids", len(texts), BATCH_COUNT_MAX)
    return [id_of(f"event_ids[{index}]", text) for index, text in enumerate(texts)]


def activation_result(
    event_id: UUID, answer: Activation | LeoError | Undecided, call_id: str
) -> pb.ActivationResult:
    """The answer to one event."""
    if isinstance(answer, Activation):
        return pb.ActivationResult(
            event_id=str(event_id),
            decisions=map(_decision_message, answer.decisions),
            duplicate=answer.duplicate,
        )
    return pb.ActivationResult(event_id=str(event_id), error=status_of(answer, call_id=call_id))


def _decision_message(decision: StoredDecision) -> pb.Decision:
    return pb.Decision(
        decision_id=str(decision.decision_id),
        event_id=str(decision.event_id),
        ordinal=decision.ordinal,
        outcome=pb.Decision.Outcome.Value(f"OUTCOME_{decision.outcome.upper()}"),
        reason=decision.reason,
        rule_id=str(decision.rule_id) if decision.rule_id else "",
        rule_version=decision.rule_version or 0,
        profile_id=str(decision.profile_id) if decision.profile_id else "",
        profile_version=decision.profile_version or 0,
        not_before_time=timestamp_of(decision.not_before) if decision.not_before else None,
        decide_time=timestamp_of(decision.decided_at),
    )


def journey_step_message(step: JourneyStep) -> pb.JourneyStep:
    """One step of a journey."""
    details = Struct()
    details.update(step.details)
    return pb.JourneyStep(
        step_time=timestamp_of(step.at),
        step=step.step,
        outcome=step.outcome,
        reason=step.reason,
        id=str(step.id),
        parent_id=str(step.parent_id) if step.parent_id else "",
        channel=step.channel,
        details=details,
    )


def audit_filter_of(request: pb.ListAuditEntriesRequest) -> AuditFilter:
    """Which entries a request wants. Raises FieldInvalidError."""
    found = Fields()
    wanted = AuditFilter(
        kind=request.kind,
        actor=request.actor,
        created_from=_time(found, request, "from_time"),
        created_until=_time(found, request, "until_time"),
    )
    for field in ("kind", "actor"):
        if problem := unstorable(getattr(wanted, field)):
            found.refuse(field, problem)
    found.raise_as(FieldInvalidError)
    return wanted


def audit_page_of(
    request: pb.ListAuditEntriesRequest,
) -> tuple[Page, tuple[datetime, UUID] | None]:
    """The page that a request asks for, and the keys behind which it begins."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=2)
        if not page.after:
            return page, None
        created_at, entry_id = page.after
        before = datetime.fromisoformat(created_at)
        if before.tzinfo is None:
            raise PageTokenError
        return page, (before, UUID(entry_id))
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error


def next_audit_page_token(entries: Sequence[AuditEntry]) -> str:
    """The token of the page behind these entries."""
    return token_of(entries[-1].created_at.isoformat(), str(entries[-1].entry_id))


def audit_entry_message(entry: AuditEntry) -> pb.AuditEntry:
    """An audit entry as stored."""
    message = pb.AuditEntry(
        entry_id=str(entry.entry_id),
        kind=entry.kind,
        actor=entry.actor,
        call_id=entry.call_id,
        recorded_table=entry.recorded_table or "",
        member_count=entry.member_count,
        root=entry.root,
        create_time=timestamp_of(entry.created_at),
        seq=entry.seq or 0,
        seal_hash=entry.seal_hash or b"",
    )
    message.details.update(entry.details)
    return message


def launch_message(launch: CampaignLaunch) -> pb.CampaignLaunch:
    """A launch as it is now."""
    return pb.CampaignLaunch(
        launch_id=str(launch.launch_id),
        campaign_id=str(launch.campaign_id),
        rule_id=str(launch.rule_id),
        rule_version=launch.rule_version,
        snapshot_id=str(launch.snapshot_id),
        member_count=launch.member_count,
        state=pb.CampaignLaunch.State.Value(f"STATE_{launch.state.upper()}"),
        create_time=timestamp_of(launch.created_at),
        expire_time=timestamp_of(launch.expires_at),
        end_time=timestamp_of(launch.ended_at) if launch.ended_at else None,
    )


def outcome_counts(counts: Mapping[str, int]) -> list[pb.OutcomeCount]:
    """How often each outcome came, the most frequent first."""
    return [
        pb.OutcomeCount(
            outcome=pb.Decision.Outcome.Value(f"OUTCOME_{outcome.upper()}"), count=count
        )
        for outcome, count in _by_frequency(counts)
    ]


def estimate_message(estimate: Estimate) -> pb.LaunchEstimate:
    """What would come of a launch."""
    return pb.LaunchEstimate(
        member_count=estimate.member_count,
        asked_count=estimate.asked_count,
        outcome_counts=outcome_counts(estimate.outcomes),
        channel_counts=[
            pb.ChannelCount(channel=channel, count=count)
            for channel, count in _by_frequency(estimate.channels)
        ],
    )


def launch_page_of(request: pb.ListCampaignLaunchesRequest) -> tuple[Page, UUID | None]:
    """The page that a request asks for, and the id before which it begins."""
    try:
        page = page_of(request.page_size, request.page_token, key_count=1)
        return page, UUID(page.after[0]) if page.after else None
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error


def _by_frequency(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _trigger(found: Fields, trigger: pb.Rule.Trigger.ValueType) -> Trigger:
    match trigger:
        case pb.Rule.TRIGGER_UNSPECIFIED | pb.Rule.TRIGGER_EVENT:
            return "event"
        case pb.Rule.TRIGGER_LAUNCH:
            return "launch"
    found.refuse("trigger", "must be TRIGGER_EVENT or TRIGGER_LAUNCH")
    return "event"


def _duration_of(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _span(found: Fields, message: Any, field: str) -> timedelta | None:
    if not message.HasField(field):
        return None
    try:
        span: timedelta = getattr(message, field).ToTimedelta()
    except (ValueError, OverflowError):
        found.refuse(field, "is out of range")
        return None
    return span


def _time(found: Fields, message: Any, field: str) -> datetime | None:
    return found.timestamp(field, getattr(message, field)) if message.HasField(field) else None
