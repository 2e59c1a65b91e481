-- Whether the books of a running stack balance, asked as the auditor, who sees every tenant.

-- name: in_flight^
-- What is on its way; a message that waits for its hour is at rest.
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
SELECT equation, subject_id, detail FROM ledger_breach('0') ORDER BY equation, subject_id;

-- name: deliveries
SELECT delivery_id, state, attempt_count FROM delivery_log;
