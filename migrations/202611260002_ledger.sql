-- migrate:up

-- The ledger with fewer passes and, above all, fewer questions in detail: deliveries that were tried
-- again or are in doubt, and decisions with more than one choice, are ordinary too.

-- Empty but for what is under way. A million rows are looked through in a second, during which
-- senders wait; CONCURRENTLY would keep the rest of this file out of its transaction.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_open_v1 ON delivery_log (tenant_id, decision_id)
WHERE state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown');

CREATE OR REPLACE FUNCTION ledger_decisions_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 4000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_hashagg = off
SET enable_sort = off
AS $$
-- Each delivery of a decision leads to all of them.
SELECT DISTINCT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT
        coalesce(d.tenant_id, l.tenant_id) AS tenant_id,
        coalesce(d.decision_id, l.decision_id) AS decision_id,
        d.outcome
    FROM decision AS d
    FULL JOIN delivery_log AS l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
    WHERE (d.outcome IS NOT DISTINCT FROM 'acted') <> (l.decision_id IS NOT NULL)
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        'A2' AS equation,
        p.decision_id AS subject_id,
        format('decided at %s to act, and there is no delivery', d.decided_at) AS detail
    FROM decision AS d
    WHERE p.outcome = 'acted'
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
) AS b

UNION ALL

SELECT 'A2', o.tenant_id, o.decision_id, format('%s choices are open at once', c.open_count)
FROM (
    SELECT tenant_id, decision_id
    FROM delivery_log
    WHERE state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown')
    GROUP BY tenant_id, decision_id
    HAVING count(*) > 1
    OFFSET 0
) AS o
CROSS JOIN LATERAL (
    SELECT count(DISTINCT (l.step, l.choice)) AS open_count
    FROM delivery_log AS l
    WHERE l.tenant_id = o.tenant_id AND l.decision_id = o.decision_id
        AND l.state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown')
) AS c
WHERE c.open_count > 1
$$;

CREATE OR REPLACE FUNCTION ledger_deliveries_v1(grace interval)
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
        -- Two sums say what a history looks like, where more would take longer. Rows of an attempt
        -- are unique, and up to nine attempts do not carry over, so the digits of `code` are, from
        -- the right: numbers of the intents (2), of the results for now (2), of the last words (2),
        -- and how many of these are yes, no and no answer (1 each).
        SELECT
            tenant_id,
            delivery_id,
            count(*) AS row_count,
            sum(CASE
                WHEN epoch <> attempt OR attempt > 9 OR phase = 'late' THEN 2000000000
                WHEN kind IS NULL THEN attempt
                WHEN kind = 'accepted' THEN 1000000 + 10000 * attempt
                WHEN kind = 'retry_at' THEN 100 * attempt
                WHEN kind = 'rejected' THEN 10000000 + 10000 * attempt
                ELSE 100000000 + 10000 * attempt
            END) AS code
        FROM delivery_attempt
        GROUP BY tenant_id, delivery_id
    ) AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
    -- Nothing to ask about those that were never handed to a provider, and about those of n attempts
    -- with an answer to each: n - 1 for now and a last word that agrees with the state, or all of
    -- them for now. So many rows with these sums are the numbers 1 to n, once each, and no others.
    WHERE CASE
        WHEN a.row_count IS NULL THEN l.attempt_count <> 0
            OR l.state NOT IN ('pending', 'suppressed', 'expired', 'cancelled', 'dead_letter')
        ELSE (
            a.row_count = 2 * l.attempt_count
            AND CASE a.code - 101 * (l.attempt_count * (l.attempt_count + 1) / 2)
                WHEN 1000000 + 9900 * l.attempt_count THEN l.state = 'accepted'
                WHEN 0 THEN l.state IN (
                    'retry_wait', 'failed', 'suppressed', 'expired', 'cancelled', 'dead_letter'
                )
                WHEN 10000000 + 9900 * l.attempt_count THEN l.state = 'failed'
                WHEN 100000000 + 9900 * l.attempt_count
                    THEN l.state IN ('outcome_unknown', 'closed_unknown')
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

CREATE OR REPLACE FUNCTION ledger_receipts_v1()
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
        -- Which is soon said of most.
        AND (l.state = 'accepted') IS NOT TRUE
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

-- migrate:down

CREATE OR REPLACE FUNCTION ledger_decisions_v1(grace interval)
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

CREATE OR REPLACE FUNCTION ledger_deliveries_v1(grace interval)
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

CREATE OR REPLACE FUNCTION ledger_receipts_v1()
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

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_open_v1;
