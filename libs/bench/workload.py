"""The fixed workload of the main job: tenants, people who agreed, rules of which one applies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import leo_sdk
from leo.decision.v1.decision_service_pb2 import Campaign, Choice, Rule
from leo.dispatch.v1.dispatch_service_pb2 import ChannelAccount, Template
from leo.ingest.v1.ingest_service_pb2 import Consent, Event, ProfileInput, Tenant
from libs.supervisor import mail, zalo

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from libs.supervisor.running import RunningStack

# By which messages can be measured.
Channel: TypeAlias = Literal["zalo-template", "email"]
RULE_COUNT: Final = 20
PURPOSE: Final = "customer-care"
_TEMPLATE_ID: Final = "320001"
_PROFILE_BATCH_COUNT: Final = 100
_CALLS_AT_ONCE: Final = 32
# A semaphore a tenant; the simulator answers at once, so this is no bound.
_CONCURRENT_SEND_COUNT: Final = 200
# A connection takes one message after the other.
_CONNECTION_COUNT: Final = 32
_CITIES: Final = ("Hà Nội", "Huế", "Đà Nẵng", "Cần Thơ", "Hồ Chí Minh")


@dataclass(frozen=True, slots=True)
class BenchTenant:
    """One tenant of the workload, ready to act."""

    tenant_id: str
    profile_count: int
    channel: str
    client: leo_sdk.LeoClient


def condition_of(number: int) -> str:
    """The condition of one rule; of all rules exactly one is met by each event."""
    return (
        f"event.properties.slot == {number} && event.properties.value_vnd >= 100000 "
        f'&& profile.city != "nowhere" && profile.lifetime_value_vnd >= 0'
    )


def event_of(tenant: BenchTenant, source: str, number: int) -> Event:
    """One purchase, on which one rule acts."""
    return leo_sdk.event(
        source=source,
        source_event_id=str(number),
        event_type="purchase",
        profile_ext_id=_ext_id(number % tenant.profile_count),
        event_time=datetime.now(UTC),
        properties={
            "slot": number % RULE_COUNT,
            "order": f"DH-{number:08d}",
            "value_vnd": 150_000 + number % 1000 * 500,
            "items": [f"sku-{number % 97}", f"sku-{number % 89}"],
            "payment": "cash-on-delivery",
            "page": "https://shop.example/checkout/complete",
        },
    )


async def make_tenants(
    stack: RunningStack,
    clients: AsyncExitStack,
    *,
    run: str,
    tenant_count: int,
    profile_count: int,
    channel: str,
    say: Callable[[str], None],
) -> list[BenchTenant]:
    """Make tenants with people, consents, an account and an active campaign each.

    Args:
        clients: closes the tenants' clients.
    """
    tenants = []
    async with stack.client() as platform:
        for number in range(tenant_count):
            made = await platform.ingest.create_tenant(Tenant(name=f"bench-{run}-{number}"))
            client = await clients.enter_async_context(stack.client(tenant_id=made.tenant_id))
            tenant = BenchTenant(made.tenant_id, profile_count, channel, client)
            await _make_people(tenant)
            await _make_rules(stack, tenant)
            tenants.append(tenant)
            say(
                f"tenant {number + 1} of {tenant_count}: {profile_count} people, {RULE_COUNT} rules"
            )
    return tenants


async def _make_people(tenant: BenchTenant) -> None:
    numbers = range(tenant.profile_count)
    for start in range(0, tenant.profile_count, _PROFILE_BATCH_COUNT):
        batch = [_profile(number) for number in numbers[start : start + _PROFILE_BATCH_COUNT]]
        await tenant.client.ingest.batch_upsert_profiles(batch)
    consent = Consent(
        channel=tenant.channel, purpose=PURPOSE, state=Consent.STATE_GRANTED, evidence="bench"
    )
    waiting = iter(numbers)

    async def agree() -> None:
        for number in waiting:
            await tenant.client.ingest.set_consent(_ext_id(number), consent)

    await asyncio.gather(*(agree() for _ in range(_CALLS_AT_ONCE)))


async def _open_zalo(
    stack: RunningStack, tenant: BenchTenant
) -> tuple[ChannelAccount, dict[str, Any]]:
    account = await zalo.open_account(
        stack,
        tenant.client,
        tenant_id=tenant.tenant_id,
        name="bench-oa",
        templates=[
            {
                "template_id": _TEMPLATE_ID,
                "parameters": [{"name": "customer"}, {"name": "amount", "format": "number"}],
            }
        ],
        concurrent_send_count_max=_CONCURRENT_SEND_COUNT,
    )
    data = {
        "customer": "{{ profile.given_name }}",
        "amount": "{{ event.properties.value_vnd }}",
    }
    return account, {"provider_template_id": _TEMPLATE_ID, "data": data}


async def _open_mail(
    stack: RunningStack, tenant: BenchTenant
) -> tuple[ChannelAccount, dict[str, Any]]:
    account = await mail.open_account(
        stack,
        tenant.client,
        tenant_id=tenant.tenant_id,
        name="bench-mail",
        concurrent_send_count_max=_CONNECTION_COUNT,
    )
    data = {
        "subject": "Cảm ơn {{ profile.given_name }}",
        "html": "<p>Cảm ơn bạn về đơn hàng {{ event.properties.value_vnd }} đồng.</p>" * 10,
    }
    return account, {"data": data}


# How each channel gets an account and a message.
_OPEN: Final = {zalo.CHANNEL: _open_zalo, mail.CHANNEL: _open_mail}


async def _make_rules(stack: RunningStack, tenant: BenchTenant) -> None:
    client = tenant.client
    account, texts = await _OPEN[tenant.channel](stack, tenant)
    template = await client.dispatch.create_template(
        Template(name="thanks", channel=tenant.channel, **texts)
    )
    choice = Choice(
        channel=tenant.channel, template_id=template.template_id, account_id=account.account_id
    )
    campaign = await client.decisions.create_campaign(Campaign(name="bench"))
    for number in range(RULE_COUNT):
        await client.decisions.create_rule(
            Rule(
                campaign_id=campaign.campaign_id,
                name=f"slot-{number}",
                event_type="purchase",
                condition=condition_of(number),
                priority=number,
                purpose=PURPOSE,
                choices=[choice],
            )
        )
    await client.decisions.set_campaign_state(campaign.campaign_id, Campaign.STATE_ACTIVE)


def _ext_id(number: int) -> str:
    return f"KH-{number:06d}"


def _profile(number: int) -> ProfileInput:
    document: dict[str, Any] = {
        "_key": _ext_id(number),
        "status": 1,
        "dataContext": 1,
        "firstName": f"An {number}",
        "lastName": "Nguyễn",
        "primaryPhone": f"090{number:07d}",
        "primaryEmail": f"person-{number}@mail.example",
        "livingCity": _CITIES[number % len(_CITIES)],
        "totalTransactionValue": 1_000_000.0,
        "totalCLV": 3_000_000.0,
    }
    return leo_sdk.cdp_document(document)
