"""Rows that fail before their intent: counted, isolated, and shown to a person in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.dispatch.machine.claim import Claims

if TYPE_CHECKING:
    from uuid import UUID

    from services.dispatch.machine.claim import Claim
    from tests.contract.dispatch.machines import Site


async def refuse_intent_of(site: Site, delivery_id: UUID) -> None:
    """The database refuses this one, and with it whatever batch it is in."""
    await site.world.superuser.execute(
        "CREATE FUNCTION refuse_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.phase = 'intent' AND NEW.delivery_id = '{delivery_id}'"
        " THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$"
    )
    await site.world.superuser.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON delivery_attempt"
        " FOR EACH ROW EXECUTE FUNCTION refuse_v1()"
    )


async def test_a_row_that_ends_its_batch_is_driven_alone_and_given_up(site: Site) -> None:
    poison, *others = await site.deliveries(6)
    await refuse_intent_of(site, poison)
    async with site.machine(failure_count_max=3):
        await site.wait_for(accepted=5, dead_letter=1)
    row = await site.row(poison)
    assert (row["failure_count"], row["reason"]) == (3, "claiming its batch failed")
    assert await site.attempts(poison) == []
    assert site.acceptances(others) == [1] * 5
    assert await site.breaches() == []


async def test_a_row_that_cannot_be_read_ends_no_batch(site: Site) -> None:
    poison = await site.delivery(await site.person(lifetime_value_vnd="no number"))
    others = await site.deliveries(3)
    async with site.machine(failure_count_max=2):
        await site.wait_for(accepted=3, dead_letter=1)
    assert await site.outcome(poison) == ("dead_letter", "preparing it failed: ValueError")
    assert site.acceptances(others) == [1] * 3
    assert await site.breaches() == []


async def test_a_failure_is_counted_before_the_row_is_driven_again(site: Site) -> None:
    """So that a row that ends the whole process is counted as well."""
    delivery_id = await site.delivery()
    counts: list[int] = []

    class Failing(Claims):
        async def claim(self, *args: Any, only: UUID | None = None, **options: Any) -> Claim:
            if only is None and not counts:
                raise RuntimeError("a batch that fails")
            if only is not None:
                async with site.database.tenant(site.world.tenant_id) as connection:
                    counts.append(
                        await connection.fetchval("SELECT failure_count FROM delivery_log")
                    )
            return await super().claim(*args, only=only, **options)

    async with site.machine(claims=Failing(site.database, site.key_ring, site.settings())):
        await site.wait_for(accepted=1)
    assert counts == [1]
    assert site.acceptances([delivery_id]) == [1]


async def test_what_is_in_doubt_is_no_dead_letter(site: Site) -> None:
    delivery_id = await site.delivery()
    await site.world.set_state(delivery_id, "retry_wait", in_doubt=True)
    claims = site.claims(failure_count_max=1)
    assert not await claims.count_failure(site.world.tenant_id, delivery_id, "a reason")
    assert await site.outcome(delivery_id) == (
        "outcome_unknown",
        "not sent again: a reason",
    )


@pytest.mark.parametrize(("failures", "factor"), [(1, 2), (3, 8)])
async def test_the_wait_doubles_with_each_failure(site: Site, failures: int, factor: int) -> None:
    delivery_id = await site.delivery()
    claims = site.claims(backoff_min=timedelta(minutes=1))
    for _ in range(failures):
        assert await claims.count_failure(site.world.tenant_id, delivery_id, "a reason")
    await claims.postpone(site.world.tenant_id, delivery_id, "a reason")
    row = await site.row(delivery_id)
    assert row["due_at"] - row["updated_at"] == timedelta(minutes=factor)
