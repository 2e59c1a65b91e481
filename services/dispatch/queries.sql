-- Every statement of dispatch but those of its machine. Each runs inside one tenant's context
-- (libs/postgres), so the policies add the tenant by themselves; tenant_id is named where a key or an
-- index wants it.

-- name: select_decisions
-- Only one that acts has choices.
SELECT d.decision_id, d.profile_id, d.profile_version, d.choices, d.not_before, d.expires_at
FROM unnest(:decision_ids::uuid[]) AS wanted (decision_id)
CROSS JOIN LATERAL (
    SELECT * FROM decision AS d
    WHERE d.tenant_id = :tenant_id AND d.decision_id = wanted.decision_id
    LIMIT 1
) AS d;

-- name: insert_deliveries
-- Rows come sorted by dedupe_key, so that two batches with the same decisions wait for each other in
-- one order and cannot deadlock.
INSERT INTO delivery_log (
    tenant_id, delivery_id, decision_id, step, choice, channel, account_id, template_id,
    profile_id, profile_version, purpose, recipient_ref, dedupe_key, state, due_at, expires_at
)
SELECT
    :tenant_id, d.delivery_id, d.decision_id, d.step, d.choice, d.channel, d.account_id,
    d.template_id, d.profile_id, d.profile_version, d.purpose, d.recipient_ref, d.dedupe_key,
    'pending', greatest(leo_now(), d.not_before), d.expires_at
