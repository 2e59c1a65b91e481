-- migrate:up

-- A tenant is suspended and resumed, and in the end removed: its row stays, in the last state.
-- The table has a row a tenant: nobody waits for the check.
-- squawk-ignore ban-drop-constraint
ALTER TABLE tenant DROP CONSTRAINT tenant_state_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE tenant ADD CONSTRAINT tenant_state_check
CHECK (state IN ('active', 'suspended', 'removing', 'removed'));

GRANT UPDATE (state) ON tenant TO leo_ingest;

-- Who administers tenants sees all of them, in a transaction that says so. Nothing else of a tenant
-- is seen by it.
CREATE POLICY platform_reads ON tenant FOR SELECT TO leo_ingest
USING ((SELECT current_setting('leo.platform', true)) = 'on');

CREATE FUNCTION enter_platform_v1() RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM set_config('leo.platform', 'on', true);
END
$$;

COMMENT ON FUNCTION enter_platform_v1() IS
    'Lets the transaction see every row of tenant, and of no other table.';

GRANT EXECUTE ON FUNCTION enter_platform_v1() TO leo_ingest;

-- Workers leave out tenants that are being removed.
GRANT SELECT (state) ON tenant TO leo_finder;

-- What a suspended tenant's deliveries wait for is a person.
CREATE OR REPLACE FUNCTION ledger_flights_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT 'A3', l.tenant_id, l.delivery_id, format('sending since %s', l.updated_at)
FROM delivery_log AS l
WHERE l.state = 'sending' AND l.updated_at <= leo_now() - grace
UNION ALL
-- What waits for a person to look after its account or its tenant is at rest.
SELECT 'A3', l.tenant_id, l.delivery_id, format('%s, and due since %s', l.state, l.due_at)
FROM delivery_log AS l
WHERE l.state IN ('pending', 'retry_wait') AND l.due_at <= leo_now() - grace
    AND NOT EXISTS (
        SELECT FROM channel_account AS c
        WHERE c.tenant_id = l.tenant_id AND c.account_id = l.account_id AND c.paused_reason <> ''
    )
    AND NOT EXISTS (
        SELECT FROM tenant AS t WHERE t.tenant_id = l.tenant_id AND t.state <> 'active'
    )
$$;

-- Of a tenant that is being removed half is gone: what is left does not have to balance.
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
    -- Asked of each function's rows, the question below would keep them all in one process.
    OFFSET 0
) AS breach
WHERE (
    SELECT true FROM tenant AS t WHERE t.tenant_id = breach.tenant_id AND t.state = 'removing'
) IS NULL
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
    UNION ALL SELECT * FROM ledger_launches_v1()
) AS breach
$$;
CREATE OR REPLACE FUNCTION ledger_flights_v1(grace interval)
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
REVOKE SELECT (state) ON tenant FROM leo_finder;
DROP FUNCTION enter_platform_v1();
DROP POLICY platform_reads ON tenant;
REVOKE UPDATE (state) ON tenant FROM leo_ingest;
-- Refused while a tenant is not active: the version below would send for it.
-- squawk-ignore ban-drop-constraint
ALTER TABLE tenant DROP CONSTRAINT tenant_state_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE tenant ADD CONSTRAINT tenant_state_check CHECK (state IN ('active'));
