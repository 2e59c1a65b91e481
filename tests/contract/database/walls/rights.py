"""By whose right: views read as whoever asks, and what is new is granted to nobody."""

from __future__ import annotations

from typing import Any

from libs.postgres import roles
from tests.contract.database.walls.wall import PLAIN_ROLE, Tenants, Wall


async def views(superuser: Any, _: Tenants) -> list[Wall]:
    """Of each view and what it reads: it is read by the right of whoever asks the view."""
    reads = await superuser.fetch(_VIEWS)
    return [
        Wall(
            name=f"{row['view']} reads {row['source']} as whoever asks",
            role=PLAIN_ROLE,
            attempt=f"SELECT * FROM {row['view']}",
            expected=f"42501 permission denied for {row['kind']} {row['source']}",
            removal=f"ALTER VIEW {row['view']} SET (security_invoker = false)",
            setup=f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {PLAIN_ROLE};"
            f" REVOKE SELECT ON {row['source']} FROM {PLAIN_ROLE};"
            # A view behind the view would refuse as well.
            + "".join(
                f"ALTER VIEW {view} SET (security_invoker = false);"
                for view in {other["view"] for other in reads} - {row["view"]}
            ),
        )
        for row in reads
    ]


_VIEWS = """
SELECT DISTINCT
    v.relname AS view,
    s.relname AS source,
    CASE s.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind
FROM pg_class AS v
JOIN pg_rewrite AS r ON r.ev_class = v.oid
JOIN pg_depend AS d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class AS s
    ON s.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass AND s.oid <> v.oid
WHERE v.relkind = 'v' AND v.relnamespace = 'public'::regnamespace
ORDER BY 1, 2
"""


async def defaults(_: Any, __: Tenants) -> list[Wall]:
    """Of each role that owns routines: a new one is nobody's to call until it is granted."""
    return [
        Wall(
            name=f"a new function of {owner}",
            role=PLAIN_ROLE,
            attempt="EXPLAIN SELECT leo_probe()",
            expected="42501 permission denied for function leo_probe",
            removal=f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT EXECUTE ON ROUTINES"
            " TO PUBLIC",
            setup=f"GRANT CREATE ON SCHEMA public TO {owner}; SET LOCAL ROLE {owner};"
            " CREATE FUNCTION leo_probe() RETURNS int LANGUAGE sql RETURN 1; RESET ROLE",
        )
        for owner in (roles.OWNER, roles.ERASER)
    ]
