-- migrate:up

CREATE TABLE campaign_launch (
    tenant_id uuid NOT NULL,
    launch_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    rule_version int NOT NULL,
    snapshot_id uuid NOT NULL,
    state text NOT NULL
        CONSTRAINT campaign_launch_state_check CHECK (state IN ('running', 'succeeded')),
    actor text NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, launch_id),
    CONSTRAINT campaign_launch_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT campaign_launch_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, rule_id, rule_version)
        REFERENCES activation_rule_version (tenant_id, rule_id, version),
    FOREIGN KEY (tenant_id, snapshot_id) REFERENCES segment_snapshot (tenant_id, snapshot_id)
);

COMMENT ON TABLE campaign_launch IS
    'A rule, in one version, asked about everybody in a snapshot. Written by decision.';
COMMENT ON COLUMN campaign_launch.state IS
    'running until every member is decided about. How many are stands in their decisions alone.';
COMMENT ON COLUMN campaign_launch.actor IS 'Who launched it: the decisions are made on their behalf.';

CREATE INDEX campaign_launch_running_v1 ON campaign_launch (tenant_id, launch_id)
WHERE state = 'running';
CREATE INDEX campaign_launch_campaign_v1 ON campaign_launch (tenant_id, campaign_id, launch_id);

CREATE TRIGGER update_timestamp BEFORE UPDATE ON campaign_launch
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('campaign_launch');
GRANT SELECT, INSERT, UPDATE (state) ON campaign_launch TO leo_decision;
GRANT SELECT, DELETE ON campaign_launch TO leo_eraser;
GRANT SELECT (tenant_id, state) ON campaign_launch TO leo_finder;
CREATE POLICY finder_looks ON campaign_launch FOR SELECT TO leo_finder USING (true);

-- Tells who of a launch is decided about, and counts its decisions by outcome, without reading them.
-- Empty before the first launch, so making it takes one look through the decisions.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX decision_launch_v1 ON decision (tenant_id, trigger_id, profile_id) INCLUDE (outcome)
WHERE trigger_kind = 'launch';

-- What followed from whatever set a decision off. Each half of v_journey looks through it by an id
-- of one kind, so that the index on triggers finds it.
CREATE VIEW v_consequence WITH (security_invoker = true) AS
SELECT
    d.tenant_id,
    d.trigger_kind,
    d.trigger_id,
    d.decided_at AS at,
    1 AS rank,
    'decision' AS step,
    d.outcome,
    d.reason,
    d.decision_id AS id,
    d.trigger_id AS parent_id,
    d.profile_id,
    '' AS channel,
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
    )) AS details
FROM decision AS d
LEFT JOIN campaign AS c ON c.tenant_id = d.tenant_id AND c.campaign_id = d.campaign_id
LEFT JOIN activation_rule AS r ON r.tenant_id = d.tenant_id AND r.rule_id = d.rule_id

UNION ALL

-- Twice: when it was made, and since when it stands where it stands.
SELECT
    l.tenant_id,
    d.trigger_kind,
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

UNION ALL

-- An attempt has no id of its own: it goes by its delivery's, with its number and phase.
SELECT
    a.tenant_id,
    d.trigger_kind,
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

UNION ALL

SELECT
    c.tenant_id,
    d.trigger_kind,
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
JOIN delivery_receipt AS c ON c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id;

COMMENT ON VIEW v_consequence IS
    'Decisions, deliveries, attempts and receipts by what set them off. v_journey is made of it.';

GRANT SELECT ON v_consequence TO leo_decision, leo_auditor;

-- A launch has a journey too: of one of its people, or of all.
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
    ) AS details,
    NULL::uuid AS launch_id
FROM marketing_event AS e
LEFT JOIN cdp_profiles AS p ON p.tenant_id = e.tenant_id AND p.ext_id = e.profile_ext_id

UNION ALL

SELECT
    tenant_id, trigger_id,
    at, rank, step, outcome, reason, id, parent_id, profile_id, channel, details,
    NULL::uuid
FROM v_consequence
WHERE trigger_kind = 'event'

UNION ALL

-- Of everybody whom it goes to; each one's own story begins with their decision.
SELECT
    n.tenant_id,
    NULL::uuid,
    n.created_at,
    0,
    'launch',
    n.state,
    '',
    n.launch_id,
    NULL::uuid,
    NULL::uuid,
    '',
    jsonb_build_object(
        'campaign', c.name,
        'rule', r.name,
        'rule_id', n.rule_id,
        'rule_version', n.rule_version,
        'snapshot_id', n.snapshot_id
    ),
    n.launch_id
FROM campaign_launch AS n
JOIN campaign AS c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
JOIN activation_rule AS r ON r.tenant_id = n.tenant_id AND r.rule_id = n.rule_id

UNION ALL

SELECT
    tenant_id, NULL::uuid,
    at, rank, step, outcome, reason, id, parent_id, profile_id, channel, details,
    trigger_id
