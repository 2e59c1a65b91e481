-- 100,000 people of eleven tenants, of whom the first has one in a hundred, and the last one is being
-- removed; and of each an event, the decision about it, a delivery with its attempt and its receipt, two
-- consents. Set by set, and without looking up what foreign keys point at: all of it is made here.
SET session_replication_role = replica;

CREATE TEMPORARY TABLE person AS
SELECT
    md5('tenant ' || t.no)::uuid AS tenant_id,
    t.no AS tenant_no,
    p.n,
    -- Past the youngest that retention removes, and evenly up to now.
    leo_now() - interval '60 days' * (1 - (p.n + 1.0) / t.person_count) AS at
FROM (
    SELECT no, CASE no WHEN 1 THEN 1000 WHEN 10 THEN 10000 WHEN 11 THEN 1000 ELSE 11000 END
    FROM generate_series(1, 11) AS no
) AS t (no, person_count)
CROSS JOIN LATERAL generate_series(0, t.person_count - 1) AS p (n)
-- The tenants' rows lie among each other, as they come in.
ORDER BY at;

-- As UUIDv7: in the order of time.
CREATE FUNCTION pg_temp.id_at(p_at timestamptz, p_key text) RETURNS uuid
LANGUAGE sql
RETURN (
    lpad(to_hex((extract(EPOCH FROM p_at) * 1000)::bigint), 12, '0') || left(md5(p_key), 20)
)::uuid;

INSERT INTO tenant (tenant_id, name, time_zone, state)
SELECT DISTINCT
    tenant_id, 'tenant-' || tenant_no, 'Asia/Ho_Chi_Minh',
    CASE tenant_no WHEN 11 THEN 'removing' ELSE 'active' END
FROM person;

INSERT INTO campaign (tenant_id, campaign_id, name, state)
SELECT tenant_id, md5('campaign ' || n)::uuid, 'campaign-' || n, 'active'
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO activation_rule (tenant_id, rule_id, campaign_id, name, version)
SELECT tenant_id, md5('rule ' || n)::uuid, md5('campaign ' || n / 10)::uuid, 'rule-' || n, 1
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO activation_rule_version (tenant_id, rule_id, version, document)
SELECT tenant_id, rule_id, 1, '{"priority": 0, "time_to_live_us": 86400000000}'
FROM activation_rule
JOIN tenant USING (tenant_id)
WHERE state = 'active';

INSERT INTO message_template (tenant_id, template_id, version, name, channel, data)
SELECT tenant_id, md5('template ' || n)::uuid, 1, 'template-' || n, 'zalo-template', '{}'
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO channel_account (tenant_id, account_id, name, channel, concurrent_send_count_max)
SELECT tenant_id, tenant_id, 'main', 'zalo-template', 10 FROM tenant;

INSERT INTO segment (tenant_id, segment_id, name, condition, version)
SELECT tenant_id, md5('segment ' || n)::uuid, 'segment-' || n, 'true', 1
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO cdp_profiles (
    tenant_id, profile_id, ext_id, version, state, context, given_name, city, birth_year,
    birth_month, birth_day, emails, phones, labels, source_segment_ids, lifetime_value_vnd,
    churn_score, attributes, source_updated_at, document_digest, created_at
)
SELECT
    tenant_id, md5('person ' || n)::uuid, 'person-' || n, 1, 'active', 'production', 'Anh',
    (ARRAY['Hà Nội', 'Huế', 'Đà Nẵng', 'Cần Thơ'])[1 + n % 4], 1960 + n % 50, 1 + n % 12,
    1 + n % 28, ARRAY['person-' || n || '@example.vn'], ARRAY['+8490' || 1000000 + n],
    ARRAY['label-' || n % 50, 'label-' || n % 7], ARRAY['source-' || n % 100],
    (n * 7919 % 1000) * 10000, (n % 100) / 100.0,
    jsonb_build_object(
        'tier', 'tier-' || n % 50, 'points', n * 7919 % 1000, 'is_member', n % 2 = 0,
        'interests', jsonb_build_array('interest-' || n % 50, 'interest-' || n % 7)
    ),
    at, sha256('document'), at
FROM person;

INSERT INTO cdp_profile_version (
    tenant_id, profile_id, version, document, document_digest, created_at
)
SELECT tenant_id, md5('person ' || n)::uuid, 1, '{}', sha256('document'), at FROM person;

INSERT INTO profile_consent (
    tenant_id, profile_id, channel, purpose, state, version, evidence, consented_at
)
SELECT
    tenant_id, md5('person ' || n)::uuid, channel, 'marketing',
    CASE n % 10 WHEN 0 THEN 'withdrawn' ELSE 'granted' END, 1, 'form', at
FROM person, unnest(ARRAY['email', 'zalo-template']) AS channel;

