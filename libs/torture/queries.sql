-- What became of the events of a round, asked as the auditor.

-- name: deliveries
-- All deliveries of a round, each decision's in the order of its choices.
SELECT l.decision_id, l.choice, l.state
FROM marketing_event AS e
JOIN decision AS d
    ON d.tenant_id = e.tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = e.event_id
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
WHERE e.source = :source
ORDER BY l.decision_id, l.choice;

-- name: answers
-- How the attempts of a round ended, by phase and code.
SELECT a.phase, a.provider_code, count(*) AS answer_count
FROM marketing_event AS e
JOIN decision AS d
    ON d.tenant_id = e.tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = e.event_id
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
JOIN delivery_attempt AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
WHERE e.source = :source AND a.phase <> 'intent'
GROUP BY a.phase, a.provider_code;
