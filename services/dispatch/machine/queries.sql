-- The statements of the delivery machine. Those marked "As leo_finder" see scheduling columns across
-- tenants; all others run inside one tenant's context (libs/postgres).

-- name: find_due
-- As leo_finder: the accounts that have something to send. From account to account along the index,
-- where the first row of each is the one that is due first: a backlog costs nothing here.
WITH RECURSIVE account AS (
    (
        SELECT l.tenant_id, l.account_id, l.due_at
        FROM delivery_log AS l
        WHERE l.state IN ('pending', 'retry_wait')
        ORDER BY l.tenant_id, l.account_id, l.due_at
        LIMIT 1
    )
    UNION ALL
    SELECT n.tenant_id, n.account_id, n.due_at
    FROM account AS a
    CROSS JOIN LATERAL (
        SELECT l.tenant_id, l.account_id, l.due_at
        FROM delivery_log AS l
        WHERE
            l.state IN ('pending', 'retry_wait')
            AND (l.tenant_id, l.account_id) > (a.tenant_id, a.account_id)
        ORDER BY l.tenant_id, l.account_id, l.due_at
        LIMIT 1
    ) AS n
)
SELECT tenant_id, account_id
FROM account
WHERE due_at <= leo_now();

-- name: find_expired_leases
-- As leo_finder: the tenants with rows whose worker did not come back.
SELECT tenant_id
FROM delivery_log
WHERE state = 'sending' AND lease_until < leo_now()
GROUP BY tenant_id;

-- name: find_unanswered
-- As leo_finder, in a restored database: the tenants of which something was under way, or was to be
-- tried again.
SELECT tenant_id
FROM delivery_log
WHERE state IN ('sending', 'retry_wait')
GROUP BY tenant_id;

-- name: select_sending
-- In a restored database, whatever the lease: whoever held it worked on another one.
SELECT delivery_id, attempt_count, epoch, channel
FROM delivery_log
WHERE tenant_id = :tenant_id AND state = 'sending'
ORDER BY delivery_id
LIMIT :count_max
FOR UPDATE;

-- name: select_doubted
-- In a restored database: what was to be tried again though an attempt went unanswered.
SELECT delivery_id, epoch
FROM delivery_log
WHERE tenant_id = :tenant_id AND state = 'retry_wait' AND in_doubt
ORDER BY delivery_id
LIMIT :count_max
FOR UPDATE;

-- name: select_account^
SELECT
    c.account_id, c.name, c.channel, c.settings, c.credential_names, c.credentials, c.data_key,
    c.key_id, c.credential_version, c.concurrent_send_count_max, c.paused_reason, c.updated_at,
    n.state AS tenant_state,
    -- The keys under which addresses are suppressed here: from one to the next along the index.
    ARRAY(
        WITH RECURSIVE used AS (
            (
                SELECT s.recipient_key_id
                FROM suppression AS s
                WHERE s.tenant_id = c.tenant_id AND s.channel = c.channel AND s.lifted_at IS NULL
                ORDER BY s.recipient_key_id
                LIMIT 1
            )
            UNION ALL
            SELECT n.recipient_key_id
            FROM used AS u
            CROSS JOIN LATERAL (
                SELECT s.recipient_key_id
                FROM suppression AS s
                WHERE
                    s.tenant_id = c.tenant_id AND s.channel = c.channel AND s.lifted_at IS NULL
                    AND s.recipient_key_id > u.recipient_key_id
                ORDER BY s.recipient_key_id
                LIMIT 1
            ) AS n
        )
        SELECT recipient_key_id FROM used
    ) AS suppression_key_ids
FROM channel_account AS c
JOIN tenant AS n ON n.tenant_id = c.tenant_id
WHERE c.tenant_id = :tenant_id AND c.account_id = :account_id;