-- An entry of the audit for each hundred of a tenant's people.
CREATE TEMPORARY TABLE batch AS
SELECT
    tenant_id,
    n / 100 AS no,
    pg_temp.id_at(min(at), 'entry ' || n / 100) AS entry_id,
    min(at) AS at,
    count(*)::int AS member_count
FROM person
GROUP BY tenant_id, n / 100;

INSERT INTO audit_entry (
    tenant_id, entry_id, kind, actor, call_id, recorded_table, member_count, root, details,
    created_at, transaction_id
)
SELECT
    tenant_id, entry_id, 'decisions_made', 'test', 'call', 'decision', member_count, sha256('root'),
    '{}'::jsonb, at, '3'::xid8
FROM batch
UNION ALL
SELECT
    tenant_id, pg_temp.id_at(at, 'other ' || n || ' of ' || no), 'tried', 'test', 'call', NULL, 0,
    sha256('root'), '{}', at, '3'
FROM batch, generate_series(1, 10) AS n
UNION ALL
-- The one that all other recorded rows name.
SELECT
    tenant_id, pg_temp.id_at(leo_now(), 'last'), 'launched', 'test', 'call', NULL, 0,
    sha256('root'), '{}', leo_now(), '3'
FROM tenant;

INSERT INTO audit_seal (tenant_id, seq, entry_id, entry_digest, prev, hash)
SELECT
    tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY entry_id), entry_id,
    sha256('digest'), sha256('prev'), sha256('hash')
FROM audit_entry;

INSERT INTO profile_consent_version (
    tenant_id, profile_id, channel, purpose, version, state, evidence, consented_at, created_at,
    actor, request_id, request_digest, audit_entry_id, leaf_no
)
SELECT
    c.tenant_id, c.profile_id, c.channel, c.purpose, 1, c.state, c.evidence, c.consented_at,
    c.consented_at, 'test', md5(c.channel || c.profile_id)::uuid, sha256('body'),
    pg_temp.id_at(leo_now(), 'last'), 0
FROM profile_consent AS c;

INSERT INTO marketing_event (
    tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, received_at, properties,
    body_digest, transaction_id
)
SELECT
    tenant_id, md5('event ' || n)::uuid, 'shop', 'purchase', 'person-' || n, at, at,
    '{}'::jsonb, sha256('body'), '3'::xid8
FROM person
UNION ALL
-- One of the small tenant's people has done a lot.
SELECT
    md5('tenant 1')::uuid, md5('busy ' || n)::uuid, 'shop', 'page-view', 'person-7',
    leo_now() - n * interval '1 hour', leo_now(), '{}', sha256('body'), '3'
FROM generate_series(1, 200) AS n;

INSERT INTO decision (
    tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
    rule_set_version, campaign_id, rule_id, rule_version, outcome, reason, expires_at, cooldown,
    decided_at, transaction_id, audit_entry_id, leaf_no
)
SELECT
    p.tenant_id, pg_temp.id_at(p.at, 'decision ' || p.n), 'event', md5('event ' || p.n)::uuid,
    md5('person ' || p.n)::uuid, 1, 0, 1, md5('campaign 1')::uuid, md5('rule ' || p.n % 20)::uuid, 1, 'acted',
    'every condition holds', p.at + interval '1 day', interval '1 hour', p.at, '3'::xid8,
    b.entry_id,
    p.n % 100
FROM person AS p
JOIN batch AS b ON b.tenant_id = p.tenant_id AND b.no = p.n / 100
UNION ALL
-- What the busy one did was never a reason to act; half of all people were in a launch.
SELECT
    md5('tenant 1')::uuid, pg_temp.id_at(leo_now() - n * interval '1 hour', 'busy ' || n), 'event',
    md5('busy ' || n)::uuid, md5('person 7')::uuid, 1, 0, 1, NULL, NULL, NULL, 'no_rule',
    'no rule asks', NULL, NULL, leo_now() - n * interval '1 hour', '3', pg_temp.id_at(leo_now(), 'last'), 0
FROM generate_series(1, 200) AS n
UNION ALL
SELECT
    tenant_id, pg_temp.id_at(leo_now(), 'launched ' || n), 'launch', md5('launch0')::uuid,
    md5('person ' || n)::uuid, 1, 0, 1, md5('campaign 0')::uuid,
    md5('rule 1')::uuid, 1, 'cooldown', 'too soon',
    leo_now() + interval '1 day', NULL, leo_now(), '3', pg_temp.id_at(leo_now(), 'last'), n
FROM person
WHERE n < 500 OR tenant_no > 1 AND n < 5500;

