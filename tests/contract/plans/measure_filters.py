"""Prints what a filter over profiles costs under row level security, by way of finding them.

Not a test: docs/decisions/0012 has its figures. Run it with
`.venv/bin/python -m tests.contract.plans.measure_filters`; it takes about two minutes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from rich.console import Console

from libs.embedded import EmbeddedPostgres
from libs.postgres import roles
from libs.postgres.migrations import bootstrap, migrate_up

CONSOLE = Console(highlight=False, soft_wrap=True)
DATA = Path(__file__).with_name("data.sql").read_text(encoding="utf-8")
REPEAT_COUNT = 15
UPSERT_COUNT = 10_000

EQUAL = 'attributes @> \'{"tier": "tier-7"}\''
LISTED = 'attributes @> \'{"interests": ["interest-17"]}\''
LABELLED = "labels @> ARRAY['label-17']"
MARKED = "ALTER FUNCTION {} LEAKPROOF; "


@dataclass(frozen=True)
class Way:
    """How people are found: what it needs, and the condition of each question."""

    name: str
    make: str = ""
    undo: str = ""
    questions: dict[str, str] = field(default_factory=dict)


UNMARK = (
    MARKED.format("jsonb_contains(jsonb, jsonb)")
    + MARKED.format("arraycontains(anyarray, anyarray)")
).replace("LEAKPROOF", "NOT LEAKPROOF")
MARK = UNMARK.replace("NOT LEAKPROOF", "LEAKPROOF")

WAYS = (
    Way(
        "as migrated",
        undo="DROP INDEX cdp_profiles_filter_v1, cdp_profiles_lifetime_value_v2,"
        " cdp_profiles_churn_score_v2, cdp_profiles_created_v2, cdp_profiles_birthday_v2;" + UNMARK,
        questions={
            "equal": EQUAL,
            "range": "attributes -> 'points' >= '980'",
            "in a JSON list": LISTED,
            "label": LABELLED,
            "typed": "lifetime_value_vnd >= 9800000",
        },
    ),
    Way(
        "read the tenant's people",
        questions={
            "equal": "attributes ->> 'tier' = 'tier-7'",
            "range": "attributes -> 'points' >= '980'",
            "in a JSON list": LISTED,
            "label": LABELLED,
        },
    ),
    Way(
        "GIN",
        "CREATE INDEX filter ON cdp_profiles USING gin (attributes jsonb_path_ops);"
        "CREATE INDEX filter_labels ON cdp_profiles USING gin (labels)",
        "DROP INDEX filter, filter_labels",
        {"equal": EQUAL, "in a JSON list": LISTED, "label": LABELLED},
    ),
    Way(
        "GIN, @> leakproof",
        MARK + "CREATE INDEX filter ON cdp_profiles USING gin (attributes jsonb_path_ops);"
        "CREATE INDEX filter_labels ON cdp_profiles USING gin (labels)",
        "DROP INDEX filter, filter_labels",
        {"equal": EQUAL, "in a JSON list": LISTED, "label": LABELLED},
    ),
    Way(
        "GIN with tenant_id, @> leakproof",
        "CREATE INDEX filter ON cdp_profiles"
        " USING gin (tenant_id, attributes jsonb_path_ops, labels)",
        "DROP INDEX filter",
        {"equal": EQUAL, "in a JSON list": LISTED, "label": LABELLED},
    ),
    Way(
        "the same without fastupdate",
        "CREATE INDEX filter ON cdp_profiles"
        " USING gin (tenant_id, attributes jsonb_path_ops, labels) WITH (fastupdate = off)",
        "DROP INDEX filter;" + UNMARK,
        {"equal": EQUAL, "in a JSON list": LISTED, "label": LABELLED},
    ),
    Way(
        "B-tree over expressions",
        "CREATE INDEX filter ON cdp_profiles (tenant_id, (attributes ->> 'tier'));"
        "CREATE INDEX filter_range ON cdp_profiles (tenant_id, (attributes -> 'points'))",
        "DROP INDEX filter, filter_range",
        {"equal": "attributes ->> 'tier' = 'tier-7'", "range": "attributes -> 'points' >= '980'"},
    ),
    Way(
        "B-tree over generated columns",
        "ALTER TABLE cdp_profiles"
        " ADD tier text GENERATED ALWAYS AS (attributes ->> 'tier') STORED,"
        " ADD points float8 GENERATED ALWAYS AS (CASE jsonb_typeof(attributes -> 'points')"
        " WHEN 'number' THEN (attributes ->> 'points')::float8 END) STORED;"
        "CREATE INDEX filter ON cdp_profiles (tenant_id, tier);"
        "CREATE INDEX filter_range ON cdp_profiles (tenant_id, points)",
        "ALTER TABLE cdp_profiles DROP tier, DROP points",
        {"equal": "tier = 'tier-7'", "range": "points >= 980"},
    ),
    Way(
        "a row for each value",
        """
        CREATE TABLE filter (
            tenant_id uuid NOT NULL, field text NOT NULL, text_value text, number_value float8,
            profile_no bigint NOT NULL
        );
        INSERT INTO filter
        SELECT tenant_id, key, v #>> '{}',
            CASE jsonb_typeof(v) WHEN 'number' THEN (v #>> '{}')::float8 END, profile_no
        FROM cdp_profiles
        CROSS JOIN LATERAL (
            SELECT key, CASE jsonb_typeof(value) WHEN 'array' THEN value
                ELSE jsonb_build_array(value) END AS items
            FROM jsonb_each(attributes || jsonb_build_object('labels', labels))
        ) AS a
        CROSS JOIN LATERAL jsonb_array_elements(items) AS v;
        CREATE INDEX filter_text ON filter (tenant_id, field, text_value, profile_no);
        CREATE INDEX filter_number ON filter (tenant_id, field, number_value, profile_no)
        WHERE number_value IS NOT NULL;
        CREATE INDEX filter_profile ON filter (tenant_id, profile_no);
        CALL isolate_tenants_v1('filter');
        GRANT SELECT ON filter TO leo_segment, leo_ingest;
        GRANT INSERT, DELETE ON filter TO leo_ingest
        """,
        "DROP TABLE filter",
        {
            question: "profile_no = ANY(ARRAY(SELECT profile_no FROM filter"
            f" WHERE tenant_id = $1 AND {condition}))"
            for question, condition in {
                "equal": "field = 'tier' AND text_value = 'tier-7'",
                "range": "field = 'points' AND number_value >= 980",
                "in a JSON list": "field = 'interests' AND text_value = 'interest-17'",
                "label": "field = 'labels' AND text_value = 'label-17'",
            }.items()
        },
    ),
)

UPSERT = """
    INSERT INTO cdp_profiles AS stored (
        tenant_id, profile_id, ext_id, version, state, context, labels, attributes, document_digest,
        city, funnel_stage, lifetime_value_vnd, churn_score, birth_month, birth_day
    )
    SELECT $1, md5($2 || n)::uuid, $2 || n, 1, 'active', 'production',
        ARRAY['label-' || (n + $3) % 50, 'label-' || (n + $3) % 7],
        jsonb_build_object(
            'tier', 'tier-' || (n + $3) % 50, 'points', (n + $3) % 1000, 'is_member', true,
            'interests', jsonb_build_array('interest-' || (n + $3) % 50, 'interest-' || n % 7)
        ), sha256('document'), 'Huế', 'lead', n * 1000 + $3, (n + $3) % 100 / 100.0, 1, 1
    FROM generate_series($4::int, $4 + 99) AS n
    ON CONFLICT (tenant_id, ext_id) DO UPDATE SET
        labels = excluded.labels, attributes = excluded.attributes,
        lifetime_value_vnd = excluded.lifetime_value_vnd, churn_score = excluded.churn_score
    RETURNING profile_no, labels, attributes
"""
# What the last way needs besides.
FILTER_ROWS = f"""
    WITH stored AS ({UPSERT}), gone AS (
        DELETE FROM filter WHERE tenant_id = $1 AND profile_no IN (SELECT profile_no FROM stored)
    )
    INSERT INTO filter
    SELECT $1, key, v #>> '{{}}',
        CASE jsonb_typeof(v) WHEN 'number' THEN (v #>> '{{}}')::float8 END, profile_no
    FROM stored
    CROSS JOIN LATERAL (
        SELECT key, CASE jsonb_typeof(value) WHEN 'array' THEN value
            ELSE jsonb_build_array(value) END AS items
        FROM jsonb_each(attributes || jsonb_build_object('labels', labels))
    ) AS a
    CROSS JOIN LATERAL jsonb_array_elements(items) AS v
"""


async def measure(server: EmbeddedPostgres) -> None:
    passwords = {
        role: urlsplit(server.dsn(role, "postgres")).password or "" for role in roles.LOGIN_ROLES
    }
    await bootstrap(server.superuser_dsn("postgres"), passwords, "filters")
    await migrate_up(server.dsn(roles.MIGRATE, "filters"))
    superuser = await asyncpg.connect(server.superuser_dsn("filters"))
    await superuser.execute(DATA)
    ingest = await asyncpg.connect(server.dsn(roles.INGEST, "filters"))
    tenants = {
        label: await superuser.fetchval("SELECT md5($1)::uuid", f"tenant {no}")
        for label, no in (("1,000", 1), ("11,000", 2))
    }
    CONSOLE.print(await superuser.fetchval("SELECT version()"))
    for way in WAYS:
        if way.make:
            await superuser.execute(way.make)
        await superuser.execute("VACUUM ANALYZE cdp_profiles")
        # A marked function counts for plans that are made afterwards.
        segment = await asyncpg.connect(server.dsn(roles.SEGMENT, "filters"))
        CONSOLE.print(f"\n{way.name}")
        for label, tenant_id in tenants.items():
            for question, condition in way.questions.items():
                told = await ask(segment, tenant_id, condition)
                CONSOLE.print(f"  of {label}: {question:15} {told}")
        await segment.close()
        statement = FILTER_ROWS if way.name == WAYS[-1].name else UPSERT
        tenant_id = tenants["11,000"]
        CONSOLE.print(
            f"  upsert of 100: new {await upsert(ingest, tenant_id, statement, 0)}", end=""
        )
        CONSOLE.print(f", changed {await upsert(ingest, tenant_id, statement, 1)}")
        if way.undo:
            await superuser.execute(way.undo)
        await superuser.execute("DELETE FROM cdp_profiles WHERE ext_id LIKE 'new %'")


async def ask(segment: Any, tenant_id: Any, condition: str) -> str:
    """Who meets a condition, as the service asks: rows, pages, milliseconds, how it was found."""
    statement = f"SELECT profile_no FROM cdp_profiles WHERE tenant_id = $1 AND {condition}"
    times = []
    async with segment.transaction():
        await segment.fetchval("SELECT enter_tenant_v1($1, 60000)", tenant_id)
        for _ in range(REPEAT_COUNT):
            found = await segment.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) {statement}", tenant_id
            )
            (explained,) = json.loads(found)
            times.append(explained["Execution Time"])
    plan = explained["Plan"]
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return (
        f"{plan['Actual Rows']:5.0f} rows, {pages:6} pages, {median(times):7.2f} ms, "
        + " < ".join(indexes(plan))
    )


def indexes(plan: dict[str, Any]) -> list[str]:
    """Which indexes it reads, or that it reads the table."""
    own = [f"{plan['Index Name']}"] if "Index Name" in plan else []
    if plan["Node Type"] == "Seq Scan":
        own = [f"seq scan of {plan['Relation Name']}"]
    return own + [name for child in plan.get("Plans", ()) for name in indexes(child)]


async def upsert(ingest: Any, tenant_id: Any, statement: str, change: int) -> str:
    """Milliseconds for a hundred people, new or changed; committed."""
    times = []
    for start in range(0, UPSERT_COUNT, 100):
        async with ingest.transaction():
            await ingest.fetchval("SELECT enter_tenant_v1($1, 60000)", tenant_id)
            found = await ingest.fetchval(
                "EXPLAIN (ANALYZE, TIMING off, FORMAT json) " + statement,
                tenant_id,
                "new ",
                change,
                start,
            )
            (explained,) = json.loads(found)
            times.append(explained["Execution Time"])
    return f"{median(times):.1f} ms, at most {max(times):.1f} ms"


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="leo-filters-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240 - nothing else runs
        server = EmbeddedPostgres(folder)
        await server.start()
        try:
            await measure(server)
        finally:
            await server.kill()


if __name__ == "__main__":
    asyncio.run(main())