-- name: select_due
-- What is due, locked, with everything that is checked once more before the intent.
SELECT
    l.delivery_id, l.channel, l.recipient_ref, l.attempt_count, l.epoch, l.in_doubt,
    l.state, l.expires_at, leo_now() AS now,
    coalesce(c.state, 'none recorded') AS consent, l.purpose,
    p.ext_id, p.state AS profile_state, p.context AS profile_context,
    seen.document AS seen_document, latest.document AS latest_document,
    t.version AS template_version, t.provider_template_id, t.data AS template_data,
    e.event_type, e.source, e.occurred_at, e.properties,
    n.time_zone,
    -- All choices of a decision keep the hours of its rule.
    d.choices -> 0 -> 'quiet_hours' AS quiet_hours
FROM delivery_log AS l
JOIN tenant AS n ON n.tenant_id = l.tenant_id
JOIN cdp_profiles AS p ON p.tenant_id = l.tenant_id AND p.profile_id = l.profile_id
JOIN cdp_profile_version AS seen
    ON seen.tenant_id = l.tenant_id AND seen.profile_id = l.profile_id
    AND seen.version = l.profile_version
JOIN cdp_profile_version AS latest
    ON latest.tenant_id = p.tenant_id AND latest.profile_id = p.profile_id
    AND latest.version = p.version
JOIN decision AS d ON d.tenant_id = l.tenant_id AND d.decision_id = l.decision_id
JOIN message_template AS t ON t.tenant_id = l.tenant_id AND t.template_id = l.template_id
LEFT JOIN profile_consent AS c
    ON c.tenant_id = l.tenant_id AND c.profile_id = l.profile_id AND c.channel = l.channel
    AND c.purpose = l.purpose
LEFT JOIN marketing_event AS e
    ON e.tenant_id = d.tenant_id AND e.event_id = d.trigger_id AND d.trigger_kind = 'event'
WHERE
    l.tenant_id = :tenant_id
    AND l.account_id = :account_id
    AND l.state IN ('pending', 'retry_wait')
    AND l.due_at <= leo_now()
    AND (:only::uuid IS NULL OR l.delivery_id = :only)
ORDER BY l.due_at
LIMIT :count_max
FOR UPDATE OF l SKIP LOCKED;

-- name: select_due_ids
SELECT delivery_id
FROM delivery_log
WHERE
    tenant_id = :tenant_id
    AND account_id = :account_id
    AND state IN ('pending', 'retry_wait')
    AND due_at <= leo_now()
ORDER BY due_at
LIMIT :count_max;

-- name: start_sending
-- The claim: from here on only whoever holds this epoch may write a result. What goes to an address
-- that is suppressed, under whichever key, stays as it is and comes back with the cause.
WITH recipient AS MATERIALIZED (
    SELECT delivery_id, key_id, hash
    FROM unnest(:delivery_ids::uuid[], :key_ids::text[], :hashes::bytea[]) AS r (
        delivery_id, key_id, hash
    )
), suppressed AS MATERIALIZED (
    SELECT r.delivery_id, s.cause
    FROM recipient AS r
    CROSS JOIN LATERAL (
        SELECT s.cause
        FROM suppression AS s
        WHERE
            s.tenant_id = :tenant_id AND s.channel = :channel AND s.recipient_key_id = r.key_id
            AND s.recipient_hash = r.hash AND s.lifted_at IS NULL
        LIMIT 1
    ) AS s
), started AS (
    UPDATE delivery_log AS l
    SET
        state = 'sending',
        reason = '',
        epoch = l.epoch + 1,
        attempt_count = l.attempt_count + 1,
        lease_until = leo_now() + :lease::interval,
        recipient_hash = r.hash,
        recipient_key_id = r.key_id
    FROM recipient AS r
    WHERE
        l.tenant_id = :tenant_id
        AND l.delivery_id = r.delivery_id
        AND r.key_id = :active_key_id
        AND NOT EXISTS (SELECT FROM suppressed AS s WHERE s.delivery_id = r.delivery_id)
)
SELECT delivery_id, cause FROM suppressed;

-- name: insert_intents!
-- Before any byte goes out: no log, no send.
INSERT INTO delivery_attempt (
    tenant_id, delivery_id, attempt, phase, epoch, provider_key, request_hash, template_version
)
SELECT
    :tenant_id, r.delivery_id, r.attempt, 'intent', r.epoch, r.delivery_id::text, r.request_hash,
    r.template_version
