-- A little of the small tenant that nobody has looked at yet, behind a million rows that are done with.
INSERT INTO marketing_event (
    tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, properties, body_digest
)
SELECT
    md5('tenant 1')::uuid, md5('recent ' || n)::uuid, 'shop', 'purchase', 'person-' || n, leo_now(),
    '{}', sha256('body')
FROM generate_series(1, 10) AS n;

INSERT INTO audit_entry (tenant_id, entry_id, kind, actor, call_id, member_count, root, details)
SELECT
    md5('tenant 1')::uuid, md5('recent ' || n)::uuid, 'tried', 'test', 'call', 0, sha256('root'),
    '{}'
FROM generate_series(1, 10) AS n;

INSERT INTO decision (
    tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
    rule_set_version, campaign_id, rule_id, rule_version, outcome, reason, expires_at,
    audit_entry_id, leaf_no
)
SELECT
    md5('tenant 1')::uuid, md5('recent ' || n)::uuid, 'direct', md5('recent ' || n)::uuid,
    md5('person ' || n)::uuid, 1, 0, 1, md5('campaign 1')::uuid, md5('rule 1')::uuid, 1, 'acted',
    'asked for', leo_now() + interval '1 day', md5('recent 1')::uuid, n
FROM generate_series(1, 10) AS n;
