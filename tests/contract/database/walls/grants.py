"""Who may do what: a wall for each privilege that is not granted, a door for each that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.database.walls.expected import GRANTED_ROLES, granted
from tests.contract.database.walls.wall import NoProbeError, Tenants, Wall

if TYPE_CHECKING:
    from collections.abc import Iterator

# The server's own, for everybody.
SOME_TRIGGER = "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
# As short as it goes, and touching no row: what is asked, and the answer where it is granted; none
# where it is granted to nobody.
_ATTEMPTS = {
    ("table", "SELECT"): ("SELECT {column} FROM {name} WHERE false", "SELECT 0"),
    ("view", "SELECT"): ("SELECT {column} FROM {name} WHERE false", "SELECT 0"),
    ("table", "INSERT"): (
        "INSERT INTO {name} ({column}) OVERRIDING SYSTEM VALUE SELECT NULL WHERE false",
        "INSERT 0 0",
    ),
    ("table", "UPDATE"): ("UPDATE {name} SET {column} = DEFAULT WHERE false", "UPDATE 0"),
    ("table", "DELETE"): ("DELETE FROM {name} WHERE false", "DELETE 0"),
    ("table", "TRUNCATE"): ("TRUNCATE {name}", ""),
    ("table", "REFERENCES"): ("CREATE TABLE leo_probe (probe uuid REFERENCES {name})", ""),
    ("table", "TRIGGER"): (
        f"CREATE TRIGGER leo_probe BEFORE UPDATE ON {{name}} FOR EACH ROW {SOME_TRIGGER}",
        "",
    ),
    ("table", "MAINTAIN"): ("CLUSTER {name}", ""),
    ("sequence", "SELECT"): ("SELECT last_value FROM {name}", ""),
    ("sequence", "UPDATE"): ("SELECT setval('{name}', 1)", ""),
    ("sequence", "USAGE"): ("SELECT nextval('{name}')", ""),
    # Asks for the right and calls nothing.
    ("function", "EXECUTE"): ("EXPLAIN SELECT {name}({arguments})", "EXPLAIN"),
    ("procedure", "EXECUTE"): ("CALL {name}({arguments})", ""),
    ("schema", "CREATE"): ("CREATE TABLE leo_probe ()", ""),
    ("schema", "USAGE"): ("SELECT FROM public.tenant WHERE false", "SELECT 0"),
    ("database", "CREATE"): ("CREATE SCHEMA leo_probe", ""),
    ("database", "TEMPORARY"): ("CREATE TEMPORARY TABLE leo_probe ()", ""),
}
_REFUSED = "42501 permission denied for {kind} {name}"
_REFUSALS = {
    ("database", "TEMPORARY"): (
        '42501 permission denied to create temporary tables in database "{name}"'
    ),
}
# Views are of several tables and cannot be written through; who may connect is asked of the
# catalogue, since nobody tries while connected. test_catalogue.py looks at both.
_NOT_TRIED = {
    *(
        ("view", privilege)
        for privilege in (
            "INSERT",
            "UPDATE",
            "DELETE",
            "TRUNCATE",
            "REFERENCES",
            "TRIGGER",
            "MAINTAIN",
        )
    ),
    ("database", "CONNECT"),
}

# Every privilege that this version of the server knows, on every object of ours.
_OBJECTS = """
SELECT kind, name, target, privilege_type AS privilege, columns, types
FROM (
    SELECT
        CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END AS kind,
        relname::text AS name,
        CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || relname AS target,
        acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS acl,
        ARRAY(
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        ) AS columns,
        '{}'::text[] AS types
    FROM pg_class AS c
    WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT
        CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
        proname,
        'ROUTINE ' || oid::regprocedure,
        acldefault('f', proowner),
        '{}',
        ARRAY(
            SELECT format_type(a.type, NULL)
            FROM unnest(proargtypes) WITH ORDINALITY AS a (type, place) ORDER BY place
        )
    FROM pg_proc AS p
    WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
        SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
    )
    UNION ALL
    SELECT 'schema', nspname, 'SCHEMA ' || nspname, acldefault('n', nspowner), '{}', '{}'
    FROM pg_namespace WHERE nspname = 'public'
    UNION ALL
    SELECT 'database', datname, 'DATABASE ' || datname, acldefault('d', datdba), '{}', '{}'
    FROM pg_database WHERE datname = current_database()
) AS object
CROSS JOIN LATERAL aclexplode(acl) AS privileges
WHERE grantee <> 0
ORDER BY 1, 2, 4
"""


async def grants(superuser: Any, _: Tenants) -> list[Wall]:
    """For each role, object and privilege: it is refused, or passes if the table above says so."""
    return [
        wall
        for subject in await superuser.fetch(_OBJECTS)
        if (subject["kind"], subject["privilege"]) not in _NOT_TRIED
        for role in GRANTED_ROLES
        for wall in _walls(subject, role)
    ]


def _walls(subject: Any, role: str) -> Iterator[Wall]:
    kind, name, privilege = subject["kind"], subject["name"], subject["privilege"]
    if (kind, privilege) not in _ATTEMPTS:
        raise NoProbeError(f"{privilege} on a {kind}")
    attempt, passes = _ATTEMPTS[kind, privilege]
    # Not constants, of which the planner would work out some functions; CALL takes no other.
    argument = "NULL::{}" if kind == "procedure" else "(SELECT NULL::{})"
    arguments = ", ".join(argument.format(name) for name in subject["types"])
    columns = granted(kind, name, role).get(privilege)
    # Privileges of single columns are as many walls, and as many doors.
    for column in subject["columns"] if columns else subject["columns"][:1] or [""]:
        is_open = columns is not None and (not columns or column in columns)
        what = f"{privilege} ({column})" if columns else privilege
        yield Wall(
            name=f"{role}: {what} on {subject['target']}",
            role=role,
            attempt=attempt.format(name=name, column=column, arguments=arguments),
            expected=passes
            if is_open
            else _REFUSALS.get((kind, privilege), _REFUSED).format(kind=kind, name=name),
            removal=f"REVOKE {what} ON {subject['target']} FROM {role}"
            if is_open
            else f"GRANT {what} ON {subject['target']} TO {role}",
            # Two rights are needed for a foreign key: the other one must not be what is missing.
            setup=f"GRANT CREATE ON SCHEMA public TO {role}" if privilege == "REFERENCES" else "",
        )
