-- Whether the books of a running stack balance, asked as the auditor, who sees every tenant.

-- name: in_flight^
-- What is on its way; a message that waits for its hour is at rest, and so is a paused launch.
SELECT
    (
        SELECT count(*) FROM marketing_event AS e
        WHERE NOT EXISTS (
            SELECT FROM decision AS d
            WHERE d.tenant_id = e.tenant_id AND d.trigger_kind = 'event'
                AND d.trigger_id = e.event_id
        )
    ) AS undecided_count,
    (
        SELECT count(*) FROM campaign_launch AS n
        JOIN campaign AS c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
        WHERE n.state = 'running' AND c.state <> 'paused'
    ) AS running_launch_count,
    (
        SELECT count(*) FROM decision AS d
        WHERE d.outcome = 'acted' AND NOT EXISTS (
            SELECT FROM delivery_log AS l
            WHERE l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
        )
    ) AS undispatched_count,
    (
        SELECT count(*) FROM delivery_log
        WHERE state IN ('sending', 'retry_wait')
            OR state = 'pending' AND due_at <= leo_now()
    ) AS unsent_count;

-- name: breaches
SELECT equation, subject_id, detail FROM ledger_breach('0')
UNION ALL
SELECT equation, subject_id, detail FROM v_audit_breach
ORDER BY equation, subject_id;

-- name: deliveries
SELECT delivery_id, state, attempt_count FROM delivery_log;

-- name: broken_chains
-- A choice beside one before it that did not end without reaching anybody; and a chain that broke
-- off though there was a next choice and time for it.
SELECT l.delivery_id, format('choice %s follows one that is %s', n.choice, l.state) AS detail
FROM delivery_log AS n
JOIN delivery_log AS l
    ON l.tenant_id = n.tenant_id AND l.decision_id = n.decision_id AND l.step = n.step
    AND l.choice < n.choice
WHERE n.choice > 0 AND l.state NOT IN ('failed', 'suppressed', 'expired')
UNION ALL
SELECT l.delivery_id, format('%s, and the next choice was not made', l.state)
FROM delivery_log AS l
JOIN decision AS d ON d.tenant_id = l.tenant_id AND d.decision_id = l.decision_id
WHERE l.state IN ('failed', 'suppressed', 'expired')
    AND d.expires_at > l.updated_at
    AND EXISTS (
        SELECT FROM jsonb_array_elements(d.choices) AS c WHERE (c ->> 'choice')::int > l.choice
    )
    AND NOT EXISTS (
        SELECT FROM delivery_log AS n
        WHERE n.tenant_id = l.tenant_id AND n.decision_id = l.decision_id AND n.step = l.step
            AND n.choice > l.choice
    );
