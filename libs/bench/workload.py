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
    """One tenant of the workload, ready to act.

    Attributes:
        launch_rule_id: of the rule that a launch asks; it acts for everybody.
    """

    tenant_id: str
    profile_count: int
    channel: str
    launch_rule_id: str
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
            await _make_people(client, profile_count, channel)
            choice = await _OPEN[channel](stack, client, made.tenant_id)
            launch_rule_id = await _make_rules(client, choice)
            tenants.append(
                BenchTenant(made.tenant_id, profile_count, channel, launch_rule_id, client)
            )
            say(
                f"tenant {number + 1} of {tenant_count}: {profile_count} people, {RULE_COUNT} rules"
            )
    return tenants


async def _make_people(client: leo_sdk.LeoClient, profile_count: int, channel: str) -> None:
    numbers = range(profile_count)
    for start in range(0, profile_count, _PROFILE_BATCH_COUNT):
        batch = [_profile(number) for number in numbers[start : start + _PROFILE_BATCH_COUNT]]
        await client.ingest.batch_upsert_profiles(batch)
    consent = Consent(
        channel=channel, purpose=PURPOSE, state=Consent.STATE_GRANTED, evidence="bench"
    )
    waiting = iter(numbers)

    async def agree() -> None:
        for number in waiting:
            await client.ingest.set_consent(_ext_id(number), consent)

    await asyncio.gather(*(agree() for _ in range(_CALLS_AT_ONCE)))


async def _open_zalo(stack: RunningStack, client: leo_sdk.LeoClient, tenant_id: str) -> Choice:
    account = await zalo.open_account(
        stack,
        client,
        tenant_id=tenant_id,
        name="bench-oa",
        templates=[
            {
                "template_id": _TEMPLATE_ID,
                "parameters": [{"name": "customer"}, {"name": "amount", "format": "number"}],
            }
        ],
        concurrent_send_count_max=_CONCURRENT_SEND_COUNT,
    )
    texts = {
        "customer": "{{ profile.given_name }}",
        "amount": "{{ profile.transaction_value_vnd }}",
    }
    return await _choice(client, account, texts, _TEMPLATE_ID)


async def _open_mail(stack: RunningStack, client: leo_sdk.LeoClient, tenant_id: str) -> Choice:
    account = await mail.open_account(
        stack,
        client,
        tenant_id=tenant_id,
        name="bench-mail",
        concurrent_send_count_max=_CONNECTION_COUNT,
    )
    texts = {
        "subject": "Cảm ơn {{ profile.given_name }}",
        "html": "<p>Cảm ơn bạn về đơn hàng {{ profile.transaction_value_vnd }} đồng.</p>" * 10,
    }
    return await _choice(client, account, texts)


# How each channel gets an account and a message.
_OPEN: Final = {zalo.CHANNEL: _open_zalo, mail.CHANNEL: _open_mail}


async def _choice(
    client: leo_sdk.LeoClient,
    account: ChannelAccount,
    texts: dict[str, str],
    provider_template_id: str = "",
) -> Choice:
    template = await client.dispatch.create_template(
        Template(
            name="thanks",
            channel=account.channel,
            provider_template_id=provider_template_id,
            data=texts,
        )
    )
    return Choice(
        channel=account.channel, template_id=template.template_id, account_id=account.account_id
    )


async def _make_rules(client: leo_sdk.LeoClient, choice: Choice) -> str:
    """Make rules about events and one to be launched, whose id this gives."""
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
    launched = await client.decisions.create_rule(
        Rule(
            campaign_id=campaign.campaign_id,
            name="everybody",
            trigger=Rule.TRIGGER_LAUNCH,
            purpose=PURPOSE,
            choices=[choice],
        )
    )
    await client.decisions.set_campaign_state(campaign.campaign_id, Campaign.STATE_ACTIVE)
    return launched.rule_id


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
