-- migrate:up

-- A chain of choices is one story: each later delivery says which one it follows, and why.
CREATE OR REPLACE VIEW v_journey WITH (security_invoker = true) AS
SELECT
    e.tenant_id,
    e.event_id,
    e.received_at AS at,
    0 AS rank,
    'event' AS step,
    'received' AS outcome,
    '' AS reason,
    e.event_id AS id,
    NULL::uuid AS parent_id,
    p.profile_id,
    '' AS channel,
    jsonb_build_object(
        'event_type', e.event_type,
        'source', e.source,
        'occurred_at', e.occurred_at
    ) AS details
FROM marketing_event AS e
LEFT JOIN cdp_profiles AS p ON p.tenant_id = e.tenant_id AND p.ext_id = e.profile_ext_id

UNION ALL

SELECT
    d.tenant_id,
    d.trigger_id,
    d.decided_at,
    1,
    'decision',
    d.outcome,
    d.reason,
    d.decision_id,
    d.trigger_id,
    d.profile_id,
    '',
    jsonb_strip_nulls(jsonb_build_object(
        'ordinal', d.ordinal,
        'campaign', c.name,
        'rule', r.name,
        'rule_id', d.rule_id,
        'rule_version', d.rule_version,
        'segment_id', d.segment_id,
        'segment_version', d.segment_version,
        'profile_version', d.profile_version,
        'not_before', d.not_before,
        'expires_at', d.expires_at
    ))
FROM decision AS d
LEFT JOIN campaign AS c ON c.tenant_id = d.tenant_id AND c.campaign_id = d.campaign_id
LEFT JOIN activation_rule AS r ON r.tenant_id = d.tenant_id AND r.rule_id = d.rule_id
WHERE d.trigger_kind = 'event'

UNION ALL

-- Twice: when it was made, and since when it stands where it stands.
SELECT
    l.tenant_id,
    d.trigger_id,
    s.at,
    s.rank,
    'delivery',
    s.outcome,
    s.reason,
    l.delivery_id,
    l.decision_id,
    l.profile_id,
    l.channel,
    s.details
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
LEFT JOIN message_template AS t ON t.tenant_id = l.tenant_id AND t.template_id = l.template_id
-- The delivery of the choice before, whose end brought this one.
LEFT JOIN LATERAL (
    SELECT b.delivery_id, b.channel, b.state, b.reason
    FROM delivery_log AS b
    WHERE
        b.tenant_id = l.tenant_id
        AND b.decision_id = l.decision_id
        AND b.step = l.step
        AND b.choice < l.choice
    ORDER BY b.choice DESC
    LIMIT 1
) AS p ON true
CROSS JOIN LATERAL (
    VALUES
    (
        l.created_at,
        -- Made in the transaction that ended the one before: told after it.
        CASE WHEN p.delivery_id IS NULL THEN 2 ELSE 8 END,
        'created',
        CASE
            WHEN p.delivery_id IS NULL THEN ''
            WHEN p.reason = '' THEN format('%s by %s ended %s', p.delivery_id, p.channel, p.state)
            ELSE format('%s by %s ended %s: %s', p.delivery_id, p.channel, p.state, p.reason)
        END,
        jsonb_strip_nulls(jsonb_build_object(
            'step', l.step,
            'choice', l.choice,
            'follows', p.delivery_id,
            'purpose', l.purpose,
            'template', t.name,
            'template_id', l.template_id,
            'account_id', l.account_id,
            'recipient_ref', l.recipient_ref,
            'expires_at', l.expires_at,
            'resend_of', l.resend_of
        ))
    ),
    (
        l.updated_at, CASE WHEN p.delivery_id IS NULL THEN 7 ELSE 9 END, l.state, l.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'attempt_count', l.attempt_count,
            'in_doubt', l.in_doubt,
            'due_at', CASE WHEN l.state IN ('pending', 'retry_wait') THEN l.due_at END,
            'provider_message_id', NULLIF(l.provider_message_id, '')
        ))
    )
) AS s (at, rank, outcome, reason, details)
WHERE d.trigger_kind = 'event'

UNION ALL

-- An attempt has no id of its own: it goes by its delivery's, with its number and phase.
SELECT
    a.tenant_id,
    d.trigger_id,
    a.created_at,
    CASE a.phase WHEN 'intent' THEN 3 WHEN 'result' THEN 4 ELSE 5 END,
    'attempt',
    coalesce(a.kind, 'intent'),
    a.reason,
    a.delivery_id,
    a.delivery_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object(
        'attempt', a.attempt,
        'phase', a.phase,
        'epoch', a.epoch,
        'provider_class', NULLIF(a.provider_class, ''),
        'provider_code', NULLIF(a.provider_code, ''),
        'template_version', a.template_version
    ))
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
JOIN delivery_attempt AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
WHERE d.trigger_kind = 'event'

