"""The RPCs of IngestService."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from leo.ingest.v1.ingest_service_pb2 import (
    BatchIngestEventsRequest,
    BatchUpsertProfilesRequest,
    Consent,
    CreateTenantRequest,
    Event,
    EventResult,
    GetProfileRequest,
    GetProfileResponse,
    GetTenantRequest,
    IngestEventRequest,
    ListTenantsRequest,
    ListTenantsResponse,
    ProfileInput,
    ProfileResult,
    RemoveTenantRequest,
    RemoveTenantResponse,
    SetConsentRequest,
    SetTenantStateRequest,
    Tenant,
)
from leo.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from leo_sdk.streams import EventStream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import grpc

    from leo_sdk.calls import Calls
    from leo_sdk.streams import EventSource


class IngestClient:
    """Events, profiles, consent and tenants: `LeoClient.ingest`."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._calls = calls
        self._stub = IngestServiceStub(channel)

    async def ingest_event(self, event: Event, *, timeout: timedelta | None = None) -> EventResult:
        """Store one event; ACCEPTED, or DUPLICATE if it was stored before.

        Raises:
            InvalidError: FIELD_INVALID; `violations` names every bad field.
            ExistsError: EVENT_CONFLICT, the identity is taken by an event with another body.
        """
        request = IngestEventRequest(event=event)
        response = await self._calls.unary(self._stub.IngestEvent, request, timeout)
        return response.result

    async def batch_ingest_events(
        self, events: Sequence[Event], *, timeout: timedelta | None = None
    ) -> list[EventResult]:
        """Store 1 to 500 events; one result each, in their order.

        A refused event is a result, not an exception: `error_of_status(result.error)` types it.
        """
        request = BatchIngestEventsRequest(events=events)
        response = await self._calls.unary(self._stub.BatchIngestEvents, request, timeout)
        return list(response.results)

    def stream_events(
        self,
        events: EventSource,
        *,
        message_event_count: int = 100,
        window_event_count: int = 2000,
        stall_timeout: timedelta = timedelta(seconds=60),
    ) -> AsyncGenerator[tuple[int, EventResult]]:
        """Store any number of events, and tell in order what became of each.

        Yields (position, result), with positions of the source from 1. A position that was yielded
        is durable or refused. The stream goes on over broken connections and restarted servers:
        it sends again what is not acknowledged, so an event may come back as DUPLICATE that was
        stored just before its answer was lost.

        Nothing is sent before the iteration starts. Whoever ends it early closes it:

            async with contextlib.aclosing(client.ingest.stream_events(events)) as results:
                async for position, result in results: ...

        Shapes: at most window_event_count events are in memory; a reader that is slow stops the
        source. Events go out as they come, up to message_event_count in a message.

        Args:
            events: an iterable or an asynchronous one; if it raises, what it gave before is
                answered, then the exception comes out here.
            message_event_count: 1 to 500.
            window_event_count: at least message_event_count.
            stall_timeout: how long to try without one acknowledgement while events wait.

        Raises:
            UnavailableError: no acknowledgement for stall_timeout.
            UnauthenticatedError, ForbiddenError: the token does not allow it.
        """
        stream = EventStream(
            self._stub,
            events,
            tokens=self._calls.tokens,
            policy=self._calls.policy,
            settings=StreamSettings(
                message_event_count=message_event_count,
                window_event_count=window_event_count,
                stall_timeout=stall_timeout,
            ),
        )
        return stream.results()

    async def batch_upsert_profiles(
        self, profiles: Sequence[ProfileInput], *, timeout: timedelta | None = None
    ) -> list[ProfileResult]:
        """Create or replace 1 to 100 profiles; one result each, in their order.

        `result.warnings` names what a source document had that could not be used.
        """
        request = BatchUpsertProfilesRequest(profiles=profiles)
        response = await self._calls.unary(self._stub.BatchUpsertProfiles, request, timeout)
        return list(response.results)

    async def get_profile(
        self, ext_id: str, *, timeout: timedelta | None = None
    ) -> GetProfileResponse:
        """One profile as it is now, with its consents.

        Raises:
            MissingError: PROFILE_MISSING.
        """
        request = GetProfileRequest(ext_id=ext_id)
        return await self._calls.unary(self._stub.GetProfile, request, timeout)

    async def set_consent(
        self,
        ext_id: str,
        consent: Consent,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Consent:
        """Record what a person granted or withdrew; the consent as recorded.

        Args:
            request_id: UUID4. Give one if you may repeat the call yourself: a repeat returns the
                first answer. The client's own tries share one in any case.

        Raises:
            MissingError: PROFILE_MISSING.
            StateError: CONSENT_SUPERSEDED, a newer statement is recorded.
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
        """
        request = SetConsentRequest(
            ext_id=ext_id, consent=consent, request_id=request_id or str(uuid4())
        )
        response = await self._calls.unary(self._stub.SetConsent, request, timeout)
        return response.consent

    async def create_tenant(
        self,
        tenant: Tenant,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Tenant:
        """Make room for one more customer of the platform; the tenant as created.

        Args:
            request_id: as in set_consent.

        Raises:
            ExistsError: TENANT_EXISTS, the name is taken.
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
        """
        request = CreateTenantRequest(tenant=tenant, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.CreateTenant, request, timeout)
        return response.tenant

    async def get_tenant(
        self,
        tenant_id: str = "",
        *,
        name: str | None = None,
        timeout: timedelta | None = None,
    ) -> Tenant:
        """One tenant, by its id or its name; also one that is removed.

        Raises:
            MissingError: TENANT_MISSING.
        """
        request = (
            GetTenantRequest(tenant_id=tenant_id) if name is None else GetTenantRequest(name=name)
        )
        response = await self._calls.unary(self._stub.GetTenant, request, timeout)
        return response.tenant

    async def list_tenants(
        self, *, page_size: int = 0, page_token: str = "", timeout: timedelta | None = None
    ) -> ListTenantsResponse:
        """A page of all tenants in the order of their names, also those that are removed.

        Args:
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListTenantsRequest(page_size=page_size, page_token=page_token)
        return await self._calls.unary(self._stub.ListTenants, request, timeout)

    async def set_tenant_state(
        self, tenant_id: str, state: Tenant.State.ValueType, *, timeout: timedelta | None = None
    ) -> Tenant:
        """Suspend a tenant (nothing is sent for it) or let it go on; the tenant as it is now.

        Raises:
            MissingError: TENANT_MISSING.
            StateError: TENANT_STATE, it is being removed, or is.
        """
        request = SetTenantStateRequest(tenant_id=tenant_id, state=state)
        response = await self._calls.unary(self._stub.SetTenantState, request, timeout)
        return response.tenant

    async def remove_tenant(
        self,
        tenant_id: str,
        *,
        name: str = "",
        validate_only: bool = False,
        timeout: timedelta | None = None,
    ) -> RemoveTenantResponse:
        """Have everything of a tenant removed for good; what there is of it.

        The rows go in the background: the tenant is REMOVING, and REMOVED when nothing is left.

        Args:
            name: the tenant's, so that nobody removes another one by mistake.
            validate_only: only tell what would be removed; needs no name.

        Raises:
            MissingError: TENANT_MISSING.
            InvalidError: FIELD_INVALID, the name is not the tenant's.
        """
        request = RemoveTenantRequest(tenant_id=tenant_id, name=name, validate_only=validate_only)
        return await self._calls.unary(self._stub.RemoveTenant, request, timeout)
