-- migrate:up

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

COMMENT ON VIEW v_journey IS
    'All that happened about an event or a profile, also what was decided not to do, and why: '
    'ask for one tenant and event_id or profile_id, ORDER BY at, rank. No personal data.';

GRANT SELECT ON v_journey TO leo_decision, leo_auditor;

-- Receipts come in any order and more than once: the furthest one counts, and what is wrong stands
-- beside it.
CREATE VIEW v_delivery_reached WITH (security_invoker = true) AS
SELECT
    l.tenant_id,
    l.delivery_id,
    (ARRAY['', 'sent', 'delivered', 'read', 'clicked'])[c.furthest] AS reached,
    c.bounced,
    c.complained,
    c.failed
FROM delivery_log AS l
CROSS JOIN LATERAL (
    SELECT
        coalesce(
            max(array_position(ARRAY['', 'sent', 'delivered', 'read', 'clicked'], kind)), 1
        ) AS furthest,
        coalesce(bool_or(kind = 'bounced'), false) AS bounced,
        coalesce(bool_or(kind = 'complained'), false) AS complained,
        coalesce(bool_or(kind = 'failed'), false) AS failed
    FROM delivery_receipt
    WHERE tenant_id = l.tenant_id AND delivery_id = l.delivery_id
) AS c;

COMMENT ON VIEW v_delivery_reached IS
    'How far each delivery got by its receipts: empty < sent < delivered < read < clicked, with '
    'bounced, complained and failed beside it.';

GRANT SELECT ON v_delivery_reached TO leo_decision, leo_dispatch, leo_auditor;

-- What must always balance. Each function compares two neighbours in the order of their indexes
-- without reading a row, which takes half the time of hashing them, and asks in detail only about
-- what does not look like most; OFFSET 0 keeps the planner from mixing the two. Each runs in a
-- process of its own where there are some to spare.

CREATE FUNCTION ledger_events_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 5000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
SELECT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT coalesce(e.tenant_id, d.tenant_id) AS tenant_id, e.event_id, d.trigger_id
    FROM marketing_event AS e
    FULL JOIN (
        SELECT tenant_id, trigger_id FROM decision WHERE trigger_kind = 'event' AND ordinal = 0
    ) AS d ON d.tenant_id = e.tenant_id AND d.trigger_id = e.event_id
    WHERE e.event_id IS NULL OR d.trigger_id IS NULL
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        'A1' AS equation,
        p.event_id AS subject_id,
        format('event received at %s, and nothing is decided about it', e.received_at) AS detail
    FROM marketing_event AS e
    WHERE p.trigger_id IS NULL
        AND e.tenant_id = p.tenant_id AND e.event_id = p.event_id
        AND e.received_at <= leo_now() - grace
    UNION ALL
    SELECT 'A11', d.decision_id, format('the event of the decision is of tenant %s', e.tenant_id)
    FROM decision AS d
    CROSS JOIN tenant AS t
    JOIN marketing_event AS e ON e.tenant_id = t.tenant_id AND e.event_id = d.trigger_id
    WHERE p.event_id IS NULL
        AND d.tenant_id = p.tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = p.trigger_id
) AS b
$$;

COMMENT ON FUNCTION ledger_events_v1(interval) IS 'A1, A11: events and their decisions.';

CREATE FUNCTION ledger_decisions_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 4000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
SELECT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT
        coalesce(d.tenant_id, l.tenant_id) AS tenant_id,
        coalesce(d.decision_id, l.decision_id) AS decision_id,
        d.outcome,
        l.delivery_count
    FROM decision AS d
    FULL JOIN (
        SELECT tenant_id, decision_id, count(*) AS delivery_count
        FROM delivery_log
        GROUP BY tenant_id, decision_id
    ) AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
    WHERE (d.outcome IS NOT DISTINCT FROM 'acted') <> (l.delivery_count IS NOT NULL)
        OR l.delivery_count > 1
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        'A2' AS equation,
        p.decision_id AS subject_id,
        format('decided at %s to act, and there is no delivery', d.decided_at) AS detail
    FROM decision AS d
    WHERE p.delivery_count IS NULL
        AND d.tenant_id = p.tenant_id AND d.decision_id = p.decision_id
        AND d.decided_at <= leo_now() - grace
    UNION ALL
    SELECT
        CASE WHEN o.tenant_id IS NULL THEN 'A2' ELSE 'A11' END,
        l.delivery_id,
        CASE
            WHEN o.tenant_id IS NOT NULL
                THEN format('the decision of the delivery is of tenant %s', o.tenant_id)
            WHEN p.outcome IS NULL THEN 'a delivery without a decision'
            ELSE format('a delivery of a decision that does not act: %s', p.outcome)
        END
    FROM delivery_log AS l
    LEFT JOIN LATERAL (
        SELECT d.tenant_id
        FROM tenant AS t
        JOIN decision AS d ON d.tenant_id = t.tenant_id AND d.decision_id = l.decision_id
        WHERE p.outcome IS NULL
        LIMIT 1
    ) AS o ON true
    WHERE p.outcome IS DISTINCT FROM 'acted'
        AND l.tenant_id = p.tenant_id AND l.decision_id = p.decision_id
    UNION ALL
    SELECT 'A2', p.decision_id, format('%s choices are open at once', c.open_count)
    FROM (
        SELECT count(DISTINCT (l.step, l.choice)) AS open_count
        FROM delivery_log AS l
        WHERE p.delivery_count > 1
            AND l.tenant_id = p.tenant_id AND l.decision_id = p.decision_id
            AND l.state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown')
    ) AS c
    WHERE c.open_count > 1
) AS b
$$;

