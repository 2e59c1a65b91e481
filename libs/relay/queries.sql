-- The two hops. Both look for rows in front of the watermark that have nothing on the other side.
--
-- The look at the other side is a sub-select with a LIMIT, which the planner does not turn into a
-- join: joined, a wrong estimate once would read the whole of the other table.

-- name: find_tenants_to_activate
-- As leo_finder: the tenants with events in front of their watermark. One at rest has none. The
-- newest event tells, by its index; whether there is any would be asked of the table in no order. A
-- tenant that is being removed loses its rows in any order: nothing of it is handed over.
SELECT t.tenant_id
FROM tenant AS t
CROSS JOIN LATERAL (
    SELECT e.transaction_id
    FROM marketing_event AS e
    WHERE e.tenant_id = t.tenant_id
    ORDER BY e.transaction_id DESC
    LIMIT 1
) AS newest
LEFT JOIN relay_watermark AS w ON w.tenant_id = t.tenant_id AND w.hop = 'activate'
WHERE
    t.state IN ('active', 'suspended')
    AND newest.transaction_id >= coalesce(w.position, '0'::xid8)
ORDER BY t.tenant_id;

-- name: find_tenants_to_dispatch
-- As leo_finder: the tenants with acting decisions in front of their watermark.
SELECT t.tenant_id
FROM tenant AS t
CROSS JOIN LATERAL (
    SELECT d.transaction_id
    FROM decision AS d
    WHERE d.tenant_id = t.tenant_id AND d.outcome = 'acted'
    ORDER BY d.transaction_id DESC
    LIMIT 1
) AS newest
LEFT JOIN relay_watermark AS w ON w.tenant_id = t.tenant_id AND w.hop = 'dispatch'
WHERE
    t.state IN ('active', 'suspended')
    AND newest.transaction_id >= coalesce(w.position, '0'::xid8)
ORDER BY t.tenant_id;

-- name: try_lock$
-- As leo_finder: until the transaction ends, one sweeper of a hop works for a tenant.
SELECT pg_try_advisory_xact_lock(hashtextextended(:hop || ' ' || :tenant_id, 0));

-- name: read_watermark^
-- horizon is the oldest running transaction: all before it have ended, and whatever they wrote is
-- seen by every later statement.
SELECT
    coalesce(
        (SELECT position FROM relay_watermark WHERE tenant_id = :tenant_id AND hop = :hop),
        '0'::xid8
    ) AS position,
    pg_snapshot_xmin(pg_current_snapshot()) AS horizon;

-- name: select_events_without_decision
-- The oldest first; is_due leaves the doorbell its time.
SELECT
    e.event_id AS item_id,
    e.transaction_id,
    e.received_at <= leo_now() - :grace::interval AS is_due
FROM marketing_event AS e
WHERE
    e.tenant_id = :tenant_id
    AND e.transaction_id >= :position
    AND (
        SELECT true
        FROM decision AS d
        WHERE
            d.tenant_id = :tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = e.event_id
        LIMIT 1
    ) IS NULL
ORDER BY e.transaction_id
LIMIT :count_max;

-- name: select_decisions_without_delivery
SELECT
    d.decision_id AS item_id,
    d.transaction_id,
    d.decided_at <= leo_now() - :grace::interval AS is_due
FROM decision AS d
WHERE
    d.tenant_id = :tenant_id
    AND d.outcome = 'acted'
    AND d.transaction_id >= :position
    AND (
        SELECT true
        FROM delivery_log AS l
        WHERE l.tenant_id = :tenant_id AND l.decision_id = d.decision_id
        LIMIT 1
    ) IS NULL
ORDER BY d.transaction_id
LIMIT :count_max;

-- name: advance_watermark!
-- Never back: what was handed over stays handed over.
INSERT INTO relay_watermark AS stored (tenant_id, hop, position)
VALUES (:tenant_id, :hop, :position)
ON CONFLICT (tenant_id, hop) DO UPDATE SET position = excluded.position
WHERE stored.position < excluded.position;
