-- The bench's own statements: the bare insert that ingest is measured against, and the counts that
-- say whether the rows are really there.

-- name: enter_tenant$
-- Row level security lets the insert pass only in a tenant's context, as it does for ingest.
SELECT set_config('leo.tenant_id', :tenant_id, true);

-- name: insert_events!
-- The least that PostgreSQL must do for these rows: no check, no conflict, nothing returned.
INSERT INTO marketing_event (
    tenant_id, event_id, source, source_event_id, event_type, profile_ext_id, occurred_at,
    properties, body_digest
)
SELECT :tenant_id, e.*
FROM unnest(
    :event_ids::uuid[], :sources::text[], :source_event_ids::text[], :event_types::text[],
    :profile_ext_ids::text[], :occurred_ats::timestamptz[], :properties::jsonb[],
    :body_digests::bytea[]
) AS e;

-- name: count_events$
SELECT count(*) FROM marketing_event WHERE tenant_id = :tenant_id AND source = :source;

-- name: settings^
SELECT
    current_setting('server_version') AS server_version,
    current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('shared_buffers') AS shared_buffers;

-- name: meter^
-- Rows and log written since the start.
SELECT
    (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables) AS row_versions,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal_bytes;

-- name: deliveries_of_source
-- Which delivery each event led to, and where it stands.
SELECT e.event_id, l.delivery_id, l.state
FROM marketing_event AS e
JOIN decision AS d
    ON d.tenant_id = e.tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = e.event_id
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
WHERE e.tenant_id = ANY(:tenant_ids) AND e.source = :source;
