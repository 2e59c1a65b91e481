"""What the machine's looks and claims cost does not grow with what is behind or before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.postgres import roles
from libs.postgres.queries import load_queries
from services.dispatch.machine import claim
from tests.contract.relay.test_plans import plan_of, rows_read

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.contract.dispatch.machines import Site

QUERIES = load_queries(claim.__file__)
ROW_COUNT = 20_000


async def fill(site: Site) -> None:
    """A backlog, and as much that is done; half of both belongs to another account."""
    decision_id = (await site.row(await site.delivery()))["decision_id"]
    await site.world.superuser.execute(
        "INSERT INTO delivery_log (tenant_id, delivery_id, decision_id, choice, channel,"
        " account_id, template_id, profile_id, profile_version, purpose, recipient_ref,"
        " dedupe_key, state, due_at, expires_at)"
        " SELECT l.tenant_id, gen_random_uuid(), l.decision_id, n, l.channel,"
        " CASE WHEN n % 4 < 2 THEN l.account_id ELSE $2 END, l.template_id, l.profile_id,"
        " l.profile_version, l.purpose, l.recipient_ref, sha256(n::text::bytea),"
        " CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'accepted' END, now() - interval '1 minute',"
        " l.expires_at"
        " FROM delivery_log AS l, generate_series(1, $3) AS n WHERE l.decision_id = $1",
        decision_id,
        decision_id,
        ROW_COUNT,
    )
    await site.world.superuser.execute("VACUUM ANALYZE")


async def test_finding_work_reads_a_row_for_each_account(site: Site, connect: Connect) -> None:
    await fill(site)
    async with connect(roles.FINDER) as connection:
        assert len(await connection.fetch(QUERIES.find_due.sql)) == 2
        found = await plan_of(connection, QUERIES.find_due.sql)
    async with connect(roles.FINDER) as connection:
        expired = await plan_of(connection, QUERIES.find_expired_leases.sql)
    for node in [*found, *expired]:
        assert node["Node Type"] != "Seq Scan"
        assert rows_read(node) <= 10


async def test_a_claim_reads_what_it_takes(site: Site, connect: Connect) -> None:
    await fill(site)
    tenant_id = site.world.tenant_id
    # In the order in which the statement names them.
    values = (f"'{tenant_id}'", f"'{site.account_id}'", "NULL", "100")
    async with connect(roles.DISPATCH) as connection, connection.transaction():
        await connection.fetchval("SELECT enter_tenant_v1($1, 5000)", tenant_id)
        found = await plan_of(connection, QUERIES.select_due.sql, *values)
    read = [node for node in found if node.get("Relation Name") == "delivery_log"]
    assert read
    for node in read:
        assert node["Node Type"] == "Index Scan"
        assert rows_read(node) <= 100
