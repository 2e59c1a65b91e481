"""The tenants: made, suspended, resumed, and told to go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg

from libs import audit
from services.ingest.domain.limits import ROW_COUNT_MAX
from services.ingest.domain.tenant import TableRows, Tenant, may_become
from services.ingest.errors import (
    RequestIdReusedError,
    TenantExistsError,
    TenantStateError,
    TenantUnknownError,
)
from services.ingest.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.fields.paging import Page
    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.ingest.domain.tenant import NewTenant, State


class Tenants:
    """The table tenant."""

    _database: Database

    async def create_tenant(self, tenant_id: UUID, tenant: NewTenant, origin: Origin) -> Tenant:
        """Store a tenant and its audit entry; a repeated request gets its first answer.

        Raises:
            TenantExistsError: the name is taken.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            try:
                row = await QUERIES.insert_tenant(
                    connection,
                    tenant_id=tenant_id,
                    name=tenant.name,
                    display_name=tenant.display_name,
                    time_zone=tenant.time_zone,
                    request_id=request.request_id if request else None,
                    request_digest=request.digest if request else None,
                )
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "tenant_name_key":
                    raise
                raise TenantExistsError(tenant.name) from error
            if row is not None:
                await audit.append(
                    connection,
                    kind="tenant_created",
                    actor=origin.actor,
                    call_id=origin.call_id,
                    details={
                        "name": row["name"],
                        "time_zone": row["time_zone"],
                        "state": row["state"],
                    },
                )
                return Tenant(**row)
            first = dict(await QUERIES.select_tenant(connection, tenant_id=tenant_id))
            # Only a repeated request can meet its own id.
            assert request is not None
            if first.pop("request_digest") != request.digest:
                raise RequestIdReusedError(request.request_id)
            return Tenant(**first)

    async def find_tenant(self, *, tenant_id: UUID | None, name: str | None) -> Tenant:
        """The tenant with this id or name, in whatever state. Raises TenantUnknownError."""
        async with self._database.across_tenants() as connection:
            await QUERIES.enter_platform(connection)
            row = await QUERIES.select_tenant_of_platform(
                connection, tenant_id=tenant_id, name=name
            )
        if row is None:
            raise TenantUnknownError(str(tenant_id or name))
        return Tenant(**row)

    async def list_tenants(self, page: Page) -> tuple[list[Tenant], bool]:
        """A page of all tenants in the order of their names, and whether there are more."""
        async with self._database.across_tenants() as connection:
            await QUERIES.enter_platform(connection)
            found = [
                Tenant(**row)
                async for row in QUERIES.list_tenants(
                    connection,
                    after=page.after[0] if page.after else None,
                    count_max=page.size + 1,
                )
            ]
        return found[: page.size], len(found) > page.size

    async def set_tenant_state(self, tenant_id: UUID, state: State, origin: Origin) -> Tenant:
        """Suspend a tenant or let it go on, with an audit entry where that is a change.

        Raises:
            TenantUnknownError: there is none with this id.
            TenantStateError: it is being removed, or is.
        """
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            tenant = await _lock(connection, tenant_id)
            if not may_become(tenant.state, state):
                raise TenantStateError(tenant_id, tenant.state)
            return await _change_state(connection, tenant, state, origin, details={})

    async def hold_after_restore(self, tenant_id: UUID, origin: Origin) -> None:
        """Note in a tenant's audit that its rows are those of a backup, and let nothing be sent.

        That it is suspended for this cause tells `leo resume` to let it go on, and nobody else
        whom somebody had suspended before. Done again, it suspends who was resumed meanwhile.

        Raises:
            TenantUnknownError: there is none with this id.
        """
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            tenant = await _lock(connection, tenant_id)
            await audit.append(
                connection,
                kind="database_restored",
                actor=origin.actor,
                call_id=origin.call_id,
                details={},
            )
            if tenant.state == "active":
                await _change_state(
                    connection, tenant, "suspended", origin, details={"cause": "restored"}
                )

    async def count_tenant_rows(self, tenant_id: UUID) -> list[TableRows]:
        """What there is of a tenant, the largest table first; exact up to ROW_COUNT_MAX a table."""
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            return await _count_rows(connection)

    async def remove_tenant(
        self, tenant_id: UUID, origin: Origin
    ) -> tuple[Tenant, list[TableRows]]:
        """Refuse the tenant's calls from now on and have its rows removed; also what there is.

        A tenant that is being removed, or is, stays as it is.

        Raises:
            TenantUnknownError: there is none with this id.
        """
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            tenant = await _lock(connection, tenant_id)
            tables = await _count_rows(connection)
            if tenant.state in ("active", "suspended"):
                counts = {found.table: found.row_count for found in tables}
                tenant = await _change_state(
                    connection, tenant, "removing", origin, details={"row_counts": counts}
                )
            return tenant, tables


async def _lock(connection: Connection, tenant_id: UUID) -> Tenant:
    row = await QUERIES.lock_tenant(connection, tenant_id=tenant_id)
    if row is None:
        raise TenantUnknownError(str(tenant_id))
    return Tenant(**row)


async def _change_state(
    connection: Connection,
    tenant: Tenant,
    state: State,
    origin: Origin,
    *,
    details: dict[str, object],
) -> Tenant:
    if tenant.state == state:
        return tenant
    await QUERIES.update_tenant_state(connection, tenant_id=tenant.tenant_id, state=state)
    await audit.append(
        connection,
        kind="tenant_state_changed",
        actor=origin.actor,
        call_id=origin.call_id,
        details={"from": tenant.state, "to": state} | details,
    )
    return replace(tenant, state=state)


async def _count_rows(connection: Connection) -> list[TableRows]:
    # One more than is told, to know whether there are more.
    return [
        TableRows(
            table=row["table_name"],
            row_count=min(row["row_count"], ROW_COUNT_MAX),
            more=row["row_count"] > ROW_COUNT_MAX,
        )
        async for row in QUERIES.count_tenant_rows(connection, count_max=ROW_COUNT_MAX + 1)
    ]
