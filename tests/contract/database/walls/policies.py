"""Who sees and writes whose rows: policies, the flags that put them in force, powers of roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libs.postgres import roles
from tests.contract.database.walls.wall import (
    BOUND_ROLES,
    PLAIN_ROLE,
    NoProbeError,
    Tenants,
    Wall,
    tables_of_tenants,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


async def policies(superuser: Any, tenants: Tenants) -> list[Wall]:
    """Of each policy and role: what it shows, what it accepts, whom it is for."""
    probes = {
        "tenant_isolation": _isolation,
        "auditor_reads": _opening,
        "finder_looks": _opening,
        "platform_reads": _platform,
    }
    found: list[Wall] = []
    for policy in await superuser.fetch(
        "SELECT tablename AS table, policyname AS name, roles FROM pg_policies"
        " WHERE schemaname = 'public' ORDER BY 1, 2"
    ):
        if policy["name"] not in probes:
            raise NoProbeError(f"policy {policy['name']}")
        for role in policy["roles"]:
            found += probes[policy["name"]](policy["name"], policy["table"], role, tenants)
    return found


def _isolation(policy: str, table: str, role: str, tenants: Tenants) -> Iterator[Wall]:
    name = f"{policy} of {table} for {role}"
    alter = f"ALTER POLICY {policy} ON {table}"
    for what, removal in {
        "what it shows": f"{alter} USING (true)",
        "that it is there": f"DROP POLICY {policy} ON {table}",
    }.items():
        yield _look(
            table, tenants, role, name=f"{name}: {what}", expected="SELECT 1", removal=removal
        )
    yield Wall(
        name=f"{name}: what it accepts",
        role=role,
        # A row of one's own, put down as the other's.
        attempt=f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
        f' SELECT (jsonb_populate_record(t, \'{{"tenant_id": "{tenants.other}"}}\')).*'
        f" FROM {table} AS t LIMIT 1",
        expected=f'42501 new row violates row-level security policy for table "{table}"',
        removal=f"{alter} WITH CHECK (true)",
        # Triggers read other tables by the right of whoever inserts.
        setup=f"GRANT INSERT ON {table} TO {role};"
        f" GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        tenant=tenants.own,
    )


def _opening(
    policy: str, table: str, role: str, tenants: Tenants, *, setup: str = ""
) -> Iterator[Wall]:
    name = f"{policy} of {table}"
    yield _look(
        table,
        tenants,
        role,
        name=f"{name}: that it is there",
        expected="SELECT 2",
        removal=f"DROP POLICY {policy} ON {table}",
        setup=setup,
    )
    yield _look(
        table,
        tenants,
        PLAIN_ROLE,
        name=f"{name}: whom it is for",
        expected="SELECT 1",
        removal=f"ALTER POLICY {policy} ON {table} TO PUBLIC",
        setup=setup,
    )


def _platform(policy: str, table: str, role: str, tenants: Tenants) -> Iterator[Wall]:
    yield from _opening(policy, table, role, tenants, setup="SET LOCAL leo.platform = 'on';")
    yield _look(
        table,
        tenants,
        role,
        name=f"{policy} of {table}: when it shows",
        expected="SELECT 1",
        removal=f"ALTER POLICY {policy} ON {table} USING (true)",
    )


async def flags(superuser: Any, tenants: Tenants) -> list[Wall]:
    """Of each table: that its policies are asked, and that they bind its owner."""
    return [
        _look(
            table,
            tenants,
            role,
            name=f"{table}: row level security is {what}",
            expected="SELECT 1",
            removal=f"ALTER TABLE {table} {removal}",
        )
        for table in await tables_of_tenants(superuser)
        for what, role, removal in (
            ("enabled", PLAIN_ROLE, "DISABLE ROW LEVEL SECURITY"),
            ("forced", roles.OWNER, "NO FORCE ROW LEVEL SECURITY"),
        )
    ]


async def powers(superuser: Any, tenants: Tenants) -> list[Wall]:
    """Of each role: what it is not, and which other it cannot become."""
    found: list[Wall] = []
    for role in (*BOUND_ROLES, roles.FINDER, roles.AUDITOR):
        found += _powers(role, tenants)
    everybody = [
        row["name"]
        for row in await superuser.fetch(
            "SELECT rolname::text AS name FROM pg_roles WHERE rolname LIKE 'leo\\_%' ORDER BY 1"
        )
    ]
    for role in everybody:
        for other in everybody:
            is_open = role == roles.MIGRATE and other in {roles.OWNER, roles.ERASER}
            # Nobody can be made a member of a member of its own.
            if role == other or (other == roles.MIGRATE and role in {roles.OWNER, roles.ERASER}):
                continue
            found.append(
                Wall(
                    name=f"{role} acts as {other}",
                    role=role,
                    attempt=f"SET LOCAL ROLE {other}",
                    expected="SET" if is_open else f'42501 permission denied to set role "{other}"',
                    removal=f"REVOKE {other} FROM {role}"
                    if is_open
                    else f"GRANT {other} TO {role}",
                )
            )
    return found


def _powers(role: str, tenants: Tenants) -> Iterator[Wall]:
    if role in BOUND_ROLES:
        for power in ("BYPASSRLS", "SUPERUSER"):
            yield _look(
                "tenant",
                tenants,
                role,
                name=f"{role}: NO{power}",
                expected="SELECT 1",
                removal=f"ALTER ROLE {role} {power}",
            )
    yield Wall(
        name=f"{role}: NOCREATEROLE",
        role=role,
        attempt="CREATE ROLE leo_probe",
        expected="42501 permission denied to create role",
        removal=f"ALTER ROLE {role} CREATEROLE",
    )


def _look(table: str, tenants: Tenants, role: str, **rest: Any) -> Wall:
    # Each tenant that is seen is one row of the answer.
    setup = f"GRANT SELECT ON {table} TO {role};" + rest.pop("setup", "")
    return Wall(
        role=role,
        attempt=f"SELECT FROM {table} WHERE tenant_id IN ('{tenants.own}', '{tenants.other}')"
        " GROUP BY tenant_id",
        setup=setup,
        tenant=tenants.own,
        **rest,
    )