UNION ALL

SELECT
    c.tenant_id,
    d.trigger_id,
    c.received_at,
    6,
    'receipt',
    c.kind,
    '',
    c.receipt_id,
    c.delivery_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object('occurred_at', c.occurred_at))
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
JOIN delivery_receipt AS c ON c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id
WHERE d.trigger_kind = 'event';

-- migrate:down

CREATE OR REPLACE VIEW v_journey WITH (security_invoker = true) AS
SELECT
    e.tenant_id,
    e.event_id,
    e.received_at AS at,
    0 AS rank,
    'event' AS step,
    'received' AS outcome,
    '' AS reason,
    e.event_id AS id,
    NULL::uuid AS parent_id,
    p.profile_id,
    '' AS channel,
    jsonb_build_object(
        'event_type', e.event_type,
        'source', e.source,
        'occurred_at', e.occurred_at
    ) AS details
FROM marketing_event AS e
LEFT JOIN cdp_profiles AS p ON p.tenant_id = e.tenant_id AND p.ext_id = e.profile_ext_id

UNION ALL

SELECT
    d.tenant_id,
    d.trigger_id,
    d.decided_at,
    1,
    'decision',
    d.outcome,
    d.reason,
    d.decision_id,
    d.trigger_id,
    d.profile_id,
    '',
    jsonb_strip_nulls(jsonb_build_object(
        'ordinal', d.ordinal,
        'campaign', c.name,
        'rule', r.name,
        'rule_id', d.rule_id,
        'rule_version', d.rule_version,
        'segment_id', d.segment_id,
        'segment_version', d.segment_version,
        'profile_version', d.profile_version,
        'not_before', d.not_before,
        'expires_at', d.expires_at
    ))
FROM decision AS d
LEFT JOIN campaign AS c ON c.tenant_id = d.tenant_id AND c.campaign_id = d.campaign_id
LEFT JOIN activation_rule AS r ON r.tenant_id = d.tenant_id AND r.rule_id = d.rule_id
WHERE d.trigger_kind = 'event'

UNION ALL

-- Twice: when it was made, and since when it stands where it stands.
SELECT
    l.tenant_id,
    d.trigger_id,
    s.at,
    s.rank,
    'delivery',
    s.outcome,
    s.reason,
    l.delivery_id,
    l.decision_id,
    l.profile_id,
    l.channel,
    s.details
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
LEFT JOIN message_template AS t ON t.tenant_id = l.tenant_id AND t.template_id = l.template_id
CROSS JOIN LATERAL (
    VALUES
    (
        l.created_at, 2, 'created', '',
        jsonb_strip_nulls(jsonb_build_object(
            'choice', l.choice,
            'purpose', l.purpose,
            'template', t.name,
            'template_id', l.template_id,
            'account_id', l.account_id,
            'recipient_ref', l.recipient_ref,
            'expires_at', l.expires_at,
            'resend_of', l.resend_of
        ))
    ),
    (
        l.updated_at, 7, l.state, l.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'attempt_count', l.attempt_count,
            'in_doubt', l.in_doubt,
            'due_at', CASE WHEN l.state IN ('pending', 'retry_wait') THEN l.due_at END,
            'provider_message_id', NULLIF(l.provider_message_id, '')
        ))
    )
) AS s (at, rank, outcome, reason, details)
WHERE d.trigger_kind = 'event'

UNION ALL

-- An attempt has no id of its own: it goes by its delivery's, with its number and phase.
SELECT
    a.tenant_id,
    d.trigger_id,
    a.created_at,
    CASE a.phase WHEN 'intent' THEN 3 WHEN 'result' THEN 4 ELSE 5 END,
    'attempt',
    coalesce(a.kind, 'intent'),
    a.reason,
    a.delivery_id,
    a.delivery_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object(
        'attempt', a.attempt,
        'phase', a.phase,
        'epoch', a.epoch,
        'provider_class', NULLIF(a.provider_class, ''),
        'provider_code', NULLIF(a.provider_code, ''),
        'template_version', a.template_version
    ))
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
JOIN delivery_attempt AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
WHERE d.trigger_kind = 'event'

UNION ALL

SELECT
    c.tenant_id,
    d.trigger_id,
    c.received_at,
    6,
    'receipt',
    c.kind,
    '',
    c.receipt_id,
    c.delivery_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object('occurred_at', c.occurred_at))
FROM decision AS d
JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
JOIN delivery_receipt AS c ON c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id
WHERE d.trigger_kind = 'event';
