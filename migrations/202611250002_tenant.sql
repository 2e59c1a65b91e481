-- migrate:up

CREATE TABLE tenant (
    tenant_id uuid PRIMARY KEY,
    -- The one key across tenants: only who administers tenants may meet a taken name.
    name text NOT NULL CONSTRAINT tenant_name_key UNIQUE,
    display_name text NOT NULL DEFAULT '',
    time_zone text NOT NULL,
    state text NOT NULL CONSTRAINT tenant_state_check CHECK (state IN ('active')),
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    CONSTRAINT tenant_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

COMMENT ON TABLE tenant IS 'A customer of the platform. Written by ingest.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON tenant
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('tenant');
GRANT SELECT, INSERT ON tenant TO leo_ingest;
GRANT SELECT ON tenant TO leo_segment, leo_decision, leo_dispatch, leo_eraser;

-- Every transaction of a service starts here: one round trip sets whose rows it sees and how long a
-- statement may take, until it ends, and tells whether there is such a tenant.
CREATE FUNCTION enter_tenant_v1(p_tenant_id uuid, p_statement_timeout_ms int) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM
        set_config('leo.tenant_id', p_tenant_id::text, true),
        set_config('statement_timeout', p_statement_timeout_ms::text, true);
    RETURN (SELECT state FROM tenant WHERE tenant_id = p_tenant_id);
END
$$;

COMMENT ON FUNCTION enter_tenant_v1(uuid, int) IS
    'Sets the tenant and the statement time-out of the transaction; the state of the tenant or NULL.';

GRANT EXECUTE ON FUNCTION enter_tenant_v1(uuid, int) TO
    leo_ingest, leo_segment, leo_decision, leo_dispatch;

-- migrate:down

DROP FUNCTION enter_tenant_v1(uuid, int);
DROP TABLE tenant;
