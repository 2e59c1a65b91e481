"""The steps of the demo, each by the SDK, as any client of LEO Activation would do it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Consent, Tenant
from libs.demo import dirt
from libs.demo.people import document_of, ext_id_of
from libs.demo.purchases import SOURCE, value_vnd
from libs.demo.tally import ConsentTally, EventTally, ProfileTally
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leo.ingest.v1.ingest_service_pb2 import Event, ProfileInput
    from libs.demo.progress import Advance
    from libs.demo.purchases import Purchase

TENANT_NAME = "demo"
# A fixed id makes the creation idempotent: a second run gets the first one's answer, and with it
# the tenant's id and time of creation, so the demo has nothing to remember.
TENANT_REQUEST_ID = "5d0f6f0e-6c53-4b0a-9a43-d3a0c1e8b7f2"

PROFILE_BATCH_COUNT = 100
_PROFILE_BATCHES_AT_ONCE = 4
# Sent a second time at the end of the stream, as a source does that missed an answer.
REPEATED_EVENT_COUNT = 50
CONSENT_COUNT = 30
# Of those who agreed, every so manieth takes it back a day later.
_WITHDRAWAL_EVERY = 6

_QUERIES = load_queries(__file__)


async def create_tenant(client: leo_sdk.LeoClient) -> Tenant:
    """The demo's tenant, made now or by an earlier run.

    Raises:
        leo_sdk.ExistsError: somebody else made a tenant of this name.
    """
    return await client.ingest.create_tenant(
        Tenant(name=TENANT_NAME, display_name="Tiệm đĩa CD (demo)"), request_id=TENANT_REQUEST_ID
    )


def profile_inputs(purchases: Sequence[Purchase], created_at: datetime) -> list[ProfileInput]:
    """One document for each customer, two percent of them dirty, and three that cannot be read."""
    counts = Counter(purchase.customer_id for purchase in purchases)
    values: Counter[str] = Counter()
    for purchase in purchases:
        values[purchase.customer_id] += value_vnd(purchase)
    documents = []
    for customer_id, count in sorted(counts.items()):
        document = document_of(
            customer_id,
            created_at=created_at,
            purchase_count=count,
            value_vnd=values[customer_id],
        )
        if dirt.is_dirty(customer_id):
            document = dirt.soil(document, customer_id)
        documents.append(leo_sdk.cdp_document(document))
    return documents + [leo_sdk.cdp_document(text) for text in dirt.unreadable_documents()]


async def send_profiles(
    client: leo_sdk.LeoClient, profiles: Sequence[ProfileInput], advance: Advance
) -> ProfileTally:
    """Send the profiles in batches, a few at once."""
    tally = ProfileTally()
    at_once = asyncio.Semaphore(_PROFILE_BATCHES_AT_ONCE)

    async def send(batch: Sequence[ProfileInput]) -> None:
        async with at_once:
            for result in await client.ingest.batch_upsert_profiles(batch):
                tally.add(result)
            advance(len(batch))

    await asyncio.gather(
        *(
            send(profiles[start : start + PROFILE_BATCH_COUNT])
            for start in range(0, len(profiles), PROFILE_BATCH_COUNT)
        )
    )
    return tally


async def set_consents(
    client: leo_sdk.LeoClient,
    customer_ids: Sequence[str],
    created_at: datetime,
    advance: Advance,
) -> ConsentTally:
    """Record what the first clean customers said about email; some take it back later."""
    tally = ConsentTally()
    clean = [customer_id for customer_id in customer_ids if not dirt.is_dirty(customer_id)]
    for index, customer_id in enumerate(clean[:CONSENT_COUNT]):
        agreed_at = created_at - timedelta(days=10)
        statements = [_consent(Consent.STATE_GRANTED, "order form, box 2", agreed_at)]
        if index % _WITHDRAWAL_EVERY == 0:
            later = agreed_at + timedelta(days=1)
            statements.append(_consent(Consent.STATE_WITHDRAWN, "letter to the shop", later))
        for consent in statements:
            tally.add(
                await client.ingest.set_consent(
                    ext_id_of(customer_id),
                    consent,
                    request_id=_request_id(f"{customer_id}:{consent.state}"),
                )
            )
        advance(1)
    return tally


async def send_events(
    client: leo_sdk.LeoClient, events: Sequence[Event], advance: Advance
) -> EventTally:
    """Send the events as one stream and count the answers."""
    tally = EventTally()
    started_at = time.monotonic()
    async for position, result in client.ingest.stream_events(events):
        tally.add(position, result)
        advance(1)
    tally.seconds = time.monotonic() - started_at
    return tally


async def count_tenant(auditor_dsn: str, tenant_id: str) -> Any:
    """What the database has of the tenant now, asked directly and not by the service."""
    connection = await asyncpg.connect(auditor_dsn)
    try:
        return await _QUERIES.count_tenant(connection, tenant_id=UUID(tenant_id), source=SOURCE)
    finally:
        await connection.close()


def created_at_of(tenant: Tenant) -> datetime:
    """When the tenant was created: what the demo's dates count from."""
    return tenant.create_time.ToDatetime(tzinfo=UTC)


def _consent(state: Consent.State.ValueType, evidence: str, consented_at: datetime) -> Consent:
    return Consent(
        channel="email",
        purpose="marketing",
        state=state,
        evidence=evidence,
        consent_time=leo_sdk.timestamp(consented_at),
    )


def _request_id(text: str) -> str:
    """The same UUID4 for the same text, so that a second run repeats the first one's requests."""
    return str(UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))