INSERT INTO delivery_log (
    tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id, profile_id,
    profile_version, purpose, recipient_ref, dedupe_key, state, due_at, expires_at, lease_until,
    epoch, attempt_count, created_at, updated_at
)
SELECT
    d.tenant_id, pg_temp.id_at(d.decided_at, 'delivery ' || d.decision_id), d.decision_id, 0,
    'zalo-template', d.tenant_id, md5('template 1')::uuid, d.profile_id, 1, 'marketing', 'phone:0',
    sha256(uuid_send(d.decision_id)), s.state, d.decided_at,
    -- Those that wait are still worth sending; one lease has run out.
    leo_now() + interval '1 day',
    CASE s.state
        WHEN 'sending' THEN leo_now() + CASE d.no WHEN 1000 THEN interval '-1 hour' ELSE '1 hour' END
    END,
    1, 1, d.decided_at, d.decided_at
FROM (
    SELECT d.*, row_number() OVER (PARTITION BY d.tenant_id ORDER BY d.decision_id) AS no
    FROM decision AS d
    WHERE d.outcome = 'acted'
) AS d
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN d.no % 1000 = 0 THEN 'sending'
            WHEN d.no % 100 < 5 THEN 'retry_wait'
            WHEN d.no % 100 < 10 THEN 'pending'
            WHEN d.no % 100 < 12 THEN 'outcome_unknown'
            ELSE 'accepted'
        END AS state
) AS s;

INSERT INTO delivery_attempt (
    tenant_id, delivery_id, attempt, phase, epoch, kind, provider_code, audit_entry_id, leaf_no
)
SELECT
    l.tenant_id, l.delivery_id, 1, a.phase, 1,
    CASE WHEN a.phase = 'intent' THEN NULL WHEN l.state = 'accepted' THEN 'accepted' ELSE 'unknown' END,
    '', CASE a.phase WHEN 'result' THEN pg_temp.id_at(leo_now(), 'last') END,
    CASE a.phase WHEN 'result' THEN 0 END
FROM delivery_log AS l
CROSS JOIN unnest(ARRAY['intent', 'result']) AS a (phase)
WHERE a.phase = 'intent' OR l.state IN ('accepted', 'outcome_unknown', 'retry_wait');

INSERT INTO delivery_receipt (
    tenant_id, receipt_id, account_id, receipt_digest, delivery_id, kind, raw, received_at
)
SELECT
    tenant_id, pg_temp.id_at(created_at, 'receipt ' || delivery_id), account_id,
    sha256(uuid_send(delivery_id)), delivery_id, 'delivered', '{}', created_at
FROM delivery_log
WHERE state IN ('accepted', 'outcome_unknown');

-- One address of everybody's, under an older key for every tenth; every fifth was lifted.
INSERT INTO suppression (
    tenant_id, suppression_id, channel, recipient_key_id, recipient_hash, cause, source, request_id,
    request_digest, lifted_at
)
SELECT
    tenant_id, pg_temp.id_at(created_at, 'suppression ' || profile_id), 'zalo-template',
    CASE WHEN profile_no % 10 = 0 THEN 'k1' ELSE 'k2' END, sha256(uuid_send(profile_id)),
    'requested', 'call', profile_id, sha256('request'),
    CASE WHEN profile_no % 5 = 1 THEN leo_now() END
FROM cdp_profiles;

INSERT INTO segment_snapshot_member (
    tenant_id, snapshot_id, chunk_no, member_count, profile_nos, profile_versions, consent_keys,
    consents
)
SELECT
    tenant_id, md5('snapshot')::uuid, place / 10000, count(*), array_agg(profile_no ORDER BY place),
    array_agg(1), ARRAY['email.marketing'],
    decode(repeat('ff', (count(*)::int + 7) / 8), 'hex')
FROM (
    SELECT
        tenant_id,
        profile_no,
        row_number() OVER (PARTITION BY tenant_id ORDER BY profile_no) - 1 AS place
    FROM cdp_profiles
) AS p
GROUP BY tenant_id, place / 10000;

INSERT INTO segment_snapshot (
    tenant_id, snapshot_id, segment_id, segment_version, condition, member_count, digest, taken_at,
    audit_entry_id
)
SELECT
    tenant_id, md5('snapshot')::uuid, md5('segment 1')::uuid, 1, 'true', count(*),
    sha256('snapshot'), leo_now(), pg_temp.id_at(leo_now(), 'last')
FROM cdp_profiles
GROUP BY tenant_id;

INSERT INTO campaign_launch (
    tenant_id, launch_id, campaign_id, rule_id, rule_version, snapshot_id, state, actor
)
SELECT
    tenant_id, md5('launch' || n)::uuid, md5('campaign 0')::uuid, md5('rule 1')::uuid, 1,
    md5('snapshot')::uuid, CASE n WHEN 0 THEN 'running' ELSE 'succeeded' END, 'test'
FROM tenant, generate_series(0, 199) AS n
-- What a removal takes first is small: so the one that runs has come to what is large.
WHERE state = 'active';

-- Everything was handed over and sealed.
INSERT INTO relay_watermark (tenant_id, hop, position)
SELECT tenant_id, hop, pg_current_xact_id()
FROM tenant, unnest(ARRAY['activate', 'dispatch', 'seal']) AS hop;

RESET session_replication_role;
