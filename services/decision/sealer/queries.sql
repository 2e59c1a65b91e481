-- The statements of the sealer. Those marked "As leo_finder" see keys and scheduling columns across
-- tenants; all others run inside one tenant's context (libs/postgres).

-- name: find_tenants_to_seal
-- As leo_finder: the tenants with entries in front of their watermark. One at rest has none.
SELECT t.tenant_id
FROM tenant AS t
CROSS JOIN LATERAL (
    SELECT e.transaction_id
    FROM audit_entry AS e
    -- Of all: the index wants to hear of its second column.
    WHERE e.tenant_id = t.tenant_id AND e.transaction_id >= '0'
    ORDER BY e.transaction_id DESC
    LIMIT 1
) AS newest
LEFT JOIN relay_watermark AS w ON w.tenant_id = t.tenant_id AND w.hop = 'seal'
WHERE newest.transaction_id >= coalesce(w.position, '0'::xid8)
ORDER BY t.tenant_id;

-- name: find_heads
-- As leo_finder: how far each tenant's chain goes.
SELECT t.tenant_id, head.seq
FROM tenant AS t
CROSS JOIN LATERAL (
    SELECT s.seq
    FROM audit_seal AS s
    WHERE s.tenant_id = t.tenant_id
    ORDER BY s.seq DESC
    LIMIT 1
) AS head
ORDER BY t.tenant_id;

-- name: try_lock$
-- One sealer a tenant, until the transaction ends. Nobody else asks for this lock.
SELECT pg_try_advisory_xact_lock(hashtextextended('seal ' || :tenant_id::uuid::text, 0));

-- name: read_position^
-- Where the chain ends, and where to look from. A statement of its own: behind the lock it sees what
-- the sealer before has committed. horizon is the oldest running transaction.
SELECT
    coalesce(
        (SELECT position FROM relay_watermark WHERE tenant_id = :tenant_id AND hop = 'seal'),
        '0'::xid8
    ) AS position,
    pg_snapshot_xmin(pg_current_snapshot()) AS horizon,
    head.seq,
    head.hash
FROM (SELECT) AS nothing
LEFT JOIN (
    SELECT seq, hash FROM audit_seal WHERE tenant_id = :tenant_id ORDER BY seq DESC LIMIT 1
) AS head ON true;

-- name: select_unsealed
-- Whatever is there by now and has no seal, also what was committed behind its neighbours. The look
-- at the seals is a sub-select with a LIMIT, which is never turned into a join of whole tables.
SELECT
    e.tenant_id, e.entry_id, e.kind, e.actor, e.call_id, e.recorded_table, e.member_count, e.root,
    e.details, e.created_at, e.transaction_id
FROM audit_entry AS e
WHERE
    e.tenant_id = :tenant_id
    AND e.transaction_id >= :position
    AND (
        SELECT true
        FROM audit_seal AS s
        WHERE s.tenant_id = :tenant_id AND s.entry_id = e.entry_id
        LIMIT 1
    ) IS NULL
ORDER BY e.transaction_id, e.entry_id
LIMIT :count_max;

-- name: insert_seals!
INSERT INTO audit_seal (tenant_id, seq, entry_id, entry_digest, prev, hash)
SELECT :tenant_id, s.*
FROM unnest(
    :seqs::bigint[], :entry_ids::uuid[], :entry_digests::bytea[], :prevs::bytea[], :hashes::bytea[]
) AS s;

-- name: advance_watermark!
-- Never back: what was sealed stays sealed.
INSERT INTO relay_watermark AS stored (tenant_id, hop, position)
VALUES (:tenant_id, 'seal', :position)
ON CONFLICT (tenant_id, hop) DO UPDATE SET position = excluded.position
WHERE stored.position < excluded.position;

-- name: select_hash$
SELECT hash FROM audit_seal WHERE tenant_id = :tenant_id AND seq = :seq;
