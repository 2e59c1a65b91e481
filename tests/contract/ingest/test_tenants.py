"""Tenants as who runs the platform handles them: read, suspended, resumed, told to go."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from leo.ingest.v1.ingest_service_pb2 import (
    Consent,
    Event,
    EventResult,
    Profile,
    ProfileInput,
    TableRows,
    Tenant,
)
from leo_sdk import ExistsError, ForbiddenError, InvalidError, MissingError, StateError, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from leo_sdk import LeoClient

SUSPENDED = Tenant.STATE_SUSPENDED
ACTIVE = Tenant.STATE_ACTIVE


@pytest.fixture
def platform(client_of: Callable[..., LeoClient]) -> LeoClient:
    """Who administers tenants."""
    return client_of(None)


@pytest.fixture
async def tenant(platform: LeoClient) -> Tenant:
    return await platform.ingest.create_tenant(Tenant(name="hoa-sen", display_name="Hoa Sen"))


@pytest.fixture
def shop(client_of: Callable[..., LeoClient], tenant: Tenant) -> LeoClient:
    """A client of the tenant."""
    return client_of(UUID(tenant.tenant_id))


def event() -> Event:
    return Event(
        source="shop",
        source_event_id=str(uuid4()),
        event_type="purchase",
        profile_ext_id="p-1",
        event_time=timestamp(datetime.now(UTC)),
    )


async def fill(shop: LeoClient, *, event_count: int = 3) -> None:
    """Give the tenant a person, a consent and events."""
    await shop.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id="p-1"))])
    await shop.ingest.set_consent(
        "p-1",
        Consent(channel="email", purpose="marketing", state=Consent.STATE_GRANTED, evidence="form"),
    )
    await shop.ingest.batch_ingest_events([event() for _ in range(event_count)])


async def changes(auditor: Any, tenant: Tenant) -> list[dict[str, Any]]:
    rows = await auditor.fetch(
        "SELECT details FROM audit_entry WHERE tenant_id = $1 AND kind = 'tenant_state_changed'"
        " ORDER BY entry_id",
        UUID(tenant.tenant_id),
    )
    return [json.loads(row["details"]) for row in rows]


async def test_a_tenant_is_read_by_its_id_and_by_its_name(
    platform: LeoClient, tenant: Tenant
) -> None:
    assert await platform.ingest.get_tenant(tenant.tenant_id) == tenant
    assert await platform.ingest.get_tenant(name="hoa-sen") == tenant


async def test_a_tenant_that_is_not_there_is_not_found(platform: LeoClient) -> None:
    unknown = str(uuid4())
    for call in (
        platform.ingest.get_tenant(unknown),
        platform.ingest.get_tenant(name="nobody"),
        platform.ingest.set_tenant_state(unknown, SUSPENDED),
        platform.ingest.remove_tenant(unknown, name="nobody"),
        platform.ingest.remove_tenant(unknown, validate_only=True),
    ):
        with pytest.raises(MissingError) as missing:
            await call
        assert missing.value.reason == "TENANT_MISSING"


async def test_bad_fields_are_named(platform: LeoClient, tenant: Tenant) -> None:
    for call, field in (
        (platform.ingest.get_tenant(), "tenant_id"),
        (platform.ingest.get_tenant("x"), "tenant_id"),
        (platform.ingest.get_tenant(name="Hoa Sen"), "name"),
        (platform.ingest.list_tenants(page_size=-1), "page_size"),
        (platform.ingest.list_tenants(page_token="x"), "page_token"),
        (platform.ingest.set_tenant_state("x", SUSPENDED), "tenant_id"),
        (
            platform.ingest.set_tenant_state(tenant.tenant_id, Tenant.STATE_REMOVED),
            "state",
        ),
        (platform.ingest.remove_tenant("x", name="hoa-sen"), "tenant_id"),
        (platform.ingest.remove_tenant(tenant.tenant_id), "name"),
        (platform.ingest.remove_tenant(tenant.tenant_id, name="hoa-sem"), "name"),
    ):
        with pytest.raises(InvalidError) as refused:
            await call
        assert refused.value.reason == "FIELD_INVALID"
        assert [violation.field for violation in refused.value.violations] == [field]
    assert (await platform.ingest.get_tenant(tenant.tenant_id)).state == ACTIVE


async def test_tenants_are_listed_page_by_page_in_the_order_of_their_names(
    platform: LeoClient,
) -> None:
    assert list((await platform.ingest.list_tenants()).tenants) == []
    for name in ("cam", "xoai", "buoi"):
        await platform.ingest.create_tenant(Tenant(name=name))
    first = await platform.ingest.list_tenants(page_size=2)
    assert [tenant.name for tenant in first.tenants] == ["buoi", "cam"]
    last = await platform.ingest.list_tenants(page_size=2, page_token=first.next_page_token)
    assert [tenant.name for tenant in last.tenants] == ["xoai"]
    assert last.next_page_token == ""


async def test_every_call_needs_the_scope_of_the_platform(
    client_of: Callable[..., LeoClient], tenant: Tenant
) -> None:
    client = client_of(UUID(tenant.tenant_id), "leo.events.write", "leo.profiles.write")
    for call in (
        client.ingest.get_tenant(tenant.tenant_id),
        client.ingest.list_tenants(),
        client.ingest.set_tenant_state(tenant.tenant_id, SUSPENDED),
        client.ingest.remove_tenant(tenant.tenant_id, name=tenant.name),
    ):
        with pytest.raises(ForbiddenError) as refused:
            await call
        assert refused.value.metadata == {"scope": "leo.tenants.admin"}


async def test_a_change_of_state_is_in_the_audit_once(
    platform: LeoClient, tenant: Tenant, auditor: Any
) -> None:
    for state in (SUSPENDED, SUSPENDED, ACTIVE, ACTIVE):
        changed = await platform.ingest.set_tenant_state(tenant.tenant_id, state)
        assert changed.state == state
        assert await platform.ingest.get_tenant(tenant.tenant_id) == changed
    assert await changes(auditor, tenant) == [
        {"from": "active", "to": "suspended"},
        {"from": "suspended", "to": "active"},
    ]


async def test_two_who_suspend_at_once_make_one_change(
    platform: LeoClient, tenant: Tenant, auditor: Any
) -> None:
    await asyncio.gather(
        *(platform.ingest.set_tenant_state(tenant.tenant_id, SUSPENDED) for _ in range(8))
    )
    assert len(await changes(auditor, tenant)) == 1


async def test_what_comes_in_while_a_tenant_is_suspended_is_stored(
    platform: LeoClient, shop: LeoClient, tenant: Tenant
) -> None:
    await platform.ingest.set_tenant_state(tenant.tenant_id, SUSPENDED)
    await fill(shop)
    result = await shop.ingest.ingest_event(event())
    assert result.outcome == EventResult.OUTCOME_ACCEPTED
    read = await shop.ingest.get_profile("p-1")
    assert [consent.state for consent in read.consents] == [Consent.STATE_GRANTED]


async def test_validating_a_removal_tells_how_much_there_is_and_changes_nothing(
    platform: LeoClient, shop: LeoClient, tenant: Tenant, auditor: Any
) -> None:
    empty = await platform.ingest.remove_tenant(tenant.tenant_id, validate_only=True)
    assert list(empty.tables) == []
    await fill(shop)
    told = await platform.ingest.remove_tenant(tenant.tenant_id, validate_only=True)
    assert told.tenant == tenant
    assert list(told.tables) == [
        TableRows(table="marketing_event", row_count=3),
        TableRows(table="cdp_profile_version", row_count=1),
        TableRows(table="cdp_profiles", row_count=1),
        TableRows(table="profile_consent", row_count=1),
        TableRows(table="profile_consent_version", row_count=1),
    ]
    assert await changes(auditor, tenant) == []


async def test_counting_ends_where_there_is_enough(
    monkeypatch: pytest.MonkeyPatch, platform: LeoClient, shop: LeoClient, tenant: Tenant
) -> None:
    monkeypatch.setattr("services.ingest.store.tenants.ROW_COUNT_MAX", 2)
    await fill(shop)
    told = await platform.ingest.remove_tenant(tenant.tenant_id, validate_only=True)
    assert told.tables[0] == TableRows(table="marketing_event", row_count=2, more=True)
    assert not any(table.more for table in told.tables[1:])


async def test_a_tenant_that_is_being_removed_is_refused_everything(
    platform: LeoClient, shop: LeoClient, tenant: Tenant, auditor: Any
) -> None:
    await fill(shop)
    removed = await platform.ingest.remove_tenant(tenant.tenant_id, name=tenant.name)
    assert removed.tenant.state == Tenant.STATE_REMOVING
    assert removed.tables[0] == TableRows(table="marketing_event", row_count=3)
    for call in (
        shop.ingest.ingest_event(event()),
        shop.ingest.batch_ingest_events([event()]),
        shop.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id="p-2"))]),
        shop.ingest.get_profile("p-1"),
    ):
        with pytest.raises(StateError) as refused:
            await call
        assert refused.value.reason == "TENANT_REMOVED"
    for state in (ACTIVE, SUSPENDED):
        with pytest.raises(StateError) as refused:
            await platform.ingest.set_tenant_state(tenant.tenant_id, state)
        assert refused.value.reason == "TENANT_STATE"
        assert refused.value.metadata["state"] == "removing"
    again = await platform.ingest.remove_tenant(tenant.tenant_id, name=tenant.name)
    assert again == removed
    (change,) = await changes(auditor, tenant)
    assert (change["from"], change["to"]) == ("active", "removing")
    assert change["row_counts"]["marketing_event"] == 3


async def test_the_name_of_a_removed_tenant_is_not_given_again(
    platform: LeoClient, tenant: Tenant
) -> None:
    await platform.ingest.remove_tenant(tenant.tenant_id, name=tenant.name)
    with pytest.raises(ExistsError) as refused:
        await platform.ingest.create_tenant(Tenant(name=tenant.name))
    assert refused.value.reason == "TENANT_EXISTS"
