from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from leo.ingest.v1.ingest_service_pb2 import Consent, Profile, ProfileInput, Tenant
from leo_sdk import ExistsError, ForbiddenError, InvalidError, MissingError, StateError, timestamp
from libs import audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from leo_sdk import LeoClient

NOW = datetime.now(UTC).replace(microsecond=0)
RECORDED = (
    "tenant_id",
    "profile_id",
    "channel",
    "purpose",
    "version",
    "state",
    "evidence",
    "consented_at",
    "created_at",
    "actor",
)


def granted(**changes: Any) -> Consent:
    values: dict[str, Any] = {
        "channel": "email",
        "purpose": "marketing",
        "state": Consent.STATE_GRANTED,
        "evidence": "checkout form, box 2",
    }
    return Consent(**(values | changes))


@pytest.fixture
async def person(client: LeoClient) -> str:
    await client.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id="p-1"))])
    return "p-1"


async def test_consent_is_recorded_and_read_back(client: LeoClient, person: str) -> None:
    first = await client.ingest.set_consent(person, granted())
    assert first.version == 1
    assert first.consent_time.ToDatetime(tzinfo=UTC) >= NOW
    second = await client.ingest.set_consent(person, granted(state=Consent.STATE_WITHDRAWN))
    assert second.version == 2
    await client.ingest.set_consent(person, granted(channel="zalo-template"))
    consents = (await client.ingest.get_profile(person)).consents
    assert [(consent.channel, consent.state, consent.version) for consent in consents] == [
        ("email", Consent.STATE_WITHDRAWN, 2),
        ("zalo-template", Consent.STATE_GRANTED, 1),
    ]


async def test_a_repeated_request_gets_its_first_answer(
    client: LeoClient, person: str, auditor: Any
) -> None:
    request_id = str(uuid4())
    first = await client.ingest.set_consent(person, granted(), request_id=request_id)
    await client.ingest.set_consent(person, granted(state=Consent.STATE_WITHDRAWN))
    again = await client.ingest.set_consent(person, granted(), request_id=request_id)
    assert again == first
    assert await auditor.fetchval("SELECT count(*) FROM profile_consent_version") == 2


async def test_a_request_id_with_another_body_is_refused(client: LeoClient, person: str) -> None:
    await client.ingest.batch_upsert_profiles([ProfileInput(profile=Profile(ext_id="p-2"))])
    request_id = str(uuid4())
    await client.ingest.set_consent(person, granted(), request_id=request_id)
    for ext_id, consent in ((person, granted(channel="sms")), ("p-2", granted())):
        with pytest.raises(InvalidError) as refused:
            await client.ingest.set_consent(ext_id, consent, request_id=request_id)
        assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_an_older_statement_does_not_replace_a_newer_one(
    client: LeoClient, person: str
) -> None:
    withdrawn = granted(state=Consent.STATE_WITHDRAWN, consent_time=timestamp(NOW))
    await client.ingest.set_consent(person, withdrawn)
    with pytest.raises(StateError) as refused:
        await client.ingest.set_consent(
            person, granted(consent_time=timestamp(NOW - timedelta(seconds=1)))
        )
    assert refused.value.reason == "CONSENT_SUPERSEDED"
    (consent,) = (await client.ingest.get_profile(person)).consents
    assert consent.state == Consent.STATE_WITHDRAWN


async def test_bad_fields_of_a_consent_are_all_named(client: LeoClient) -> None:
    bad = Consent(channel="E-Mail", consent_time=timestamp(NOW + timedelta(days=1)))
    with pytest.raises(InvalidError) as refused:
        await client.ingest.set_consent("", bad)
    assert {violation.field for violation in refused.value.violations} == {
        "ext_id",
        "consent.channel",
        "consent.purpose",
        "consent.state",
        "consent.evidence",
        "consent.consent_time",
    }


async def test_a_request_id_must_be_a_uuid4(client: LeoClient, person: str) -> None:
    for request_id in ("x", "01993d00-0000-7000-8000-000000000001"):
        with pytest.raises(InvalidError) as refused:
            await client.ingest.set_consent(person, granted(), request_id=request_id)
        assert [violation.field for violation in refused.value.violations] == ["request_id"]


async def test_consent_of_nobody_is_not_recorded(client: LeoClient) -> None:
    with pytest.raises(MissingError) as refused:
        await client.ingest.set_consent("nobody", granted())
    assert refused.value.reason == "PROFILE_MISSING"


async def test_a_change_of_consent_is_in_the_audit_and_verifies_from_its_row(
    client: LeoClient, person: str, tenant_id: UUID, auditor: Any
) -> None:
    await client.ingest.set_consent(person, granted())
    row = await auditor.fetchrow("SELECT * FROM profile_consent_version")
    entry = await auditor.fetchrow(
        "SELECT * FROM audit_entry WHERE entry_id = $1", row["audit_entry_id"]
    )
    assert entry["tenant_id"] == tenant_id
    assert entry["kind"] == "consent_changed"
    assert entry["actor"] == row["actor"]
    recorded = {name: row[name] for name in RECORDED}
    leaf = audit.leaf(row["salt"], audit.canonical_row(recorded))
    assert entry["root"] == audit.root([leaf])
    changed = audit.leaf(row["salt"], audit.canonical_row(recorded | {"state": "withdrawn"}))
    assert entry["root"] != audit.root([changed])


async def test_a_tenant_is_created_once(client_of: Callable[..., LeoClient], auditor: Any) -> None:
    platform = client_of(None)
    request_id = str(uuid4())
    wanted = Tenant(name="hoa-sen", display_name="Hoa Sen")
    tenant = await platform.ingest.create_tenant(wanted, request_id=request_id)
    assert tenant.state == Tenant.STATE_ACTIVE
    assert tenant.time_zone == "Asia/Ho_Chi_Minh"
    assert await platform.ingest.create_tenant(wanted, request_id=request_id) == tenant
    with pytest.raises(InvalidError) as reused:
        await platform.ingest.create_tenant(Tenant(name="khac"), request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(ExistsError) as exists:
        await platform.ingest.create_tenant(wanted)
    assert exists.value.reason == "TENANT_EXISTS"
    assert exists.value.metadata == {"name": "hoa-sen"}
    kinds = await auditor.fetch(
        "SELECT kind FROM audit_entry WHERE tenant_id = $1", UUID(tenant.tenant_id)
    )
    assert [row["kind"] for row in kinds] == ["tenant_created"]


@pytest.mark.parametrize(
    ("tenant", "field"),
    [
        (Tenant(), "tenant.name"),
        (Tenant(name="Hoa Sen"), "tenant.name"),
        (Tenant(name="h"), "tenant.name"),
        (Tenant(name="hoa", time_zone="Asia/Saigon2"), "tenant.time_zone"),
        (Tenant(name="hoa", display_name="x" * 201), "tenant.display_name"),
    ],
)
async def test_a_bad_tenant_is_refused(
    client_of: Callable[..., LeoClient], tenant: Tenant, field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client_of(None).ingest.create_tenant(tenant)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_creating_a_tenant_needs_the_scope_of_the_platform(
    client_of: Callable[..., LeoClient], tenant_id: UUID
) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await client_of(tenant_id, "leo.events.write").ingest.create_tenant(Tenant(name="hoa"))
    assert refused.value.metadata == {"scope": "leo.tenants.admin"}