FROM unnest(
    :delivery_ids::uuid[], :decision_ids::uuid[], :steps::int[], :choices::int[],
    :channels::text[], :account_ids::uuid[], :template_ids::uuid[], :profile_ids::uuid[],
    :profile_versions::int[], :purposes::text[], :recipient_refs::text[], :dedupe_keys::bytea[],
    :not_befores::timestamptz[], :expires_ats::timestamptz[]
) AS d (
    delivery_id, decision_id, step, choice, channel, account_id, template_id, profile_id,
    profile_version, purpose, recipient_ref, dedupe_key, not_before, expires_at
)
ON CONFLICT (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING dedupe_key, delivery_id;

-- name: select_delivery_ids
SELECT dedupe_key, delivery_id
FROM delivery_log
WHERE tenant_id = :tenant_id AND dedupe_key = ANY(:dedupe_keys::bytea[]);

-- name: select_deliveries
-- In the order of list_delivery_ids. What receipts say is only ever added to, in any order.
SELECT
    delivery_id, decision_id, step, choice, channel, account_id, template_id, profile_id, state,
    reason, attempt_count, provider_message_id, due_at, expires_at, created_at, updated_at,
    (
        SELECT b.delivery_id
        FROM delivery_log AS b
        WHERE
            b.tenant_id = d.tenant_id
            AND b.decision_id = d.decision_id
            AND b.step = d.step
            AND b.choice < d.choice
        ORDER BY b.choice DESC
        LIMIT 1
    ) AS follows,
    (
        SELECT max(array_position(:reached::text[], r.kind))
        FROM delivery_receipt AS r
        WHERE r.tenant_id = d.tenant_id AND r.delivery_id = d.delivery_id
    ) AS reached
FROM delivery_log AS d
WHERE tenant_id = :tenant_id AND delivery_id = ANY(:delivery_ids::uuid[])
ORDER BY delivery_id DESC;

-- name: list_delivery_ids
-- The ids are UUIDv7: in their order, the newest is the last.
SELECT delivery_id
FROM delivery_log
WHERE
    tenant_id = :tenant_id
    AND delivery_id < :before
    AND (:state::text IS NULL OR state = :state)
ORDER BY delivery_id DESC
LIMIT :count;

-- name: list_delivery_ids_of_profile
-- A person has few among many: a statement of its own, for the index on persons.
SELECT delivery_id
FROM delivery_log
WHERE
    tenant_id = :tenant_id
    AND profile_id = :profile_id
    AND delivery_id < :before
    AND (:state::text IS NULL OR state = :state)
ORDER BY delivery_id DESC
LIMIT :count;

-- name: select_attempts
SELECT attempt, phase, kind, provider_class, provider_code, created_at
FROM delivery_attempt
WHERE tenant_id = :tenant_id AND delivery_id = :delivery_id
ORDER BY attempt, array_position(ARRAY['intent', 'result', 'late'], phase);

-- name: select_receipts
SELECT kind, occurred_at, received_at
FROM delivery_receipt
WHERE tenant_id = :tenant_id AND delivery_id = :delivery_id
ORDER BY received_at, receipt_id;

-- name: insert_template^
-- No row comes back if the name is taken, or the request was answered before.
INSERT INTO message_template (
    tenant_id, template_id, version, name, channel, provider_template_id, data, request_id,
    request_digest
)
VALUES (
    :tenant_id, :template_id, 1, :name, :channel, :provider_template_id, :data::jsonb, :request_id,
    :request_digest
)
ON CONFLICT DO NOTHING
RETURNING template_id, version, name, channel, provider_template_id, data, updated_at;

-- name: select_template_of_request^
SELECT
    template_id, version, name, channel, provider_template_id, data, updated_at, request_digest
FROM message_template
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: select_template^
SELECT template_id, version, name, channel, provider_template_id, data, updated_at
FROM message_template
WHERE tenant_id = :tenant_id AND template_id = :template_id;

-- name: select_document^
-- What a profile says now, and how its tenant tells days.
SELECT v.document, t.time_zone
FROM cdp_profiles AS p
JOIN cdp_profile_version AS v
    ON v.tenant_id = p.tenant_id AND v.profile_id = p.profile_id AND v.version = p.version
JOIN tenant AS t ON t.tenant_id = p.tenant_id
WHERE p.tenant_id = :tenant_id AND p.ext_id = :ext_id AND v.document IS NOT NULL;

-- name: select_event^
SELECT event_type, source, occurred_at, properties
FROM marketing_event
WHERE tenant_id = :tenant_id AND event_id = :event_id;

-- name: lock_account^
-- The account of this name, which is made if there is none; changes of it come one after the other.
INSERT INTO channel_account AS stored (
    tenant_id, account_id, name, channel, concurrent_send_count_max
)
VALUES (:tenant_id, :account_id, :name, :channel, :concurrent_send_count_max)
ON CONFLICT (tenant_id, name) DO UPDATE SET name = excluded.name
RETURNING
    account_id, channel, credential_names, credentials, data_key, key_id, credential_version;

-- name: update_account$
-- Somebody acted: what had paused it may be over.
UPDATE channel_account SET
    settings = :settings::jsonb,
    concurrent_send_count_max = :concurrent_send_count_max,
    credential_names = :credential_names,
    credentials = :credentials,
    data_key = :data_key,
    key_id = :key_id,
    credential_version = :credential_version,
    paused_reason = ''
WHERE tenant_id = :tenant_id AND account_id = :account_id
RETURNING updated_at;

-- name: select_accounts
SELECT
    account_id, name, channel, settings, credential_names, credentials, data_key, key_id,
    credential_version, concurrent_send_count_max, updated_at
FROM channel_account
WHERE tenant_id = :tenant_id AND account_id = ANY(:account_ids::uuid[]);

-- name: lock_deliveries
-- Whoever ends a delivery's attempt without an answer looks for receipts under the same lock: one of
-- the two sees the other. In order, so that two transactions cannot deadlock.
SELECT account_id, delivery_id, state = 'outcome_unknown' AS in_doubt
FROM delivery_log
WHERE tenant_id = :tenant_id AND delivery_id = ANY(:delivery_ids::uuid[])
ORDER BY delivery_id
FOR NO KEY UPDATE;

-- name: insert_receipts
INSERT INTO delivery_receipt (
    tenant_id, receipt_id, account_id, receipt_digest, delivery_id, kind, provider_message_id, raw,
    occurred_at
)
SELECT
    :tenant_id, r.receipt_id, r.account_id, r.receipt_digest, r.delivery_id, r.kind,
    r.provider_message_id, r.raw, r.occurred_at
FROM unnest(
    :receipt_ids::uuid[], :account_ids::uuid[], :receipt_digests::bytea[], :delivery_ids::uuid[],
    :kinds::text[], :provider_message_ids::text[], :raws::bytea[], :occurred_ats::timestamptz[]
) AS r (
    receipt_id, account_id, receipt_digest, delivery_id, kind, provider_message_id, raw, occurred_at
)
ON CONFLICT (tenant_id, account_id, receipt_digest) DO NOTHING
RETURNING receipt_id;

-- name: insert_suppressions_of_deliveries
-- The addresses that deliveries went to, unless the person was erased. In order, so that two writers
-- cannot deadlock.
INSERT INTO suppression (
    tenant_id, suppression_id, channel, recipient_key_id, recipient_hash, cause, source, delivery_id
)
SELECT
    l.tenant_id, b.suppression_id, l.channel, l.recipient_key_id, l.recipient_hash, b.cause, :source,
    l.delivery_id
FROM unnest(:suppression_ids::uuid[], :delivery_ids::uuid[], :causes::text[]) AS b (
    suppression_id, delivery_id, cause
)
JOIN delivery_log AS l ON l.tenant_id = :tenant_id AND l.delivery_id = b.delivery_id
WHERE l.recipient_hash IS NOT NULL
ORDER BY l.channel, l.recipient_key_id, l.recipient_hash
ON CONFLICT (tenant_id, channel, recipient_key_id, recipient_hash) WHERE lifted_at IS NULL DO NOTHING
RETURNING suppression_id, channel, cause, source, delivery_id;

-- name: insert_suppressions
INSERT INTO suppression (
    tenant_id, suppression_id, channel, recipient_key_id, recipient_hash, cause, source, request_id,
    request_digest
)
SELECT
    :tenant_id, a.suppression_id, :channel, :key_id, a.hash, :cause, 'call', :request_id,
    :request_digest
FROM unnest(:suppression_ids::uuid[], :hashes::bytea[]) AS a (suppression_id, hash)
ON CONFLICT (tenant_id, channel, recipient_key_id, recipient_hash) WHERE lifted_at IS NULL DO NOTHING
RETURNING suppression_id, channel, cause, source, delivery_id;

-- name: select_suppressed
-- What is in force for addresses, each by its hash under every key.
SELECT
    s.suppression_id, s.channel, s.recipient_key_id, s.recipient_hash, s.cause, s.source,
    s.delivery_id, s.created_at, s.lifted_at
FROM unnest(:key_ids::text[], :hashes::bytea[]) AS a (key_id, hash)
CROSS JOIN LATERAL (
    SELECT * FROM suppression AS s
    WHERE
        s.tenant_id = :tenant_id AND s.channel = :channel AND s.recipient_key_id = a.key_id
        AND s.recipient_hash = a.hash AND s.lifted_at IS NULL
    LIMIT 1
) AS s
ORDER BY s.suppression_id;

-- name: lift_suppressions
WITH found AS MATERIALIZED (
    SELECT s.suppression_id, a.request_digest
    FROM unnest(:key_ids::text[], :hashes::bytea[], :request_digests::bytea[]) AS a (
        key_id, hash, request_digest
    )
    CROSS JOIN LATERAL (
        SELECT s.suppression_id
        FROM suppression AS s
        WHERE
            s.tenant_id = :tenant_id AND s.channel = :channel AND s.recipient_key_id = a.key_id
            AND s.recipient_hash = a.hash AND s.lifted_at IS NULL
        LIMIT 1
        FOR UPDATE
    ) AS s
)
UPDATE suppression AS s
SET
    lifted_at = leo_now(),
    lift_request_id = :request_id,
    lift_request_digest = f.request_digest
FROM found AS f
WHERE s.tenant_id = :tenant_id AND s.suppression_id = f.suppression_id
RETURNING
    s.suppression_id, s.channel, s.cause, s.source, s.delivery_id, s.created_at, s.lifted_at;

-- name: select_suppressions_of_request
-- As they were when the request was answered first.
SELECT
    suppression_id, channel, recipient_key_id, cause, source, delivery_id, created_at,
    NULL::timestamptz AS lifted_at, request_digest
FROM suppression
WHERE tenant_id = :tenant_id AND request_id = :request_id
ORDER BY suppression_id;

-- name: select_suppressions_of_lift_request
SELECT
    suppression_id, channel, recipient_key_id, cause, source, delivery_id, created_at, lifted_at,
    lift_request_digest AS request_digest
FROM suppression
WHERE tenant_id = :tenant_id AND lift_request_id = :request_id
ORDER BY suppression_id;

-- name: list_suppressions
-- The ids are UUIDv7: in their order, the newest is the last.
SELECT suppression_id, channel, cause, source, delivery_id, created_at, lifted_at
FROM suppression
WHERE tenant_id = :tenant_id AND suppression_id < :before AND lifted_at IS NULL
ORDER BY suppression_id DESC
LIMIT :count;

-- name: list_suppressions_of_recipient
SELECT
    s.suppression_id, s.channel, s.cause, s.source, s.delivery_id, s.created_at, s.lifted_at
FROM unnest(:key_ids::text[], :hashes::bytea[]) AS a (key_id, hash)
CROSS JOIN LATERAL (
    SELECT * FROM suppression AS s
    WHERE
        s.tenant_id = :tenant_id AND s.channel = :channel AND s.recipient_key_id = a.key_id
        AND s.recipient_hash = a.hash AND s.lifted_at IS NULL
    LIMIT 1
) AS s
WHERE s.suppression_id < :before
ORDER BY s.suppression_id DESC
LIMIT :count;
