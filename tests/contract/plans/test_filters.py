"""What segments ask of people goes by an index, although row level security stands before it.

docs/decisions/0012 tells why that is not a matter of course.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.contract.plans.conftest import Watch
    from tests.contract.plans.sample import Sample

# A condition with one value, and which part of each tenant's people meets it.
FILTERS: dict[str, tuple[str, object, float]] = {
    "an attribute": ("attributes @> $2::jsonb", '{"tier": "tier-7"}', 1 / 50),
    "a number in attributes": ("attributes @> $2::jsonb", '{"points": 7}', 1 / 1000),
    "a list in attributes": ("attributes @> $2::jsonb", '{"interests": ["interest-17"]}', 1 / 50),
    "a label": ("labels @> ARRAY[$2]", "label-17", 1 / 50),
    "a segment of the source": ("source_segment_ids @> ARRAY[$2]", "source-17", 1 / 100),
    "a label in a city": ("city = 'Huế' AND labels @> ARRAY[$2]", "label-17", 1 / 100),
    "either of two": (
        """attributes @> $2::jsonb OR attributes @> '{"tier": "tier-8"}'""",
        '{"tier": "tier-7"}',
        1 / 25,
    ),
    "a birthday": ("birth_month = 8 AND birth_day = $2", 8, 1 / 84),
    "a range of whole numbers": ("lifetime_value_vnd >= $2", 9_800_000, 1 / 50),
    "a range of numbers": ("churn_score > $2", 0.975, 1 / 50),
    "new people": ("created_at > leo_now() - $2 * interval '1 day'", 1, 1 / 60),
}
PERSON_COUNTS = {"small": 1000, "large": 11_000}
# A range over a key that only the tenant knows has no index of its own.
ATTRIBUTE_RANGE = (
    "attributes -> 'points' >= $2::jsonb AND jsonb_typeof(attributes -> 'points') = 'number'"
)


async def ask(watched: Any, sample: Sample, condition: str, value: object) -> int:
    await watched.enter(sample.tenant_id)
    await watched.forget()
    return len(
        await watched.connection.fetch(
            f"SELECT profile_no FROM cdp_profiles WHERE tenant_id = $1 AND ({condition})",
            sample.tenant_id,
            value,
        )
    )


@pytest.mark.parametrize("tenant", PERSON_COUNTS)
@pytest.mark.parametrize("what", FILTERS)
async def test_a_filter_reads_whom_it_finds(
    watch: Watch,
    samples: dict[str, Sample],
    what: str,
    tenant: str,
    plan_cache_mode: str,
) -> None:
    condition, value, part = FILTERS[what]
    expected = PERSON_COUNTS[tenant] * part
    async with watch(roles.SEGMENT, plan_cache_mode) as watched:
        found = await ask(watched, samples[tenant], condition, value)
        assert found == pytest.approx(expected, rel=0.3, abs=1)
        assert not await watched.complaints(found)


@pytest.mark.parametrize("tenant", PERSON_COUNTS)
async def test_a_range_over_an_attribute_reads_the_tenants_people_alone(
    watch: Watch,
    samples: dict[str, Sample],
    tenant: str,
    plan_cache_mode: str,
) -> None:
    person_count = PERSON_COUNTS[tenant]
    async with watch(roles.SEGMENT, plan_cache_mode) as watched:
        found = await ask(watched, samples[tenant], ATTRIBUTE_RANGE, "980")
        assert found == person_count / 50
        assert not await watched.complaints(person_count)
        assert [scan.how for scan in await watched.scans() if scan.row_count >= person_count]


async def test_two_functions_of_the_server_are_trusted_and_no_other(connect: Connect) -> None:
    """What bootstrap_database.sql says of PostgreSQL's own functions, and no more."""
    async with connect("postgres") as superuser:
        rows = await superuser.fetch(
            # Rows of pg_proc that initdb made are older than any transaction.
            "SELECT oid::regprocedure::text AS name FROM pg_proc"
            " WHERE proleakproof AND xmin <> '1'::xid"
        )
    assert {row["name"] for row in rows} == {
        "jsonb_contains(jsonb,jsonb)", "arraycontains(anyarray,anyarray)",
    }  # fmt: skip