FROM v_consequence
WHERE trigger_kind = 'launch';

COMMENT ON VIEW v_journey IS
    'All that happened about an event, a launch or a profile, also what was decided not to do, and '
    'why: ask for one tenant and event_id, launch_id or profile_id, ORDER BY at, rank. No personal '
    'data.';

-- Counts first, by indexes alone; only a launch whose counts differ is gone through. Who was erased
-- has neither a profile nor a decision.
CREATE FUNCTION ledger_launches_v1()
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT 'A17', p.tenant_id, p.launch_id, b.detail
FROM (
    SELECT
        coalesce(n.tenant_id, d.tenant_id) AS tenant_id,
        coalesce(n.launch_id, d.trigger_id) AS launch_id,
        n.snapshot_id,
        n.state,
        s.member_count,
        coalesce(d.decision_count, 0) AS decision_count
    FROM campaign_launch AS n
    JOIN segment_snapshot AS s ON s.tenant_id = n.tenant_id AND s.snapshot_id = n.snapshot_id
    FULL JOIN (
        SELECT tenant_id, trigger_id, count(*) AS decision_count
        FROM decision
        WHERE trigger_kind = 'launch'
        GROUP BY tenant_id, trigger_id
    ) AS d ON d.tenant_id = n.tenant_id AND d.trigger_id = n.launch_id
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT format('%s decisions of a launch that is not there', p.decision_count) AS detail
    WHERE p.state IS NULL
    UNION ALL
    SELECT format('%s decisions about %s members', p.decision_count, p.member_count)
    WHERE p.decision_count > p.member_count
    UNION ALL
    SELECT format('succeeded, and nothing is decided about %s members', m.missing_count)
    FROM (
        SELECT count(*) AS missing_count
        FROM segment_snapshot_member AS m
        CROSS JOIN LATERAL unnest(m.profile_nos) AS u (profile_no)
        JOIN cdp_profiles AS f ON f.tenant_id = m.tenant_id AND f.profile_no = u.profile_no
        LEFT JOIN decision AS d
            ON d.tenant_id = p.tenant_id AND d.trigger_kind = 'launch'
            AND d.trigger_id = p.launch_id AND d.profile_id = f.profile_id
        WHERE p.state = 'succeeded' AND p.decision_count < p.member_count
            AND m.tenant_id = p.tenant_id AND m.snapshot_id = p.snapshot_id
            AND d.decision_id IS NULL
    ) AS m
    WHERE m.missing_count > 0
) AS b
$$;

COMMENT ON FUNCTION ledger_launches_v1() IS 'A17: launches and their decisions.';

GRANT EXECUTE ON FUNCTION ledger_launches_v1() TO leo_decision, leo_dispatch, leo_auditor;
-- What the ledger asks, for its third reader.
GRANT SELECT (tenant_id, launch_id, snapshot_id, state) ON campaign_launch TO leo_dispatch;
GRANT SELECT (tenant_id, snapshot_id, member_count) ON segment_snapshot TO leo_dispatch;
GRANT SELECT (tenant_id, snapshot_id, profile_nos) ON segment_snapshot_member TO leo_dispatch;

CREATE OR REPLACE FUNCTION ledger_breach(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT * FROM (
    SELECT * FROM ledger_events_v1(grace)
    UNION ALL SELECT * FROM ledger_decisions_v1(grace)
    UNION ALL SELECT * FROM ledger_flights_v1(grace)
    UNION ALL SELECT * FROM ledger_deliveries_v1(grace)
    UNION ALL SELECT * FROM ledger_cooldowns_v1()
    UNION ALL SELECT * FROM ledger_receipts_v1()
    UNION ALL SELECT * FROM ledger_launches_v1()
) AS breach
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION ledger_breach(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT * FROM (
    SELECT * FROM ledger_events_v1(grace)
    UNION ALL SELECT * FROM ledger_decisions_v1(grace)
    UNION ALL SELECT * FROM ledger_flights_v1(grace)
    UNION ALL SELECT * FROM ledger_deliveries_v1(grace)
    UNION ALL SELECT * FROM ledger_cooldowns_v1()
    UNION ALL SELECT * FROM ledger_receipts_v1()
) AS breach
$$;

DROP FUNCTION ledger_launches_v1();
REVOKE SELECT (tenant_id, snapshot_id, profile_nos) ON segment_snapshot_member FROM leo_dispatch;
REVOKE SELECT (tenant_id, snapshot_id, member_count) ON segment_snapshot FROM leo_dispatch;
DROP VIEW v_journey;
DROP VIEW v_consequence;

CREATE VIEW v_journey WITH (security_invoker = true) AS
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

COMMENT ON VIEW v_journey IS
    'All that happened about an event or a profile, also what was decided not to do, and why: '
    'ask for one tenant and event_id or profile_id, ORDER BY at, rank. No personal data.';

GRANT SELECT ON v_journey TO leo_decision, leo_auditor;

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX decision_launch_v1;
DROP TABLE campaign_launch;
