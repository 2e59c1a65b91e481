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

-- name: deliveries_of_tenant
SELECT delivery_id FROM delivery_log WHERE tenant_id = :tenant_id;

-- name: become_migrate#
-- Whom no policy holds.
SET ROLE leo_migrate;

-- name: insert_tenant!
INSERT INTO tenant (tenant_id, name, time_zone, state)
VALUES (:tenant_id, :name, 'Asia/Ho_Chi_Minh', 'active');

-- name: insert_decisions!
-- As decision inserts them.
INSERT INTO decision (
    tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
    rule_set_version, campaign_id, rule_id, rule_version, segment_id, segment_version, outcome,
    reason, not_before, expires_at, cooldown, choices, inputs, decided_at, audit_entry_id, leaf_no,
    salt
)
SELECT
    :tenant_id, d.decision_id, d.trigger_kind, d.trigger_id, d.profile_id, d.profile_version,
    d.ordinal, d.rule_set_version, d.campaign_id, d.rule_id, d.rule_version, d.segment_id,
    d.segment_version, d.outcome, d.reason, d.not_before, d.expires_at,
    d.cooldown_us * interval '1 microsecond', d.choices, d.inputs, d.decided_at, :audit_entry_id,
    d.leaf_no, d.salt
FROM jsonb_to_recordset(:decisions::jsonb) AS d (
    decision_id uuid, trigger_kind text, trigger_id uuid, profile_id uuid, profile_version int,
    ordinal int, rule_set_version bigint, campaign_id uuid, rule_id uuid, rule_version int,
    segment_id uuid, segment_version int, outcome text, reason text, not_before timestamptz,
    expires_at timestamptz, cooldown_us bigint, choices jsonb, inputs jsonb, decided_at timestamptz,
    leaf_no int, salt bytea
);

-- name: analyze_audit#
-- As autovacuum would have done by then.
ANALYZE audit_entry, audit_seal, decision;

-- name: insert_events_of_people!
-- In the order of time, each person's spread over the last 30 days and over all partitions.
INSERT INTO marketing_event (
    tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, properties, body_digest
)
SELECT
    :tenant_id, gen_random_uuid(), :run, 'page-view', :run || '-' || n % :person_count::int,
    leo_now() - (:count::int - n) * interval '30 days' / :count, '{"path": "/"}', sha256('body')
FROM generate_series(1, :count::int) AS n;

-- name: events_of_profile
-- What a person did lately, the newest first, as a window of a segment asks for it.
SELECT event_id, event_type, occurred_at, properties
FROM marketing_event
WHERE tenant_id = :tenant_id AND profile_ext_id = :ext_id AND occurred_at >= :since
ORDER BY occurred_at DESC
LIMIT :count_max;
