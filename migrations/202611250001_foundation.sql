-- migrate:up

-- The one clock of every statement. A test database may replace it by a shifted one.
CREATE FUNCTION leo_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN now();

COMMENT ON FUNCTION leo_now() IS 'The one clock: the start of the transaction.';

GRANT EXECUTE ON FUNCTION leo_now() TO
    leo_ingest, leo_segment, leo_decision, leo_dispatch, leo_finder, leo_auditor, leo_eraser;

CREATE FUNCTION update_timestamp() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    NEW.updated_at := leo_now();
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION update_timestamp() IS 'Trigger: updated_at of a mutable table.';

-- Runs as whoever changes the table, so that current_user tells the door from everybody else.
CREATE FUNCTION refuse_change_v1() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_user = 'leo_eraser' AND TG_OP IN ('UPDATE', 'DELETE') THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'The one door out is a procedure owned by leo_eraser; TRUNCATE has none.';
END
$$;

COMMENT ON FUNCTION refuse_change_v1() IS
    'Trigger: lets nobody but leo_eraser update or delete, and nobody truncate.';

-- Policies and statement triggers of a partitioned table do not reach whoever names a partition
-- directly, so both procedures treat each partition as a table.

CREATE PROCEDURE isolate_tenants_v1(p_table regclass)
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT p_table UNION SELECT relid FROM pg_partition_tree(p_table) LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', v_table);
        -- The owner and the eraser are bound as well: their privileged functions see one tenant.
        -- The sub-select is evaluated once a statement; after SET LOCAL the setting is '', not NULL.
        EXECUTE format(
            $policy$
            CREATE POLICY tenant_isolation ON %s
            TO leo_ingest, leo_segment, leo_decision, leo_dispatch, leo_owner, leo_eraser
            USING (tenant_id = (SELECT NULLIF(current_setting('leo.tenant_id', true), '')::uuid))
            WITH CHECK (
                tenant_id = (SELECT NULLIF(current_setting('leo.tenant_id', true), '')::uuid)
            )
            $policy$,
            v_table
        );
        EXECUTE format(
            'CREATE POLICY auditor_reads ON %s FOR SELECT TO leo_auditor USING (true)', v_table
        );
    END LOOP;
    EXECUTE format('GRANT SELECT ON %s TO leo_auditor', p_table);
END
$$;

COMMENT ON PROCEDURE isolate_tenants_v1(regclass) IS
    'For migrations: each tenant sees its own rows of the table, the auditor all of them.';

CREATE PROCEDURE make_append_only_v1(p_table regclass)
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT p_table UNION SELECT relid FROM pg_partition_tree(p_table) LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1()',
            v_table
        );
    END LOOP;
END
$$;

COMMENT ON PROCEDURE make_append_only_v1(regclass) IS
    'For migrations: rows of the table stay as they were inserted.';

-- migrate:down

DROP PROCEDURE make_append_only_v1(regclass);
DROP PROCEDURE isolate_tenants_v1(regclass);
DROP FUNCTION refuse_change_v1();
DROP FUNCTION update_timestamp();
DROP FUNCTION leo_now();
