-- Two tenants, as many rows as the planner needs to care: 8,000 events each, all of them acted on, and
-- a launch to 1,000 people.
INSERT INTO tenant (tenant_id, name, time_zone, state)
SELECT md5('t' || n)::uuid, 'many-' || n, 'Asia/Ho_Chi_Minh', 'active'
FROM generate_series(0, 1) AS n;

INSERT INTO audit_entry (tenant_id, entry_id, kind, actor, call_id, member_count, root, details)
SELECT tenant_id, tenant_id, 'decisions_made', 'test', 'call', 0, sha256('root'), '{}' FROM tenant;

INSERT INTO campaign (tenant_id, campaign_id, name, state)
SELECT tenant_id, tenant_id, 'spring', 'active' FROM tenant;

INSERT INTO activation_rule (tenant_id, rule_id, campaign_id, name, version)
SELECT tenant_id, md5('r' || n)::uuid, tenant_id, 'rule-' || n, 1
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO message_template (tenant_id, template_id, version, name, channel, data)
SELECT tenant_id, md5('m' || n)::uuid, 1, 'template-' || n, 'zalo-template', '{}'
FROM tenant, generate_series(0, 199) AS n;

INSERT INTO channel_account (tenant_id, account_id, name, channel, concurrent_send_count_max)
SELECT tenant_id, tenant_id, 'main', 'zalo-template', 1 FROM tenant;

INSERT INTO cdp_profiles (
    tenant_id, profile_id, ext_id, version, state, context, document_digest
)
SELECT tenant_id, md5('p' || n)::uuid, 'person-' || n, 1, 'active', 'test', sha256('document')
FROM tenant, generate_series(0, 999) AS n;

INSERT INTO marketing_event (
    tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, properties, body_digest
)
SELECT
    tenant_id, md5('e' || n)::uuid, 'shop', 'purchase', 'person-' || n % 1000, leo_now(), '{}',
    sha256('body')
FROM tenant, generate_series(0, 7999) AS n;

INSERT INTO decision (
    tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
    rule_set_version, campaign_id, rule_id, rule_version, outcome, reason, expires_at,
    audit_entry_id, leaf_no
)
SELECT
    tenant_id, md5('d' || n)::uuid, 'event', md5('e' || n)::uuid, md5('p' || n % 1000)::uuid, 1, 0,
    1, tenant_id, md5('r' || n % 200)::uuid, 1, 'acted', 'every condition holds',
    leo_now(), tenant_id, 0
FROM tenant, generate_series(0, 7999) AS n
UNION ALL
SELECT
    tenant_id, md5('d' || n)::uuid, 'launch', md5('n1')::uuid, md5('p' || n % 1000)::uuid, 1, 0,
    1, tenant_id, md5('r1')::uuid, 1, 'acted', 'every check passed',
    leo_now(), tenant_id, 0
FROM tenant, generate_series(8000, 8999) AS n;

INSERT INTO delivery_log (
    tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id, profile_id,
    profile_version, purpose, recipient_ref, dedupe_key, state, due_at, expires_at, epoch,
    attempt_count
)
SELECT
    tenant_id, md5('l' || n)::uuid, md5('d' || n)::uuid, 0, 'zalo-template', tenant_id,
    md5('m' || n % 200)::uuid, md5('p' || n % 1000)::uuid, 1, 'marketing', 'phone:0',
    sha256(convert_to('l' || n, 'UTF8')), 'accepted', leo_now(), leo_now(), 1, 1
FROM tenant, generate_series(0, 8999) AS n;

INSERT INTO delivery_attempt (tenant_id, delivery_id, attempt, phase, epoch, kind)
SELECT
    tenant_id, md5('l' || n)::uuid, 1, phase, 1, CASE phase WHEN 'result' THEN 'accepted' END
FROM tenant, generate_series(0, 8999) AS n, unnest(ARRAY['intent', 'result']) AS phase;

INSERT INTO delivery_receipt (
    tenant_id, receipt_id, account_id, receipt_digest, delivery_id, kind
)
SELECT
    tenant_id, md5('c' || n)::uuid, tenant_id, sha256(convert_to('c' || n, 'UTF8')),
    md5('l' || n)::uuid, 'delivered'
FROM tenant, generate_series(0, 8999) AS n;

ANALYZE;
