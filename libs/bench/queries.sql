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

-- name: table_bytes
-- What each table takes on disk, with its indexes; a partition counts to its table.
SELECT coalesce(p.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
LEFT JOIN pg_class AS p ON p.oid = i.inhparent
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY 1
ORDER BY 2 DESC;

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

-- name: insert_account!
INSERT INTO channel_account (tenant_id, account_id, name, channel, concurrent_send_count_max)
VALUES (:tenant_id, :tenant_id, 'main', 'zalo-template', 1);

-- name: insert_old_stories!
-- One a millisecond from a time on: an event, the decision to act, the accepted delivery with its
-- attempt, and a receipt. Ids are UUIDv7 of then, 200 decisions to an audit entry.
WITH story AS (
    SELECT
        n,
        at,
        md5('event ' || n)::uuid AS event_id,
        md5('person ' || n % 10000)::uuid AS profile_id,
        (i.time || '70008' || 'a' || i.number)::uuid AS decision_id,
        (i.time || '70008' || 'b' || i.number)::uuid AS delivery_id,
        (i.time || '70008' || 'c' || i.number)::uuid AS receipt_id,
        (i.time || '70008' || 'd' || lpad(to_hex(n / 200), 14, '0'))::uuid AS entry_id
    FROM generate_series(:first::int, :last::int) AS n
    CROSS JOIN LATERAL (SELECT :began_at::timestamptz + n * interval '1 millisecond' AS at) AS t
    CROSS JOIN LATERAL (
        SELECT
            lpad(to_hex((extract(EPOCH FROM t.at) * 1000)::bigint), 12, '0') AS time,
            lpad(to_hex(n), 14, '0') AS number
    ) AS i
), entry AS (
    INSERT INTO audit_entry (
        tenant_id, entry_id, kind, actor, call_id, recorded_table, member_count, root, details,
        created_at
    )
    SELECT
        :tenant_id, entry_id, 'decided', 'leo-bench', '', 'decision', 200, sha256(''), '{}', at
    FROM story
    WHERE n % 200 = 0
), event AS (
    INSERT INTO marketing_event (
        tenant_id, event_id, source, source_event_id, event_type, profile_ext_id, occurred_at,
        received_at, properties, body_digest
    )
    SELECT
        :tenant_id, event_id, 'bench-old', n::text, 'purchase', 'KH-' || n % 10000, at, at,
        jsonb_build_object(
            'order', 'DH-' || n, 'value_vnd', 150000, 'payment', 'cash-on-delivery',
            'page', 'https://shop.example/checkout/complete'
        ),
        sha256(n::text::bytea)
    FROM story
), decision AS (
    INSERT INTO decision (
        tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
        rule_set_version, rule_id, rule_version, outcome, reason, expires_at, choices, inputs,
        decided_at, audit_entry_id, leaf_no, salt
    )
    SELECT
        :tenant_id, s.decision_id, 'event', s.event_id, s.profile_id, 1, 0, 1, :tenant_id, 1,
        'acted', 'every check passed', s.at + interval '1 day',
        jsonb_build_array(jsonb_build_object(
            'choice', 0, 'channel', 'zalo-template', 'purpose', 'care', 'recipient_ref', 'phone:0',
            'template_id', :tenant_id, 'account_id', :tenant_id
        )),
        jsonb_build_object('event_id', s.event_id, 'now', s.at, 'purpose', 'care'),
        s.at, first_value(s.entry_id) OVER (PARTITION BY s.n / 200 ORDER BY s.n), s.n % 200,
        sha256(s.n::text::bytea)
    FROM story AS s
), delivery AS (
    INSERT INTO delivery_log (
        tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id, profile_id,
        profile_version, purpose, recipient_ref, dedupe_key, state, epoch, attempt_count, due_at,
        expires_at, created_at, updated_at
    )
    SELECT
        :tenant_id, delivery_id, decision_id, 0, 'zalo-template', :tenant_id, :tenant_id,
        profile_id, 1, 'care', 'phone:0', sha256(n::text::bytea), 'accepted', 1, 1, at,
        at + interval '1 day', at, at
    FROM story
), attempt AS (
    INSERT INTO delivery_attempt (
        tenant_id, delivery_id, attempt, phase, epoch, kind, created_at
    )
    SELECT :tenant_id, delivery_id, 1, p.phase, 1, p.kind, at
    FROM story
    CROSS JOIN (VALUES ('intent', NULL), ('result', 'accepted')) AS p (phase, kind)
)
INSERT INTO delivery_receipt (
    tenant_id, receipt_id, account_id, receipt_digest, kind, delivery_id, received_at
)
SELECT
    :tenant_id, receipt_id, :tenant_id, sha256(n::text::bytea), 'delivered', delivery_id, at
FROM story;

-- name: analyze_stories#
-- As autovacuum would have done by then.
ANALYZE marketing_event, decision, delivery_log, delivery_attempt, delivery_receipt;

-- name: removal_seconds$
-- From the first batch of a tenant's retention to the last one.
SELECT extract(EPOCH FROM max(created_at) - min(created_at))::float8
FROM audit_entry
WHERE tenant_id = :tenant_id AND kind = 'rows_removed';

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

-- name: cut_loose_from_audit#
-- So that rows may name entries that are not there.
ALTER TABLE profile_consent_version DROP CONSTRAINT profile_consent_version_tenant_id_audit_entry_id_fkey;
ALTER TABLE decision DROP CONSTRAINT decision_tenant_id_audit_entry_id_fkey;
ALTER TABLE delivery_attempt DROP CONSTRAINT delivery_attempt_tenant_id_audit_entry_id_fkey;
ALTER TABLE segment_snapshot DROP CONSTRAINT segment_snapshot_tenant_id_audit_entry_id_fkey;

-- name: count_recorded^
SELECT
    (SELECT count(*) FROM audit_entry) AS entries,
    (SELECT count(*) FROM audit_seal) AS seals;