FROM unnest(
    :delivery_ids::uuid[], :attempts::int[], :epochs::int[], :request_hashes::bytea[],
    :template_versions::int[]
) AS r (delivery_id, attempt, epoch, request_hash, template_version);

-- name: now$
SELECT leo_now();

-- name: select_ended_by_lease
-- Attempts that the reconciler ended, and whose worker was not heard of since.
SELECT i.delivery_id, i.attempt
FROM unnest(:delivery_ids::uuid[], :attempts::int[]) AS i (delivery_id, attempt)
CROSS JOIN LATERAL (
    SELECT
        max(r.provider_code) FILTER (WHERE r.phase = 'result') AS result_code,
        count(*) FILTER (WHERE r.phase = 'late') AS late_count
    FROM delivery_attempt AS r
    WHERE
        r.tenant_id = :tenant_id AND r.delivery_id = i.delivery_id AND r.attempt = i.attempt
) AS a
WHERE a.result_code = :lease_code AND a.late_count = 0;

-- name: move_deliveries!
-- Fenced: what was claimed again since, or is at its end, stays as it is. Behind the deliveries' locks.
WITH moved AS MATERIALIZED (
    SELECT r.*
    FROM unnest(
        :delivery_ids::uuid[], :epochs::int[], :states::text[], :reasons::text[],
        :in_doubts::boolean[], :due_ats::timestamptz[], :provider_message_ids::text[]
    ) AS r (delivery_id, epoch, state, reason, in_doubt, due_at, provider_message_id)
    CROSS JOIN LATERAL (
        SELECT l.state, l.epoch
        FROM delivery_log AS l
        WHERE l.tenant_id = :tenant_id AND l.delivery_id = r.delivery_id
        LIMIT 1
    ) AS l
    WHERE
        l.epoch = r.epoch
        AND l.state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown')
)
UPDATE delivery_log AS l
SET
    state = r.state,
    reason = r.reason,
    in_doubt = r.in_doubt,
    due_at = coalesce(r.due_at, l.due_at),
    lease_until = NULL,
    provider_message_id = coalesce(nullif(r.provider_message_id, ''), l.provider_message_id)
FROM moved AS r
WHERE l.tenant_id = :tenant_id AND l.delivery_id = r.delivery_id;

-- name: select_decisions_of_ended
-- What may come after deliveries that have just ended. All choices of a decision are worth as long
-- as it is itself: none is made that could only expire.
SELECT
    l.step, l.choice, d.decision_id, d.profile_id, d.profile_version, d.choices, d.not_before,
    d.expires_at
FROM unnest(:delivery_ids::uuid[]) AS ended (delivery_id)
CROSS JOIN LATERAL (
    SELECT * FROM delivery_log AS l
    WHERE l.tenant_id = :tenant_id AND l.delivery_id = ended.delivery_id
    LIMIT 1
) AS l
CROSS JOIN LATERAL (
    SELECT * FROM decision AS d
    WHERE d.tenant_id = l.tenant_id AND d.decision_id = l.decision_id
    LIMIT 1
) AS d
WHERE l.state = ANY(:states::text[]) AND d.expires_at > leo_now();

-- name: lock_deliveries
-- In order, so that two writers cannot deadlock.
SELECT delivery_id, state, epoch, in_doubt, expires_at
FROM delivery_log
WHERE tenant_id = :tenant_id AND delivery_id = ANY(:delivery_ids::uuid[])
ORDER BY delivery_id
FOR NO KEY UPDATE;

-- name: insert_attempts!
INSERT INTO delivery_attempt (
    tenant_id, delivery_id, attempt, phase, epoch, kind, provider_class, provider_code,
    provider_message_id, reason, created_at, audit_entry_id, leaf_no, salt
)
SELECT
    :tenant_id, r.delivery_id, r.attempt, r.phase, r.epoch, r.kind, r.provider_class,
    r.provider_code, r.provider_message_id, r.reason, r.created_at, :audit_entry_id, r.leaf_no,
    r.salt
