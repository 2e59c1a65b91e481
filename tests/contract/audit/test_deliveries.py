"""Where a delivery came to rest is what the audit recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.audit.site import Recorded, Site
    from tests.contract.audit.tampering import Tamperer

STATES = (
    *("accepted", "failed", "suppressed", "expired", "cancelled"),
    *("outcome_unknown", "closed_unknown", "dead_letter"),
)


async def test_a_state_that_nothing_recorded_says_is_found(
    site: Site, tamperer: Tamperer, recorded: Recorded
) -> None:
    *_, unknown, broken = recorded.delivery_ids
    for delivery_id, state in ((unknown, "outcome_unknown"), (broken, "dead_letter")):
        for other in STATES:
            async with tamperer.kept("delivery_log"):
                await tamperer.run(
                    "UPDATE delivery_log SET state = $1 WHERE delivery_id = $2", other, delivery_id
                )
                findings = (await site.verify()).findings
            found = [(finding.what, finding.subject) for finding in findings]
            named = ("delivery_unrecorded", f"delivery_log {delivery_id}")
            assert found == ([] if other == state else [named])


async def test_a_delivery_that_is_gone_is_found(
    site: Site, tamperer: Tamperer, recorded: Recorded
) -> None:
    for delivery_id in recorded.delivery_ids:
        await tamperer.run("DELETE FROM delivery_log WHERE delivery_id = $1", delivery_id)
    found = {finding.subject for finding in (await site.verify()).findings}
    assert found == {f"delivery_log {delivery_id}" for delivery_id in recorded.delivery_ids}
