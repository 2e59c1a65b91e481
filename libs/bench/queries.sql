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

-- name: insert_deliveries!
-- As above: the rows that dispatch would make, without reading their decisions.
INSERT INTO delivery_log (
    tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id, profile_id,
    profile_version, purpose, recipient_ref, dedupe_key, expires_at, state, due_at
)
SELECT :tenant_id, d.delivery_id, d.decision_id, 0, d.channel, d.account_id, d.template_id,
    d.profile_id, d.profile_version, d.purpose, d.recipient_ref, d.dedupe_key, d.expires_at,
    'pending', leo_now()
FROM unnest(
    :delivery_ids::uuid[], :decision_ids::uuid[], :channels::text[], :account_ids::uuid[],
    :template_ids::uuid[], :profile_ids::uuid[], :profile_versions::int[], :purposes::text[],
    :recipient_refs::text[], :dedupe_keys::bytea[], :expires_ats::timestamptz[]
) AS d (
    delivery_id, decision_id, channel, account_id, template_id, profile_id, profile_version,
    purpose, recipient_ref, dedupe_key, expires_at
);

-- name: count_deliveries$
SELECT count(*) FROM delivery_log WHERE tenant_id = :tenant_id;

-- name: count_events_of_tenant$
SELECT count(*) FROM marketing_event WHERE tenant_id = :tenant_id;

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
