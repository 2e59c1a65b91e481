-- migrate:up

-- A choice follows only one that reached nobody: the ledger names those that follow another.

-- Nothing but the next choices, and those of people whom the first of a rule could not reach. A
-- million rows are looked through in a second, during which senders wait; CONCURRENTLY would keep
-- the rest of this file out of its transaction.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_next_choice_v1 ON delivery_log (tenant_id, decision_id)
WHERE choice > 0;

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

UNION ALL

-- Only what follows another choice is looked at: few do.
SELECT 'A2', n.tenant_id, n.decision_id, b.detail
FROM delivery_log AS n
CROSS JOIN LATERAL (
    SELECT format('choice %s followed choice %s, which is %s', n.choice, l.choice, l.state) AS detail
    FROM delivery_log AS l
    WHERE l.tenant_id = n.tenant_id AND l.decision_id = n.decision_id
        AND l.step = n.step AND l.choice < n.choice
        AND l.state NOT IN ('failed', 'suppressed', 'expired')
    ORDER BY l.choice
    LIMIT 1
) AS b
WHERE n.choice > 0
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

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_next_choice_v1;