COMMENT ON FUNCTION ledger_decisions_v1(interval) IS 'A2, A11: decisions and their deliveries.';

CREATE FUNCTION ledger_flights_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT 'A3', l.tenant_id, l.delivery_id, format('sending since %s', l.updated_at)
FROM delivery_log AS l
WHERE l.state = 'sending' AND l.updated_at <= leo_now() - grace
UNION ALL
-- What waits for a person to look after its account is at rest.
SELECT 'A3', l.tenant_id, l.delivery_id, format('%s, and due since %s', l.state, l.due_at)
FROM delivery_log AS l
WHERE l.state IN ('pending', 'retry_wait') AND l.due_at <= leo_now() - grace
    AND NOT EXISTS (
        SELECT FROM channel_account AS c
        WHERE c.tenant_id = l.tenant_id AND c.account_id = l.account_id AND c.paused_reason <> ''
    )
$$;

COMMENT ON FUNCTION ledger_flights_v1(interval) IS 'A3: deliveries that should have come to rest.';

CREATE FUNCTION ledger_deliveries_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 8000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
SELECT f.equation, p.tenant_id, p.delivery_id, f.detail
FROM (
    SELECT
        coalesce(l.tenant_id, a.tenant_id) AS tenant_id,
        coalesce(l.delivery_id, a.delivery_id) AS delivery_id,
        l.state,
        l.state IN ('failed', 'suppressed', 'expired', 'cancelled', 'dead_letter') AS denied,
        l.attempt_count
    FROM delivery_log AS l
    FULL JOIN (
        SELECT
            tenant_id,
            delivery_id,
            count(*) AS row_count,
            count(kind) AS kind_count,
            max(kind) AS kind,
            max(attempt) AS attempt,
            max(phase) AS phase,
            min(epoch) AS first_epoch,
            max(epoch) AS last_epoch
        FROM delivery_attempt
        GROUP BY tenant_id, delivery_id
    ) AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
    -- Most were handed to a provider once, or not at all: nothing to ask about them.
    WHERE CASE
        WHEN a.row_count IS NULL THEN l.attempt_count <> 0
            OR l.state NOT IN ('pending', 'suppressed', 'expired', 'cancelled', 'dead_letter')
        ELSE (
            l.attempt_count = 1
            AND a.row_count = 2 AND a.kind_count = 1 AND a.attempt = 1 AND a.phase = 'result'
            AND a.first_epoch = a.last_epoch
            AND l.state = CASE a.kind
                WHEN 'accepted' THEN 'accepted'
                WHEN 'rejected' THEN 'failed'
                WHEN 'retry_at' THEN 'retry_wait'
            END
        ) IS NOT TRUE
    END
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE phase = 'intent') AS intent_count,
        count(*) FILTER (WHERE phase = 'result') AS result_count,
        count(*) FILTER (WHERE phase = 'intent')
        - count(*) FILTER (WHERE phase = 'result') AS open_count,
        count(*) FILTER (WHERE phase = 'result' AND kind = 'unknown')
        - count(*) FILTER (WHERE phase = 'late' AND kind <> 'unknown') AS doubt_count,
        count(*) FILTER (WHERE kind = 'accepted') AS accepted_count,
        coalesce(max(attempt) FILTER (WHERE phase = 'intent'), 0) AS last_intent,
        coalesce(max(attempt) FILTER (WHERE phase = 'result'), 0) AS last_result,
        max(attempt) FILTER (
            WHERE phase = 'result' AND kind IN ('accepted', 'rejected')
        ) AS last_final,
        coalesce(max(created_at) <= leo_now() - grace, true) AS settled
    FROM delivery_attempt
    WHERE tenant_id = p.tenant_id AND delivery_id = p.delivery_id
) AS a
-- Questions that need a look into other rows are scalar sub-selects: an EXISTS might be hashed over
-- all rows.
CROSS JOIN LATERAL (
    SELECT d.tenant_id AS elsewhere
    FROM (SELECT) AS nowhere
    LEFT JOIN (
        tenant AS t
        JOIN delivery_log AS d ON d.tenant_id = t.tenant_id
    ) ON p.state IS NULL AND d.delivery_id = p.delivery_id
    LIMIT 1
) AS o
CROSS JOIN LATERAL (
    VALUES
    (
        p.state IS NULL AND o.elsewhere IS NULL, 'A2', 'attempts without a delivery'
    ),
    (
        o.elsewhere IS NOT NULL, 'A11',
        format('the delivery of the attempts is of tenant %s', o.elsewhere)
    ),
    (
        p.state = 'accepted' AND a.accepted_count = 0 AND (
            SELECT count(*)
            FROM delivery_receipt AS c
            WHERE c.tenant_id = p.tenant_id AND c.delivery_id = p.delivery_id
                AND c.kind IN ('sent', 'delivered', 'read', 'clicked')
        ) = 0,
        'A6', 'accepted, but no result and no receipt says so'
    ),
    (
        p.denied AND a.accepted_count > 0, 'A6', format('%s, but an attempt was accepted', p.state)
    ),
    (
        p.denied AND (a.open_count > 0 OR a.doubt_count > 0), 'A6',
        format('%s, but an attempt is without an answer', p.state)
    ),
    (
        p.state IN ('pending', 'retry_wait', 'outcome_unknown') AND a.accepted_count > 0
        AND a.settled,
        'A6', format('%s, but an attempt was accepted', p.state)
    ),
    (
        p.state = 'outcome_unknown' AND a.accepted_count + a.open_count + a.doubt_count = 0
        AND a.settled,
        'A6', 'outcome_unknown, but every attempt has its answer'
    ),
    (
        a.open_count <> CASE WHEN p.state = 'sending' THEN 1 ELSE 0 END
        AND NOT (p.denied AND a.open_count > 0),
        'A7',
        format('%s with %s intents and %s results', p.state, a.intent_count, a.result_count)
    ),
    (
        p.attempt_count <> a.intent_count, 'A7',
        format('it counts %s attempts, but has %s intents', p.attempt_count, a.intent_count)
    ),
    (
        a.result_count > a.last_result, 'A7', 'an attempt has more than one result'
    ),
    (
        a.last_result > a.last_intent, 'A7', 'a result without an intent'
    ),
    (
        (
            SELECT count(*)
            FROM delivery_attempt AS b
            LEFT JOIN delivery_attempt AS r
                ON r.tenant_id = b.tenant_id AND r.delivery_id = b.delivery_id
                AND r.attempt = b.attempt AND r.phase = 'result' AND r.kind = 'unknown'
            WHERE b.tenant_id = p.tenant_id AND b.delivery_id = p.delivery_id
                AND b.phase = 'late' AND r.attempt IS NULL
        ) > 0,
        'A7', 'a late result without an ambiguous one that it corrects'
    ),
    (
        a.last_intent > a.intent_count, 'A14', 'the numbers of the attempts have a gap'
    ),
    (
        a.last_result > a.result_count, 'A14', 'an attempt began before the one before it ended'
    ),
    (
        a.last_final < a.last_intent, 'A14', 'an attempt after a final answer'
    ),
    (
        (
            SELECT count(*)
            FROM delivery_attempt AS i
            JOIN delivery_attempt AS b
                ON b.tenant_id = i.tenant_id AND b.delivery_id = i.delivery_id
            WHERE i.tenant_id = p.tenant_id AND i.delivery_id = p.delivery_id
                AND i.phase = 'intent'
                AND (
                    b.phase = 'intent' AND b.attempt = i.attempt + 1 AND b.epoch <= i.epoch
                    OR b.phase <> 'intent' AND b.attempt = i.attempt AND b.epoch < i.epoch
                )
        ) > 0,
        'A14', 'the epochs of the attempts do not rise'
    )
) AS f (broken, equation, detail)
WHERE f.broken
$$;

