"""The tenant whose events are carried out while the stack is broken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import leo_sdk
from leo.decision.v1.decision_service_pb2 import Campaign, Rule
from leo.ingest.v1.ingest_service_pb2 import Consent, Event, ProfileInput, Tenant
from libs.torture.ways import CHANNELS, WAYS

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from libs.supervisor.running import RunningStack

PROFILE_COUNT: Final = 40
_PURPOSE: Final = "customer-care"


@dataclass(frozen=True, slots=True)
class TortureTenant:
    """A tenant on each of whose events one rule acts."""

    tenant_id: str
    client: leo_sdk.LeoClient

    def event(self, source: str, number: int) -> Event:
        """One event of a round; they take the ways in turns."""
        return leo_sdk.event(
            source=source,
            source_event_id=str(number),
            event_type=f"order-{number % len(WAYS)}",
            profile_ext_id=_ext_id(number % PROFILE_COUNT),
            event_time=datetime.now(UTC),
        )


async def make_tenant(stack: RunningStack, clients: AsyncExitStack, *, name: str) -> TortureTenant:
    """Make a tenant with people, consents, accounts and rules.

    Args:
        clients: closes the tenant's client.
    """
    async with stack.client() as platform:
        made = await platform.ingest.create_tenant(Tenant(name=name))
    client = await clients.enter_async_context(stack.client(tenant_id=made.tenant_id))
    await client.ingest.batch_upsert_profiles([_profile(each) for each in range(PROFILE_COUNT)])
    for channel in CHANNELS:
        consent = Consent(
            channel=channel, purpose=_PURPOSE, state=Consent.STATE_GRANTED, evidence="torture"
        )
        for number in range(PROFILE_COUNT):
            await client.ingest.set_consent(_ext_id(number), consent)
    choices = [
        await CHANNELS[channel].open(stack, client, tenant_id=made.tenant_id, name=account)
        for channel, account in WAYS
    ]
    campaign = await client.decisions.create_campaign(Campaign(name="torture"))
    for first in range(len(choices)):
        await client.decisions.create_rule(
            Rule(
                campaign_id=campaign.campaign_id,
                name=f"order-{first}",
                event_type=f"order-{first}",
                purpose=_PURPOSE,
                choices=choices[first:] + choices[:first],
            )
        )
    await client.decisions.set_campaign_state(campaign.campaign_id, Campaign.STATE_ACTIVE)
    return TortureTenant(made.tenant_id, client)


def _ext_id(number: int) -> str:
    return f"KH-{number:04d}"


def _profile(number: int) -> ProfileInput:
    return leo_sdk.cdp_document(
        {
            "_key": _ext_id(number),
            "status": 1,
            "dataContext": 1,
            "firstName": f"An {number}",
            "primaryPhone": f"090{number:07d}",
            "primaryEmail": f"an-{number}@example.com",
        }
    )
