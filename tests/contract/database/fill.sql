-- One row of a tenant in every table, and enough events that no partition stays empty: the chance
-- of one is under one in ten million.
INSERT INTO tenant (tenant_id, name, time_zone, state)
VALUES (:tenant_id, 'tenant-' || :tenant_id, 'Asia/Ho_Chi_Minh', 'active');

INSERT INTO audit_entry (
    tenant_id, entry_id, kind, actor, call_id, member_count, root, details
)
VALUES (:tenant_id, :tenant_id, 'tenant_created', 'test', 'call', 0, sha256('root'), '{}');

INSERT INTO audit_seal (tenant_id, seq, entry_id, prev, hash)
VALUES (:tenant_id, 1, :tenant_id, sha256('prev'), sha256('hash'));

INSERT INTO marketing_event (
    tenant_id, event_id, source, event_type, profile_ext_id, occurred_at, properties, body_digest
)
SELECT :tenant_id, gen_random_uuid(), 'test', 'page-view', 'one', leo_now(), '{}', sha256('body')
FROM generate_series(1, 300);

INSERT INTO cdp_profiles (
    tenant_id, profile_id, ext_id, version, state, context, document_digest
)
VALUES (:tenant_id, :tenant_id, 'one', 1, 'active', 'test', sha256('document'));

INSERT INTO cdp_profile_version (tenant_id, profile_id, version, document, document_digest)
VALUES (:tenant_id, :tenant_id, 1, '{}', sha256('document'));

INSERT INTO profile_consent (
    tenant_id, profile_id, channel, purpose, state, version, evidence, consented_at
)
VALUES (:tenant_id, :tenant_id, 'email', 'marketing', 'granted', 1, 'form', leo_now());

INSERT INTO profile_consent_version (
    tenant_id, profile_id, channel, purpose, version, state, evidence, consented_at, actor,
    audit_entry_id, leaf_no, salt
)
VALUES (
    :tenant_id, :tenant_id, 'email', 'marketing', 1, 'granted', 'form', leo_now(), 'test',
    :tenant_id, 0, 'salt'
);