COMMENT ON FUNCTION ledger_deliveries_v1(interval) IS
    'A2, A6, A7, A11, A14: deliveries and their attempts.';

CREATE FUNCTION ledger_cooldowns_v1()
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 4000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
SELECT
    'A8',
    p.tenant_id,
    (
        SELECT d.decision_id
        FROM decision AS d
        WHERE d.outcome = 'acted' AND d.tenant_id = p.tenant_id AND d.rule_id = p.rule_id
            AND d.profile_id = p.profile_id AND d.decided_at = p.decided_at
        LIMIT 1
    ),
    format('acted %s after the rule had acted before, within %s', p.gap, p.cooldown)
FROM (
    SELECT
        tenant_id,
        rule_id,
        profile_id,
        decided_at,
        cooldown,
        decided_at - lag(decided_at) OVER (
            PARTITION BY tenant_id, rule_id, profile_id ORDER BY decided_at
        ) AS gap
    FROM decision
    WHERE outcome = 'acted'
) AS p
WHERE p.gap < p.cooldown
$$;

COMMENT ON FUNCTION ledger_cooldowns_v1() IS 'A8: acting decisions of one rule and profile.';

CREATE FUNCTION ledger_receipts_v1()
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 3000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
-- Each of a delivery's receipts leads to all of them.
SELECT DISTINCT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT c.tenant_id, c.delivery_id, l.state
    FROM delivery_receipt AS c
    LEFT JOIN delivery_log AS l ON l.tenant_id = c.tenant_id AND l.delivery_id = c.delivery_id
    WHERE c.delivery_id IS NOT NULL
        AND coalesce(
            l.state IN ('failed', 'suppressed', 'expired', 'cancelled', 'dead_letter'), true
        )
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN p.state IS NOT NULL THEN 'A6' WHEN o.tenant_id IS NULL THEN 'A2' ELSE 'A11' END
            AS equation,
        CASE WHEN p.state IS NOT NULL THEN p.delivery_id ELSE c.receipt_id END AS subject_id,
        CASE
            WHEN p.state IS NOT NULL THEN format('%s, but a receipt says %s', p.state, c.kind)
            WHEN o.tenant_id IS NULL THEN 'a receipt without its delivery'
            ELSE format('the delivery of the receipt is of tenant %s', o.tenant_id)
        END AS detail
    FROM delivery_receipt AS c
    LEFT JOIN LATERAL (
        SELECT l.tenant_id
        FROM tenant AS t
        JOIN delivery_log AS l ON l.tenant_id = t.tenant_id AND l.delivery_id = c.delivery_id
        WHERE p.state IS NULL
        LIMIT 1
    ) AS o ON true
    WHERE c.tenant_id = p.tenant_id AND c.delivery_id = p.delivery_id
        -- A provider may say failed of what it never took.
        AND (p.state IS NULL OR c.kind NOT IN ('failed', 'other'))
    OFFSET 0
) AS b
$$;

