"""Which changes are refused or made: triggers and foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from libs.postgres import roles
from tests.contract.database.walls.wall import BOUND_ROLES, NoProbeError, Tenants, Wall

if TYPE_CHECKING:
    from collections.abc import Iterator


async def triggers(superuser: Any, tenants: Tenants) -> list[Wall]:
    """Of each trigger: every change that it refuses or makes."""
    probes = {
        "refuse_change_v1": _append_only,
        "refuse_late_member_v1": _closed_snapshot,
        "update_timestamp": _updated_at,
    }
    found: list[Wall] = []
    for trigger in await superuser.fetch(
        """
        SELECT
            tgname AS name,
            relname::text AS table,
            tgfoid::regproc::text AS function,
            ARRAY(
                SELECT attname::text FROM pg_attribute
                WHERE attrelid = tgrelid AND attnum = ANY(tgattr)
            ) AS columns
        FROM pg_trigger
        JOIN pg_class AS c ON c.oid = tgrelid
        WHERE NOT tgisinternal
        ORDER BY 2, 1
        """
    ):
        if trigger["function"] not in probes:
            raise NoProbeError(f"trigger {trigger['name']}, which calls {trigger['function']}")
        found += probes[trigger["function"]](trigger, tenants)
    return found


def _append_only(trigger: Any, _: Tenants) -> Iterator[Wall]:
    table = trigger["table"]
    for change, attempt in {
        "UPDATE": f"UPDATE {table} SET tenant_id = tenant_id WHERE false",
        "DELETE": f"DELETE FROM {table} WHERE false",
        "TRUNCATE": f"TRUNCATE {table} CASCADE",
    }.items():
        for role in (*BOUND_ROLES, roles.MIGRATE):
            # The door: what the eraser may change is said by its grants alone (grants.py).
            if role == roles.ERASER and change != "TRUNCATE":
                continue
            yield Wall(
                name=f"{trigger['name']} of {table}: {change} by {role}",
                role=role,
                attempt=attempt,
                expected=f"55000 {table} is append-only: {change} is refused",
                removal=f"DROP TRIGGER {trigger['name']} ON {table}",
                setup=f"GRANT SELECT, UPDATE, DELETE, TRUNCATE"
                f" ON ALL TABLES IN SCHEMA public TO {role}",
            )


def _closed_snapshot(trigger: Any, tenants: Tenants) -> Iterator[Wall]:
    table = trigger["table"]
    yield Wall(
        name=f"{trigger['name']} of {table}",
        role=roles.OWNER,
        attempt=f"INSERT INTO {table} SELECT (jsonb_populate_record(t, '{{\"chunk_no\": 1}}')).*"
        f" FROM {table} AS t",
        expected="55000 the snapshot is closed: nobody joins it",
        removal=f"DROP TRIGGER {trigger['name']} ON {table}",
        tenant=tenants.own,
    )


def _updated_at(trigger: Any, tenants: Tenants) -> Iterator[Wall]:
    table = trigger["table"]
    # Of the columns that it is for, if it is not for all.
    columns = "".join(f", {column} = {column}" for column in trigger["columns"])
    yield Wall(
        name=f"{trigger['name']} of {table}",
        role=roles.OWNER,
        attempt=f"WITH changed AS (UPDATE {table} SET updated_at = 'epoch'{columns}"
        " RETURNING updated_at)"
        " SELECT FROM changed WHERE updated_at = leo_now()",
        expected="SELECT 1",
        removal=f"DROP TRIGGER {trigger['name']} ON {table}",
        tenant=tenants.own,
    )


async def foreign_keys(superuser: Any, tenants: Tenants) -> list[Wall]:
    """Of each foreign key: nothing points at what is another tenant's, or at no tenant at all."""
    found: list[Wall] = []
    for key in await superuser.fetch(_FOREIGN_KEYS):
        stranger = uuid7()
        setup = key["drop_others"] + "SET CONSTRAINTS ALL IMMEDIATE;"
        if key["named"]:
            # A tenant that is there, and has nothing of what its new row names.
            setup += (
                "INSERT INTO tenant (tenant_id, name, time_zone, state)"
                f" VALUES ('{stranger}', 'stranger', 'Asia/Ho_Chi_Minh', 'active')"
            )
        found.append(
            Wall(
                name=f"{key['name']} of {key['table']}",
                role=roles.MIGRATE,
                attempt=f"INSERT INTO {key['table']} OVERRIDING SYSTEM VALUE"
                " SELECT (jsonb_populate_record(child, jsonb_build_object("
                f"'tenant_id', '{stranger}'{key['named']}))).*"
                f" FROM {key['table']} AS child, {key['parent']} AS parent"
                f" WHERE child.tenant_id = '{tenants.own}' AND parent.tenant_id = '{tenants.own}'"
                " LIMIT 1",
                expected=f'23503 insert or update on table "{key["table"]}" violates foreign key'
                f' constraint "{key["name"]}"',
                removal=f"ALTER TABLE {key['table']} DROP CONSTRAINT {key['name']}",
                setup=setup,
            )
        )
    return found


# `named` is what the key points at beside the tenant, for jsonb_build_object().
_FOREIGN_KEYS = """
SELECT
    f.conname AS name,
    f.conrelid::regclass::text AS table,
    f.confrelid::regclass::text AS parent,
    (
        SELECT coalesce(string_agg(format(', %L, parent.%I', c.attname, p.attname), ''), '')
        FROM unnest(f.conkey, f.confkey) AS k (child_no, parent_no)
        JOIN pg_attribute AS c ON c.attrelid = f.conrelid AND c.attnum = k.child_no
        JOIN pg_attribute AS p ON p.attrelid = f.confrelid AND p.attnum = k.parent_no
        WHERE c.attname <> 'tenant_id'
    ) AS named,
    (
        SELECT coalesce(string_agg(
            format('ALTER TABLE %s DROP CONSTRAINT %I;', o.conrelid::regclass, o.conname), ''
        ), '')
        FROM pg_constraint AS o
        WHERE o.conrelid = f.conrelid AND o.contype = 'f' AND o.oid <> f.oid
    ) AS drop_others
FROM pg_constraint AS f
WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND f.conparentid = 0
ORDER BY 2, 1
"""
