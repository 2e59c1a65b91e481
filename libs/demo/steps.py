"""The steps of the demo, each by the SDK, as any client of LEO Activation would do it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, Any

import leo_sdk
from leo.ingest.v1.ingest_service_pb2 import Consent, Tenant
from libs.demo import dirt
from libs.demo.campaign import CUSTOMER_CARE, MARKETING
from libs.demo.people import SEED, document_of, ext_id_of
from libs.demo.purchases import SOURCE, value_vnd
from libs.demo.requests import request_id_of
from libs.demo.tally import ConsentTally, EventTally, ProfileTally
from libs.postgres.queries import load_queries
from libs.supervisor import mail, zalo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

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
# What share of the customers agreed to messages, by channel and what they are about.
CONSENT_SHARES = {
    (zalo.CHANNEL, CUSTOMER_CARE): 0.45,
    (zalo.CHANNEL, MARKETING): 0.2,
    (mail.CHANNEL, CUSTOMER_CARE): 0.3,
    (mail.CHANNEL, MARKETING): 0.15,
}
_WITHDRAWN_SHARE = 0.1
_CONSENTS_AT_ONCE = 32
# A customer with a clean document, who agrees to everything and must not be disturbed right now.
QUIET_CUSTOMER_ID = "00011"

_QUERIES = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person said about messages of one kind."""

    ext_id: str
    consent: Consent
    request_id: str


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


def statements(customer_ids: Sequence[str], created_at: datetime) -> list[Statement]:
    """What the clean customers said; some of those who agreed to marketing take it back later.

    Drawn from SEED and the customer's number, so that a second run says the same.
    """
    found = []
    for customer_id in customer_ids:
        if dirt.is_dirty(customer_id):
            continue
        draw = Random(f"{SEED}:consent:{customer_id}")  # noqa: S311, it must be repeatable
        agreed_at = created_at - timedelta(days=10)
        for (channel, purpose), share in CONSENT_SHARES.items():
            if customer_id != QUIET_CUSTOMER_ID and draw.random() >= share:
                continue
            about = (customer_id, channel, purpose)
            found.append(_statement(*about, "order form, box 2", agreed_at))
            if purpose == MARKETING and draw.random() < _WITHDRAWN_SHARE:
                later = agreed_at + timedelta(days=1)
                found.append(_statement(*about, "letter to the shop", later, withdrawn=True))
    return found


async def set_consents(
    client: leo_sdk.LeoClient, said: Sequence[Statement], advance: Advance
) -> ConsentTally:
    """Record what customers said, each person's words in their order."""
    tally = ConsentTally()
    at_once = asyncio.Semaphore(_CONSENTS_AT_ONCE)

    async def record(of_one: list[Statement]) -> None:
        async with at_once:
            for statement in of_one:
                tally.add(
                    await client.ingest.set_consent(
                        statement.ext_id, statement.consent, request_id=statement.request_id
                    )
                )
                advance(1)

    by_person = groupby(said, key=lambda statement: statement.ext_id)
    await asyncio.gather(*(record(list(of_one)) for _, of_one in by_person))
    return tally


async def send_events(client: leo_sdk.LeoClient, events: Sequence[Event]) -> EventTally:
    """Send the events as one stream and count the answers."""
    tally = EventTally()
    started_at = time.monotonic()
    async for position, result in client.ingest.stream_events(events):
        tally.add(position, result)
    tally.seconds = time.monotonic() - started_at
    return tally


async def count_tenant(auditor: asyncpg.Connection, tenant_id: UUID) -> Any:
    """What the database has of the tenant now, asked directly and not by the service."""
    return await _QUERIES.count_tenant(auditor, tenant_id=tenant_id, source=SOURCE)


def created_at_of(tenant: Tenant) -> datetime:
    """When the tenant was created: what the demo's dates count from."""
    return tenant.create_time.ToDatetime(tzinfo=UTC)


def _statement(
    customer_id: str,
    channel: str,
    purpose: str,
    evidence: str,
    consented_at: datetime,
    *,
    withdrawn: bool = False,
) -> Statement:
    consent = Consent(
        channel=channel,
        purpose=purpose,
        state=Consent.STATE_WITHDRAWN if withdrawn else Consent.STATE_GRANTED,
        evidence=evidence,
        consent_time=leo_sdk.timestamp(consented_at),
    )
    return Statement(
        ext_id_of(customer_id),
        consent,
        request_id_of(f"{customer_id}:{channel}:{purpose}:{consent.state}"),
    )
