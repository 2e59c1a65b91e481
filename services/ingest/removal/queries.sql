-- The statements of removals. Those marked "As leo_finder" see states and keys across tenants; all
-- others run inside one tenant's context (libs/postgres).

-- name: find_tenants
-- As leo_finder: the tenants in one of these states.
SELECT tenant_id
FROM tenant
WHERE state = ANY(:states::text[])
ORDER BY tenant_id;

-- name: find_transactions
-- As leo_finder: the services' transactions that have entered a tenant and run now. Each reads the
-- tenant's state first, and keeps its lock on the table to the end.
SELECT l.virtualtransaction AS transaction
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE
    l.locktype = 'relation'
    AND l.relation = 'tenant'::regclass
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND a.usename IN ('leo_ingest', 'leo_segment', 'leo_decision', 'leo_dispatch');

-- name: has_lease$
-- As leo_finder: whether a message of the tenant may be on its way to a provider.
SELECT EXISTS (
    SELECT
    FROM delivery_log
    WHERE tenant_id = :tenant_id AND state = 'sending' AND lease_until >= leo_now()
);

-- name: try_lock$
-- Until the transaction ends, one process removes for a tenant.
SELECT pg_try_advisory_xact_lock(hashtextextended('removal ' || :tenant_id::uuid::text, 0));

-- name: select_tenant^
SELECT name, state
FROM tenant
WHERE tenant_id = :tenant_id;

-- name: remove_tenant_rows$
-- How many rows of one table went; 0 where nothing is left.
SELECT remove_tenant_rows_v1(:entry_id, :count_max);

-- name: end_tenant!
UPDATE tenant
SET state = 'removed'
WHERE tenant_id = :tenant_id AND state = 'removing';

-- name: remove_stories$
-- This and those below tell the last row that they looked at, null at the end, and what they removed.
SELECT remove_stories_v1(:entry_id, :before, :after, :count_max);

-- name: remove_launches$
SELECT remove_launches_v1(:entry_id, :before, :after, :count_max);

-- name: remove_snapshots$
SELECT remove_snapshots_v1(:entry_id, :before, :after, :count_max);

-- name: remove_receipts$
SELECT remove_receipts_v1(:entry_id, :before, :after, :count_max);

-- name: remove_profile_versions$
SELECT remove_profile_versions_v1(:entry_id, :before, :after, :count_max);

-- name: remove_consent_versions$
SELECT remove_consent_versions_v1(:entry_id, :before, :after, :count_max);

-- name: time_before$
SELECT leo_now() - :age::interval;
