-- The demo looks and checks as the auditor, who sees every tenant and changes nothing.

-- name: count_tenant^
-- What the tenant has now: one statement, so that the counts belong together.
SELECT
    (
        SELECT count(*) FROM marketing_event
        WHERE tenant_id = :tenant_id AND source = :source
    ) AS marketing_event,
    (SELECT count(*) FROM cdp_profiles WHERE tenant_id = :tenant_id) AS cdp_profiles,
    (SELECT count(*) FROM profile_consent WHERE tenant_id = :tenant_id) AS profile_consent,
    (SELECT count(*) FROM audit_entry WHERE tenant_id = :tenant_id) AS audit_entry;

-- name: watch^
-- One line of what happens.
SELECT
    (SELECT count(*) FROM marketing_event WHERE tenant_id = :tenant_id) AS event_count,
    d.decided_count,
    d.acted_count,
    l.waiting_count,
    l.accepted_count,
    l.doubt_count,
    l.refused_count,
    (SELECT count(*) FROM delivery_receipt WHERE tenant_id = :tenant_id) AS receipt_count
FROM (
    SELECT
        count(*) FILTER (WHERE ordinal = 0) AS decided_count,
        count(*) FILTER (WHERE outcome = 'acted') AS acted_count
    FROM decision
    WHERE tenant_id = :tenant_id
) AS d
CROSS JOIN (
    SELECT
        count(*) FILTER (WHERE state IN ('pending', 'sending', 'retry_wait')) AS waiting_count,
        count(*) FILTER (WHERE state = 'accepted') AS accepted_count,
        count(*) FILTER (WHERE state = 'outcome_unknown') AS doubt_count,
        count(*) FILTER (WHERE state = 'failed') AS refused_count
    FROM delivery_log
    WHERE tenant_id = :tenant_id
) AS l;

-- name: decisions
-- What was decided, by rule, outcome and reason.
SELECT d.outcome, coalesce(r.name, '') AS rule, d.reason, count(*) AS count
FROM decision AS d
LEFT JOIN activation_rule AS r ON r.tenant_id = d.tenant_id AND r.rule_id = d.rule_id
WHERE d.tenant_id = :tenant_id
GROUP BY d.outcome, r.name, d.reason
ORDER BY d.outcome, count(*) DESC;

-- name: deliveries
-- Where the messages stand, and why.
SELECT
    channel,
    state,
    CASE WHEN state = 'pending' AND due_at > leo_now() THEN 'quiet hours' ELSE reason END AS reason,
    count(*) AS count
FROM delivery_log
WHERE tenant_id = :tenant_id
GROUP BY 1, 2, 3
ORDER BY channel DESC, count(*) DESC;

-- name: receipts
-- What the providers said later.
SELECT a.channel, c.kind, count(*) AS count
FROM delivery_receipt AS c
JOIN channel_account AS a ON a.tenant_id = c.tenant_id AND a.account_id = c.account_id
WHERE c.tenant_id = :tenant_id
GROUP BY a.channel, c.kind
ORDER BY a.channel DESC, count(*) DESC;

-- name: suppressions
-- Addresses to which nothing is sent any more.
SELECT channel, cause, count(*) AS count
FROM suppression
WHERE tenant_id = :tenant_id AND lifted_at IS NULL
GROUP BY channel, cause
ORDER BY channel DESC, count(*) DESC;

-- name: doubts
-- Messages of which nobody knew for a while whether the provider took them, and how that ended.
SELECT
    a.provider_code,
    l.state,
    EXISTS (
        SELECT FROM delivery_receipt AS c
        WHERE c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id
    ) AS has_receipt,
    count(*) AS count
FROM delivery_log AS l
JOIN LATERAL (
    SELECT a.provider_code
    FROM delivery_attempt AS a
    WHERE a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id AND a.kind = 'unknown'
    ORDER BY a.attempt
    LIMIT 1
) AS a ON true
WHERE l.tenant_id = :tenant_id
GROUP BY 1, 2, 3
ORDER BY count(*) DESC;

-- name: telling_event$
-- The event whose story tells most: refused by one channel and taken by the next, else in doubt first
-- and settled afterwards, else any that was sent.
SELECT d.trigger_id
FROM delivery_log AS l
JOIN decision AS d ON d.tenant_id = l.tenant_id AND d.decision_id = l.decision_id
WHERE l.tenant_id = :tenant_id AND d.trigger_kind = 'event'
ORDER BY
    l.state = 'accepted' AND l.choice > 0 AND EXISTS (
        SELECT FROM delivery_log AS f
        WHERE f.tenant_id = l.tenant_id AND f.decision_id = l.decision_id AND f.state = 'failed'
    ) DESC,
    l.state = 'accepted' AND EXISTS (
        SELECT FROM delivery_attempt AS a
        WHERE a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id AND a.kind = 'unknown'
    ) DESC,
    l.state = 'accepted' DESC,
    EXISTS (
        SELECT FROM delivery_receipt AS c
        WHERE c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id
    ) DESC,
    l.created_at
LIMIT 1;

-- name: waiting_until$
-- When the message that waits for the end of quiet hours is due.
SELECT min(due_at) FROM delivery_log
WHERE tenant_id = :tenant_id AND state = 'pending' AND due_at > leo_now();
