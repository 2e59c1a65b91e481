"""Entries are appended through one function alone, to the transaction's own tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from libs import audit
from libs.postgres import roles
from tests.contract.database.rows import refusal

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Database
    from tests.conftest import Connect

LEAVES = [audit.leaf(b"salt", audit.canonical_row({"name": name})) for name in "abc"]
CALL = (
    "SELECT audit_append_v1(gen_random_uuid(), 'kind', 'actor', 'call', NULL, 0,"
    " sha256('root'), '{}')"
)


async def append(connection: Any) -> UUID:
    return await audit.append(
        connection,
        kind="consent_changed",
        actor="somebody",
        call_id="call-1",
        recorded_table="profile_consent_version",
        leaves=LEAVES,
        details={"channel": "email"},
    )


async def entries(superuser: Any, tenant_id: UUID) -> list[Any]:
    found: list[Any] = await superuser.fetch(
        "SELECT * FROM audit_entry WHERE tenant_id = $1", tenant_id
    )
    return found


async def test_entry_holds_what_was_said_and_the_root_of_the_leaves(
    database: Database, tenant_id: UUID, superuser: Any
) -> None:
    async with database.tenant(tenant_id) as connection:
        entry_id = await append(connection)
        begun_at = await connection.fetchval("SELECT leo_now()")
    (entry,) = await entries(superuser, tenant_id)
    assert entry["entry_id"] == entry_id
    assert entry["kind"] == "consent_changed"
    assert entry["actor"] == "somebody"
    assert entry["call_id"] == "call-1"
    assert entry["recorded_table"] == "profile_consent_version"
    assert entry["member_count"] == 3
    assert entry["root"] == audit.root(LEAVES)
    assert orjson.loads(entry["details"]) == {"channel": "email"}
    assert entry["created_at"] == begun_at


async def append_and_fail(connection: Any) -> None:
    await append(connection)
    raise LookupError


async def test_entry_goes_with_the_transaction_that_failed(
    database: Database, tenant_id: UUID, superuser: Any
) -> None:
    with pytest.raises(LookupError):
        async with database.tenant(tenant_id) as connection:
            await append_and_fail(connection)
    assert await entries(superuser, tenant_id) == []


@pytest.mark.parametrize("context", [None, ""])
async def test_entry_without_a_tenant_is_refused(superuser: Any, context: str | None) -> None:
    for role in roles.SERVICE_ROLES:
        assert await refusal(superuser, role, CALL, context=context) == "55000"


async def test_services_and_the_eraser_append(
    superuser: Any, two_tenants: tuple[UUID, UUID]
) -> None:
    for role in (*roles.SERVICE_ROLES, roles.ERASER):
        assert await refusal(superuser, role, CALL, context=str(two_tenants[0])) is None


async def test_temporary_table_of_the_same_name_catches_no_entry(
    superuser: Any, connect: Connect, tenant_id: UUID, database_name: str
) -> None:
    # A database that was set up lets no service make one; the function must not rely on it.
    await superuser.execute(f"GRANT TEMPORARY ON DATABASE {database_name} TO {roles.INGEST}")
    async with connect(roles.INGEST) as service:
        await service.execute(
            "CREATE TEMPORARY TABLE audit_entry (tenant_id uuid, entry_id uuid, kind text,"
            " actor text, call_id text, recorded_table text, member_count int, root bytea,"
            " details jsonb)"
        )
        await service.execute(f"GRANT ALL ON pg_temp.audit_entry TO {roles.OWNER}")
        async with service.transaction():
            await service.fetchval("SELECT enter_tenant_v1($1, 1000)", tenant_id)
            await append(service)
        assert await service.fetchval("SELECT count(*) FROM pg_temp.audit_entry") == 0
    assert len(await entries(superuser, tenant_id)) == 1


async def test_second_entry_with_the_same_id_is_refused(
    superuser: Any, two_tenants: tuple[UUID, UUID]
) -> None:
    own = two_tenants[0]
    again = CALL.replace("gen_random_uuid()", f"'{own}'")
    assert await refusal(superuser, roles.INGEST, again, context=str(own)) == (
        asyncpg.UniqueViolationError.sqlstate
    )
