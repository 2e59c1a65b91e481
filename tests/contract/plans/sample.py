"""Keys of some of a tenant's rows, to ask for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

COUNT = 50
# Spread over the tenant's people; the first of them is the one who does a lot.
_SAMPLE = """
    WITH person AS (
        SELECT * FROM cdp_profiles WHERE tenant_id = $1
        ORDER BY ext_id <> 'person-7', md5(ext_id) LIMIT $2
    ), decided AS (
        SELECT d.* FROM decision AS d JOIN person USING (tenant_id, profile_id)
        WHERE d.outcome = 'acted' AND d.trigger_kind = 'event'
    ), delivery AS (
        SELECT l.* FROM delivery_log AS l JOIN decided USING (tenant_id, decision_id)
    )
    SELECT
        $1 AS tenant_id,
        md5('launch0')::uuid AS launch_id,
        md5('snapshot')::uuid AS snapshot_id,
        (SELECT array_agg(profile_id) FROM person) AS profile_ids,
        (SELECT array_agg(ext_id) FROM person) AS ext_ids,
        (SELECT array_agg(trigger_id) FROM decided) AS event_ids,
        (SELECT array_agg(decision_id) FROM decided) AS decision_ids,
        (SELECT array_agg(delivery_id) FROM delivery) AS delivery_ids,
        (SELECT array_agg(dedupe_key) FROM delivery) AS dedupe_keys,
        (SELECT array_agg(delivery_id) FROM (
            SELECT delivery_id FROM delivery_log
            WHERE tenant_id = $1 AND state = 'pending' LIMIT $2) AS l) AS pending_ids,
        (SELECT array_agg(delivery_id) FROM (
            SELECT delivery_id FROM delivery_log
            WHERE tenant_id = $1 AND state = 'outcome_unknown' LIMIT $2) AS l) AS doubtful_ids,
        (SELECT request_id FROM profile_consent_version WHERE tenant_id = $1 LIMIT 1)
            AS consent_request_id,
        (SELECT entry_id FROM audit_entry WHERE tenant_id = $1 AND kind = 'decisions_made' LIMIT 1)
            AS entry_id,
        (SELECT (array_agg(profile_no ORDER BY profile_no))[100] FROM cdp_profiles
            WHERE tenant_id = $1) AS profile_no,
        (SELECT position FROM relay_watermark WHERE tenant_id = $1 AND hop = 'seal') AS position
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """See the fields' names; lists have COUNT items, the pending and the doubtful at most."""

    tenant_id: UUID
    launch_id: UUID
    snapshot_id: UUID
    profile_ids: list[UUID] = field(repr=False)
    ext_ids: list[str] = field(repr=False)
    event_ids: list[UUID] = field(repr=False)
    decision_ids: list[UUID] = field(repr=False)
    delivery_ids: list[UUID] = field(repr=False)
    dedupe_keys: list[bytes] = field(repr=False)
    pending_ids: list[UUID] = field(repr=False)
    doubtful_ids: list[UUID] = field(repr=False)
    consent_request_id: UUID
    entry_id: UUID
    profile_no: int
    position: int

    @property
    def account_id(self) -> UUID:
        """The account of all deliveries, which has the tenant's id."""
        return self.tenant_id


async def take_sample(superuser: Any, tenant_no: int) -> Sample:
    """Of the tenant of this number in data.sql."""
    tenant_id = await superuser.fetchval("SELECT md5($1)::uuid", f"tenant {tenant_no}")
    row: Mapping[str, Any] = await superuser.fetchrow(_SAMPLE, tenant_id, COUNT)
    return Sample(**{each.name: row[each.name] for each in fields(Sample)})