COMMENT ON FUNCTION ledger_receipts_v1() IS 'A2, A6, A11: receipts and their deliveries.';

-- Not parallel safe, so that what it calls may be.
CREATE FUNCTION ledger_breach(grace interval)
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

COMMENT ON FUNCTION ledger_breach(interval) IS
    'Each violation of what must balance, leaving out what is younger than the grace; 0 when quiet.';

CREATE VIEW v_ledger_breach WITH (security_invoker = true) AS
SELECT * FROM ledger_breach(interval '30 seconds');

COMMENT ON VIEW v_ledger_breach IS 'What does not balance, with grace for hops in flight; empty.';

GRANT SELECT (paused_reason) ON channel_account TO leo_decision;
GRANT SELECT ON v_ledger_breach TO leo_decision, leo_dispatch, leo_auditor;
GRANT EXECUTE ON FUNCTION
    ledger_breach(interval),
    ledger_events_v1(interval),
    ledger_decisions_v1(interval),
    ledger_flights_v1(interval),
    ledger_deliveries_v1(interval),
    ledger_cooldowns_v1(),
    ledger_receipts_v1()
TO leo_decision, leo_dispatch, leo_auditor;

-- migrate:down

REVOKE SELECT (paused_reason) ON channel_account FROM leo_decision;
DROP VIEW v_ledger_breach;
DROP FUNCTION ledger_breach(interval);
DROP FUNCTION ledger_receipts_v1();
DROP FUNCTION ledger_cooldowns_v1();
DROP FUNCTION ledger_deliveries_v1(interval);
DROP FUNCTION ledger_flights_v1(interval);
DROP FUNCTION ledger_decisions_v1(interval);
DROP FUNCTION ledger_events_v1(interval);
DROP VIEW v_delivery_reached;
DROP VIEW v_journey;
