"""Between the wire and the domain: protos in, domain values out, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from google.type.date_pb2 import Date

from leo.ingest.v1 import ingest_service_pb2 as pb
from libs import fields
from libs.addressing import normal_email
from libs.fields import NUMBER_MAGNITUDE_MAX, Fields
from libs.fields.paging import page_of, refusal_of
from libs.rpc import requests
from libs.rpc.messages import timestamp_of
from libs.rpc.status import status_of
from services.ingest.domain.consent import Consent, Statement, check_statement
from services.ingest.domain.event import read_event
from services.ingest.domain.profile import (
    BirthDate,
    Profile,
    PushAddress,
    StoredProfile,
    check_profile,
)
from services.ingest.domain.tenant import (
    NAME_RULE,
    TIME_ZONE_DEFAULT,
    NewTenant,
    Tenant,
    check_tenant,
    is_name,
)
from services.ingest.errors import FieldInvalidError
from services.ingest.usecases import Ingested

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from google.protobuf.struct_pb2 import Struct, Value

    from libs.fields.paging import Page
    from libs.rpc.errors import FieldViolation
    from services.ingest.domain.profile import CurrentProfile
    from services.ingest.domain.tenant import State, TableRows
    from services.ingest.usecases import EventAnswer, ProfileAnswer, ReadEvent


id_of = partial(fields.id_of, FieldInvalidError)
request_key_of = partial(requests.request_key_of, FieldInvalidError)


def event_of(message: pb.Event, tenant_id: UUID, place: str, now: datetime) -> ReadEvent:
    """One event of the wire, or the error that names its bad fields below `place`."""
    fields = Fields(place)
    occurred_at = None
    if message.HasField("event_time"):
        occurred_at = fields.timestamp("event_time", message.event_time)
    event = None
    if not fields.violations:
        event = read_event(
            fields,
            tenant_id,
            source=message.source,
            source_event_id=message.source_event_id,
            event_type=message.event_type,
            profile_ext_id=message.profile_ext_id,
            occurred_at=occurred_at,
            event_time=message.event_time.ToJsonString() if occurred_at else "",
            properties=plain_of(message.properties),
            now=now,
        )
    return event or FieldInvalidError(fields.violations)


def event_result(answer: EventAnswer, call_id: str) -> pb.EventResult:
    """The answer to one event."""
    if isinstance(answer, Ingested):
        return pb.EventResult(
            outcome=(
                pb.EventResult.OUTCOME_DUPLICATE
                if answer.duplicate
                else pb.EventResult.OUTCOME_ACCEPTED
            ),
            event_id=str(answer.event_id),
            create_time=timestamp_of(answer.received_at),
        )
    return pb.EventResult(
        outcome=pb.EventResult.OUTCOME_REFUSED,
        event_id=answer.metadata.get("event_id", ""),
        error=status_of(answer, call_id=call_id),
    )


def profile_of(message: pb.Profile, place: str, now: datetime) -> Profile | FieldInvalidError:
    """One canonical profile of the wire, or the error that names its bad fields."""
    found = Fields(place)
    source_updated_at = None
    if message.HasField("source_update_time"):
        source_updated_at = found.timestamp("source_update_time", message.source_update_time)
    birth_date = None
    if message.HasField("birth_date"):
        day = message.birth_date
        birth_date = BirthDate(day.year or None, day.month, day.day)
    profile = Profile(
        ext_id=message.ext_id,
        state=_word(pb.Profile.State, message.state, "active"),
        merged_into_ext_id=message.merged_into_ext_id,
        context=_word(pb.Profile.Context, message.context, "production"),
        given_name=message.given_name,
        middle_name=message.middle_name,
        family_name=message.family_name,
        gender=message.gender,  # type: ignore[arg-type]  # check_profile refuses other words
        birth_date=birth_date,
        language=message.language,
        city=message.city,
        country=message.country,
        emails=tuple(normal_email(email) or email for email in message.emails),
        phones=tuple(message.phones),
        zalo_user_id=message.zalo_user_id,
        push_addresses=tuple(
            PushAddress(push.provider, push.address) for push in message.push_addresses
        ),
        labels=tuple(message.labels),
        source_segment_ids=tuple(message.source_segment_ids),
        funnel_stage=message.funnel_stage,
        transaction_value_vnd=message.transaction_value_vnd,
        lifetime_value_vnd=message.lifetime_value_vnd,
        churn_score=message.churn_score if message.HasField("churn_score") else None,
        consent_hints={hint.channel: hint.agreed for hint in message.consent_hints},
        attributes=plain_of(message.attributes),
        source_updated_at=source_updated_at,
        source_revision=message.source_revision,
    )
    check_profile(found, profile, now=now)
    return FieldInvalidError(found.violations) if found.violations else profile


def profile_result(
    answer: ProfileAnswer, warnings: Iterable[FieldViolation], call_id: str
) -> pb.ProfileResult:
    """The answer to one profile."""
    result = pb.ProfileResult(
        warnings=[
            pb.FieldWarning(field=warning.field, description=warning.description)
            for warning in warnings
        ]
    )
    if isinstance(answer, StoredProfile):
        result.outcome = pb.ProfileResult.Outcome.Value(f"OUTCOME_{answer.outcome.upper()}")
        result.profile_id = str(answer.profile_id)
        result.version = answer.version
    else:
        result.outcome = pb.ProfileResult.OUTCOME_REFUSED
        result.error.CopyFrom(status_of(answer, call_id=call_id))
    return result


def profile_message(current: CurrentProfile) -> pb.Profile:
    """A profile as it is now."""
    profile = current.profile
    message = pb.Profile(
        profile_id=str(current.profile_id),
        version=current.version,
        ext_id=profile.ext_id,
        state=pb.Profile.State.Value(f"STATE_{profile.state.upper()}"),
        merged_into_ext_id=profile.merged_into_ext_id,
        context=pb.Profile.Context.Value(f"CONTEXT_{profile.context.upper()}"),
        given_name=profile.given_name,
        middle_name=profile.middle_name,
        family_name=profile.family_name,
        gender=profile.gender,
        language=profile.language,
        city=profile.city,
        country=profile.country,
        emails=profile.emails,
        phones=profile.phones,
        zalo_user_id=profile.zalo_user_id,
        push_addresses=[
            pb.PushAddress(provider=push.provider, address=push.address)
            for push in profile.push_addresses
        ],
        labels=profile.labels,
        source_segment_ids=profile.source_segment_ids,
        funnel_stage=profile.funnel_stage,
        transaction_value_vnd=profile.transaction_value_vnd,
        lifetime_value_vnd=profile.lifetime_value_vnd,
        churn_score=profile.churn_score,
        consent_hints=[
            pb.ConsentHint(channel=channel, agreed=agreed)
            for channel, agreed in profile.consent_hints.items()
        ],
        source_update_time=(
            timestamp_of(profile.source_updated_at) if profile.source_updated_at else None
        ),
        source_revision=profile.source_revision,
        update_time=timestamp_of(current.updated_at),
    )
    if profile.birth_date is not None:
        day = profile.birth_date
        message.birth_date.CopyFrom(Date(year=day.year or 0, month=day.month, day=day.day))
    if profile.attributes:
        message.attributes.update(profile.attributes)
    return message


def statement_of(request: pb.SetConsentRequest, now: datetime) -> Statement:
    """The statement of a request. Raises FieldInvalidError."""
    found = Fields()
    message = request.consent
    consented_at = None
    if message.HasField("consent_time"):
        consented_at = found.timestamp("consent.consent_time", message.consent_time)
    if message.state not in (pb.Consent.STATE_GRANTED, pb.Consent.STATE_WITHDRAWN):
        found.refuse("consent.state", "must be STATE_GRANTED or STATE_WITHDRAWN")
    statement = Statement(
        channel=message.channel,
        purpose=message.purpose,
        state="granted" if message.state == pb.Consent.STATE_GRANTED else "withdrawn",
        evidence=message.evidence,
        consented_at=consented_at,
    )
    check_statement(found, request.ext_id, statement, now=now)
    found.raise_as(FieldInvalidError)
    return statement


def consent_message(consent: Consent) -> pb.Consent:
    """A consent as recorded."""
    return pb.Consent(
        channel=consent.channel,
        purpose=consent.purpose,
        state=pb.Consent.State.Value(f"STATE_{consent.state.upper()}"),
        evidence=consent.evidence,
        consent_time=timestamp_of(consent.consented_at),
        version=consent.version,
        create_time=timestamp_of(consent.recorded_at),
    )


def tenant_of(message: pb.Tenant) -> NewTenant:
    """The tenant that a request wants. Raises FieldInvalidError."""
    tenant = NewTenant(
        name=message.name,
        display_name=message.display_name,
        time_zone=message.time_zone or TIME_ZONE_DEFAULT,
    )
    found = Fields("tenant")
    check_tenant(found, tenant)
    found.raise_as(FieldInvalidError)
    return tenant


def tenant_message(tenant: Tenant) -> pb.Tenant:
    """A tenant as stored."""
    return pb.Tenant(
        tenant_id=str(tenant.tenant_id),
        name=tenant.name,
        display_name=tenant.display_name,
        time_zone=tenant.time_zone,
        state=pb.Tenant.State.Value(f"STATE_{tenant.state.upper()}"),
        create_time=timestamp_of(tenant.created_at),
    )


def tenant_named_by(request: pb.GetTenantRequest) -> tuple[UUID | None, str | None]:
    """The id or the name that a request names a tenant by. Raises FieldInvalidError."""
    if request.WhichOneof("tenant") == "name":
        if not is_name(request.name):
            raise FieldInvalidError.of("name", NAME_RULE)
        return None, request.name
    return id_of("tenant_id", request.tenant_id), None


def list_page_of(request: pb.ListTenantsRequest) -> Page:
    """The page that a request asks for. Raises FieldInvalidError."""
    try:
        return page_of(request.page_size, request.page_token, key_count=1)
    except ValueError as error:
        raise FieldInvalidError.of(*refusal_of(error)) from error


def state_of(request: pb.SetTenantStateRequest) -> tuple[UUID, State]:
    """The tenant, and the state that it is to have. Raises FieldInvalidError."""
    found = Fields()
    tenant_id = found.id("tenant_id", request.tenant_id, required=True)
    if request.state not in (pb.Tenant.STATE_ACTIVE, pb.Tenant.STATE_SUSPENDED):
        found.refuse("state", "must be STATE_ACTIVE or STATE_SUSPENDED")
    found.raise_as(FieldInvalidError)
    assert tenant_id is not None
    return tenant_id, "active" if request.state == pb.Tenant.STATE_ACTIVE else "suspended"


def table_message(table: TableRows) -> pb.TableRows:
    """How much of a tenant is in one table."""
    return pb.TableRows(table=table.table, row_count=table.row_count, more=table.more)


def plain_of(struct: Struct) -> dict[str, Any]:
    """A Struct as plain JSON values.

    Unlike json_format, this gives whole numbers as integers (so that jsonb and RFC 8785 agree on
    them) and lets infinities through to the check that names their field.
    """
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if number.is_integer() and abs(number) <= NUMBER_MAGNITUDE_MAX:
            return int(number)
        return number
    if kind == "struct_value":
        return plain_of(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    return getattr(value, kind)


def _word(enum: Any, value: int, default: Any) -> Any:
    """The domain's word for an enum value: the last part of its name in lower case."""
    if value == 0 or value not in enum.values():
        return default
    return enum.Name(value).split("_", 1)[1].lower()
