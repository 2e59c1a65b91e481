-- One row of a tenant in every table, and enough events that no partition stays empty: the chance
-- of one is under one in ten million.
INSERT INTO tenant (tenant_id, name, time_zone, state)
VALUES (:tenant_id, 'tenant-' || :tenant_id, 'Asia/Ho_Chi_Minh', 'active');

INSERT INTO audit_entry (
    tenant_id, entry_id, kind, actor, call_id, member_count, root, details
)
VALUES (:tenant_id, :tenant_id, 'tenant_created', 'test', 'call', 0, sha256('root'), '{}');

INSERT INTO audit_seal (tenant_id, seq, entry_id, entry_digest, prev, hash)
VALUES (:tenant_id, 1, :tenant_id, sha256('digest'), sha256('prev'), sha256('hash'));

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

INSERT INTO segment (tenant_id, segment_id, name, condition, version)
VALUES (:tenant_id, :tenant_id, 'everybody', 'true', 1);

INSERT INTO segment_snapshot_member (
    tenant_id, snapshot_id, chunk_no, member_count, profile_nos, profile_versions, consent_keys,
    consents
)
VALUES (:tenant_id, :tenant_id, 0, 1, '{1}', '{1}', '{email.marketing}', '\x01');

INSERT INTO segment_snapshot (
    tenant_id, snapshot_id, segment_id, segment_version, condition, member_count, digest, taken_at,
    audit_entry_id
)
VALUES (
    :tenant_id, :tenant_id, :tenant_id, 1, 'true', 1, sha256('snapshot'), leo_now(), :tenant_id
);

INSERT INTO campaign (tenant_id, campaign_id, name, state)
VALUES (:tenant_id, :tenant_id, 'welcome', 'active');

INSERT INTO activation_rule (tenant_id, rule_id, campaign_id, name, version)
VALUES (:tenant_id, :tenant_id, :tenant_id, 'first-visit', 1);

INSERT INTO activation_rule_version (tenant_id, rule_id, version, document)
VALUES (:tenant_id, :tenant_id, 1, '{}');

INSERT INTO rule_set (tenant_id, version)
VALUES (:tenant_id, 1);

INSERT INTO campaign_launch (
    tenant_id, launch_id, campaign_id, rule_id, rule_version, snapshot_id, state, actor
)
VALUES (:tenant_id, :tenant_id, :tenant_id, :tenant_id, 1, :tenant_id, 'running', 'test');

INSERT INTO agent_task (
    tenant_id, task_id, kind, profile_id, profile_version, rule_id, rule_version, state,
    attempt_count, backend, model_hash, proposal, reasoning_trace, reasoning_summary,
    approval_required, reviewer, reviewed_at
)
VALUES (
    :tenant_id, :tenant_id, 'activation', :tenant_id, 1, :tenant_id, 1, 'succeeded', 1, 'test',
    sha256('model'), '{}', '{}', 'the only action', true, 'test', leo_now()
);

INSERT INTO decision (
    tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
    rule_set_version, rule_id, outcome, reason, expires_at, audit_entry_id, leaf_no
)
VALUES (
    :tenant_id, :tenant_id, 'event', :tenant_id, :tenant_id, 1, 0, 1, :tenant_id, 'acted', 'test',
    leo_now(), :tenant_id, 0
);

INSERT INTO relay_watermark (tenant_id, hop, position)
VALUES (:tenant_id, 'activate', pg_current_xact_id());

INSERT INTO message_template (tenant_id, template_id, version, name, channel, data)
VALUES (:tenant_id, :tenant_id, 1, 'welcome', 'email', '{}');

INSERT INTO channel_account (tenant_id, account_id, name, channel, concurrent_send_count_max)
VALUES (:tenant_id, :tenant_id, 'main', 'email', 1);

INSERT INTO delivery_log (
    tenant_id, delivery_id, decision_id, choice, channel, account_id, template_id, profile_id,
    profile_version, purpose, recipient_ref, dedupe_key, state, due_at, expires_at
)
VALUES (
    :tenant_id, :tenant_id, :tenant_id, 0, 'email', :tenant_id, :tenant_id, :tenant_id, 1,
    'marketing', 'email:0', sha256('key'), 'pending', leo_now(), leo_now()
);

INSERT INTO delivery_attempt (tenant_id, delivery_id, attempt, phase, epoch)
VALUES (:tenant_id, :tenant_id, 1, 'intent', 1);

INSERT INTO delivery_receipt (tenant_id, receipt_id, account_id, receipt_digest, kind)
VALUES (:tenant_id, :tenant_id, :tenant_id, sha256('receipt'), 'delivered');

INSERT INTO suppression (
    tenant_id, suppression_id, channel, recipient_key_id, recipient_hash, cause, source,
    delivery_id, lifted_at
)
VALUES (
    :tenant_id, :tenant_id, 'email', 'k1', sha256('address'), 'bounced', 'receipt', :tenant_id,
    leo_now()
);
