"""IngestService on the wire: translation only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from leo.ingest.v1 import ingest_service_pb2 as pb
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer
from libs.auth.caller import current_origin, current_tenant
from libs.fields import Fields, check_batch_count
from libs.fields.paging import token_of
from libs.rpc.call import current_call
from services.ingest import messages, usecases
from services.ingest.domain.limits import (
    EVENT_BATCH_COUNT_MAX,
    EXT_ID_LENGTH_MAX,
    PROFILE_BATCH_COUNT_MAX,
)
from services.ingest.domain.profile import Profile, with_document
from services.ingest.errors import FieldInvalidError
from services.ingest.sources import read_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from grpc.aio import ServicerContext

    from libs.rpc.errors import FieldViolation, LeoError
    from services.ingest.store import IngestStore
    from services.ingest.usecases import EventBatcher, ReadEvent

    Context: TypeAlias = ServicerContext[Any, Any]


class IngestServicer(IngestServiceServicer):
    """One method for each RPC of IngestService."""

    def __init__(self, store: IngestStore, batcher: EventBatcher) -> None:
        self._store = store
        self._batcher = batcher

    async def IngestEvent(
        self, request: pb.IngestEventRequest, context: Context
    ) -> pb.IngestEventResponse:
        tenant_id = current_tenant()
        event = messages.event_of(request.event, tenant_id, "event", datetime.now(UTC))
        if isinstance(event, FieldInvalidError):
            raise event
        answer = await usecases.ingest_event(self._batcher, tenant_id, event)
        return pb.IngestEventResponse(result=messages.event_result(answer, current_call().call_id))

    async def BatchIngestEvents(
        self, request: pb.BatchIngestEventsRequest, context: Context
    ) -> pb.BatchIngestEventsResponse:
        tenant_id = current_tenant()
        answers = await usecases.batch_ingest_events(
            self._store, tenant_id, _read_events(request.events, tenant_id)
        )
        call_id = current_call().call_id
        return pb.BatchIngestEventsResponse(
            results=[messages.event_result(answer, call_id) for answer in answers]
        )

    async def StreamEvents(
        self,
        request_iterator: AsyncIterator[pb.StreamEventsRequest],
        context: Context,
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        tenant_id = current_tenant()
        call_id = current_call().call_id

        async def read() -> AsyncIterator[Sequence[ReadEvent]]:
            async for request in request_iterator:
                yield _read_events(request.events, tenant_id)

        async for position, answers in usecases.stream_events(self._store, tenant_id, read()):
            yield pb.StreamEventsResponse(
                first_position=position,
                durable_position=position + len(answers) - 1,
                results=[messages.event_result(answer, call_id) for answer in answers],
            )

    async def BatchUpsertProfiles(
        self, request: pb.BatchUpsertProfilesRequest, context: Context
    ) -> pb.BatchUpsertProfilesResponse:
        check_batch_count(
            FieldInvalidError, "profiles", len(request.profiles), PROFILE_BATCH_COUNT_MAX
        )
        now = datetime.now(UTC)
        read = [
            _read_profile(profile, f"profiles[{index}]", now)
            for index, profile in enumerate(request.profiles)
        ]
        answers = await usecases.batch_upsert_profiles(
            self._store,
            current_tenant(),
            [
                with_document(profile) if isinstance(profile, Profile) else profile
                for profile, _ in read
            ],
        )
        call_id = current_call().call_id
        return pb.BatchUpsertProfilesResponse(
            results=[
                messages.profile_result(answer, warnings, call_id)
                for answer, (_, warnings) in zip(answers, read, strict=True)
            ]
        )

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Context
    ) -> pb.GetProfileResponse:
        found = Fields()
        found.text("ext_id", request.ext_id, length_max=EXT_ID_LENGTH_MAX, required=True)
        found.raise_as(FieldInvalidError)
        profile, consents = await usecases.get_profile(
            self._store, current_tenant(), request.ext_id
        )
        return pb.GetProfileResponse(
            profile=messages.profile_message(profile),
            consents=[messages.consent_message(consent) for consent in consents],
        )

    async def SetConsent(
        self, request: pb.SetConsentRequest, context: Context
    ) -> pb.SetConsentResponse:
        consent = await usecases.set_consent(
            self._store,
            current_tenant(),
            request.ext_id,
            messages.statement_of(request, datetime.now(UTC)),
            current_origin(messages.request_key_of(request)),
        )
        return pb.SetConsentResponse(consent=messages.consent_message(consent))

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: Context
    ) -> pb.CreateTenantResponse:
        tenant = await usecases.create_tenant(
            self._store,
            messages.tenant_of(request.tenant),
            current_origin(messages.request_key_of(request)),
        )
        return pb.CreateTenantResponse(tenant=messages.tenant_message(tenant))

    async def GetTenant(
        self, request: pb.GetTenantRequest, context: Context
    ) -> pb.GetTenantResponse:
        tenant_id, name = messages.tenant_named_by(request)
        tenant = await usecases.get_tenant(self._store, tenant_id=tenant_id, name=name)
        return pb.GetTenantResponse(tenant=messages.tenant_message(tenant))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: Context
    ) -> pb.ListTenantsResponse:
        tenants, more = await usecases.list_tenants(self._store, messages.list_page_of(request))
        return pb.ListTenantsResponse(
            tenants=map(messages.tenant_message, tenants),
            next_page_token=token_of(tenants[-1].name) if more else "",
        )

    async def SetTenantState(
        self, request: pb.SetTenantStateRequest, context: Context
    ) -> pb.SetTenantStateResponse:
        tenant = await usecases.set_tenant_state(
            self._store, *messages.state_of(request), current_origin(None)
        )
        return pb.SetTenantStateResponse(tenant=messages.tenant_message(tenant))

    async def RemoveTenant(
        self, request: pb.RemoveTenantRequest, context: Context
    ) -> pb.RemoveTenantResponse:
        tenant, tables = await usecases.remove_tenant(
            self._store,
            messages.id_of("tenant_id", request.tenant_id),
            name=request.name,
            validate_only=request.validate_only,
            origin=current_origin(None),
        )
        return pb.RemoveTenantResponse(
            tenant=messages.tenant_message(tenant), tables=map(messages.table_message, tables)
        )


def _read_events(events: Sequence[pb.Event], tenant_id: UUID) -> list[ReadEvent]:
    check_batch_count(FieldInvalidError, "events", len(events), EVENT_BATCH_COUNT_MAX)
    now = datetime.now(UTC)
    return [
        messages.event_of(event, tenant_id, f"events[{index}]", now)
        for index, event in enumerate(events)
    ]


def _read_profile(
    message: pb.ProfileInput, place: str, now: datetime
) -> tuple[Profile | LeoError, list[FieldViolation]]:
    """A profile or why not, and what of a source's document was left out."""
    kind = message.WhichOneof("input")
    if kind == "profile":
        return messages.profile_of(message.profile, f"{place}.profile", now), []
    if kind == "document":
        document = message.document
        return read_document(document.source, document.json, f"{place}.document", now)
    return FieldInvalidError.of(place, "needs a profile or a document"), []
