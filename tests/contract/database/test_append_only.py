"""What was recorded stays, but for the one door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.database.rows import APPEND_ONLY, PARTITIONS, TRIGGERS, refusal

if TYPE_CHECKING:
    from uuid import UUID

FORBIDDEN = "42501"
REFUSED_BY_TRIGGER = "55000"
CHANGES = (
    "UPDATE {} SET tenant_id = tenant_id",
    "DELETE FROM {}",
    "TRUNCATE {} CASCADE",
)

# By their foreign keys, step by step.
HANG_ON = {
    "audit_entry": (
        "audit_seal",
        "profile_consent_version",
        "decision",
        "delivery_attempt",
        "segment_snapshot",
        "segment_snapshot_member",
    ),
    "decision": ("delivery_attempt",),
    "segment_snapshot": ("segment_snapshot_member",),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_change_is_refused_to_services_by_grants_and_to_the_owner_by_the_trigger(
    superuser: Any, table: str, change: str
) -> None:
    statement = change.format(table)
    for role in roles.SERVICE_ROLES:
        assert await refusal(superuser, role, statement) == FORBIDDEN
    assert await refusal(superuser, roles.OWNER, statement) == REFUSED_BY_TRIGGER


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_probe_fails_without_the_trigger(superuser: Any, table: str, change: str) -> None:
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(f"DROP TRIGGER {TRIGGERS[table]} ON {table}")
        # TRUNCATE goes on to what hangs on the table, and meets the trigger there.
        for dependent in HANG_ON.get(table, ()):
            await superuser.execute(f"DROP TRIGGER {TRIGGERS[dependent]} ON {dependent}")
        if table == "marketing_event":
            for partition in PARTITIONS:
                await superuser.execute(f"DROP TRIGGER {TRIGGERS[partition]} ON {partition}")
        found = await refusal(superuser, roles.OWNER, change.format(table))
    finally:
        await transaction.rollback()
    assert found is None


DOOR = (
    "UPDATE cdp_profile_version SET document = NULL",
    "DELETE FROM cdp_profile_version",
    "UPDATE profile_consent_version SET evidence = NULL, salt = NULL",
    "DELETE FROM profile_consent_version",
    "DELETE FROM marketing_event",
    "DELETE FROM segment_snapshot_member",
    "WITH launches AS (DELETE FROM campaign_launch) DELETE FROM segment_snapshot",
    "UPDATE decision SET inputs = NULL, salt = NULL",
    "UPDATE delivery_attempt SET salt = NULL",
    "DELETE FROM delivery_attempt",
    "UPDATE delivery_receipt SET raw = NULL",
    "DELETE FROM delivery_receipt",
)


@pytest.mark.parametrize("statement", DOOR)
async def test_the_door_is_open_to_the_eraser(
    superuser: Any, two_tenants: tuple[UUID, UUID], statement: str
) -> None:
    assert await refusal(superuser, roles.ERASER, statement, context=str(two_tenants[0])) is None


async def test_the_door_shows_one_tenant(superuser: Any, two_tenants: tuple[UUID, UUID]) -> None:
    own, other = two_tenants
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("SELECT set_config('leo.tenant_id', $1, true)", str(own))
        await superuser.execute(f"SET LOCAL ROLE {roles.ERASER}")
        await superuser.execute("DELETE FROM marketing_event")
        await superuser.execute("RESET ROLE")
        left = await superuser.fetch("SELECT DISTINCT tenant_id FROM marketing_event")
    finally:
        await transaction.rollback()
    assert {row["tenant_id"] for row in left} == {other}


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_truncate_is_refused_even_to_an_eraser_who_may(superuser: Any, table: str) -> None:
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(f"GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO {roles.ERASER}")
        found = await refusal(superuser, roles.ERASER, f"TRUNCATE {table} CASCADE")
    finally:
        await transaction.rollback()
    assert found == REFUSED_BY_TRIGGER


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'nobody'",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_seal",
        "DELETE FROM tenant",
        "UPDATE tenant SET state = 'removed'",
        "UPDATE profile_consent_version SET state = 'granted'",
        "UPDATE cdp_profile_version SET document_digest = sha256('another')",
        "UPDATE marketing_event SET event_type = 'another'",
        "UPDATE segment_snapshot SET condition = 'false'",
        "UPDATE segment_snapshot_member SET consents = ''",
        "UPDATE decision SET outcome = 'expired'",
        "UPDATE delivery_attempt SET kind = 'accepted'",
        "UPDATE delivery_receipt SET kind = 'read'",
    ],
)
async def test_the_door_is_no_wider_than_what_goes_through_it(
    superuser: Any, statement: str
) -> None:
    assert await refusal(superuser, roles.ERASER, statement) == FORBIDDEN