FROM jsonb_to_recordset(:attempts::jsonb) AS r (
    delivery_id uuid, attempt int, phase text, epoch int, kind text, provider_class text,
    provider_code text, provider_message_id text, reason text, created_at timestamptz,
    leaf_no int, salt bytea
);

-- name: pause_account!
UPDATE channel_account
SET paused_reason = :reason
WHERE
    tenant_id = :tenant_id
    AND account_id = :account_id
    AND paused_reason = ''
    -- Who has acted since the call began is not punished for it.
    AND updated_at = :updated_at;

-- name: select_expired
-- Rows whose lease ran out: nobody knows whether the provider took them.
SELECT delivery_id, attempt_count, epoch, channel
FROM delivery_log
WHERE tenant_id = :tenant_id AND state = 'sending' AND lease_until < leo_now()
ORDER BY delivery_id
LIMIT :count_max
FOR UPDATE SKIP LOCKED;

-- name: select_evidence
-- What is known of deliveries over all their attempts. A late answer speaks for its own attempt.
SELECT
    l.delivery_id,
    l.state,
    l.epoch,
    l.attempt_count,
    l.expires_at,
    coalesce(bool_or(a.kind = 'accepted'), false) AS is_accepted,
    coalesce(bool_or(a.kind = 'unknown' AND late.kind IS NULL), false) AS in_doubt,
    min(coalesce(late.kind, a.kind))
        FILTER (WHERE a.attempt = l.attempt_count AND a.phase = 'result') AS last_kind,
    min(coalesce(late.provider_class, a.provider_class))
        FILTER (WHERE a.attempt = l.attempt_count AND a.phase = 'result') AS last_class,
    min(coalesce(late.reason, a.reason))
        FILTER (WHERE a.attempt = l.attempt_count AND a.phase = 'result') AS last_reason
FROM delivery_log AS l
JOIN delivery_attempt AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
LEFT JOIN LATERAL (
    SELECT n.kind, n.provider_class, n.reason
    FROM delivery_attempt AS n
    WHERE
        n.tenant_id = a.tenant_id
        AND n.delivery_id = a.delivery_id
        AND n.attempt = a.attempt
        AND n.phase = 'late'
        AND n.kind <> 'unknown'
    LIMIT 1
) AS late ON true
WHERE l.tenant_id = :tenant_id AND l.delivery_id = ANY(:delivery_ids::uuid[])
GROUP BY l.delivery_id, l.state, l.epoch, l.attempt_count, l.expires_at;

-- name: select_proved
-- A receipt that carries our reference proves that the provider took the message.
SELECT l.delivery_id, l.epoch, l.in_doubt
FROM unnest(:delivery_ids::uuid[]) AS told (delivery_id)
CROSS JOIN LATERAL (
    SELECT * FROM delivery_log AS l
    WHERE l.tenant_id = :tenant_id AND l.delivery_id = told.delivery_id
    LIMIT 1
) AS l
WHERE
    l.state = 'outcome_unknown'
    AND EXISTS (
        SELECT
        FROM delivery_receipt AS r
        WHERE
            r.tenant_id = l.tenant_id
            AND r.delivery_id = l.delivery_id
            AND r.kind IN ('sent', 'delivered', 'read', 'clicked')
    );

-- name: count_failure^
-- Before the intent, so no call is open.
UPDATE delivery_log
SET failure_count = failure_count + 1, reason = :reason
WHERE
    tenant_id = :tenant_id
    AND delivery_id = :delivery_id
    AND state IN ('pending', 'retry_wait')
RETURNING failure_count, epoch, in_doubt;

-- name: postpone!
-- Another try later; the wait doubles with each failure.
UPDATE delivery_log
SET due_at = leo_now() + :pause::interval * 2 ^ least(failure_count, 10), reason = :reason
WHERE
    tenant_id = :tenant_id
    AND delivery_id = :delivery_id
    AND state IN ('pending', 'retry_wait');
