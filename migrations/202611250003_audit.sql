-- migrate:up

CREATE TABLE audit_entry (
    tenant_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    call_id text NOT NULL,
    recorded_table text,
    member_count int NOT NULL CONSTRAINT audit_entry_member_count_check CHECK (member_count >= 0),
    root bytea NOT NULL CONSTRAINT audit_entry_root_check CHECK (octet_length(root) = 32),
    details jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, entry_id)
);

COMMENT ON TABLE audit_entry IS
    'What was done, by whom: the root of a hash tree over the rows that one transaction recorded. '
    'Written by every service, through audit_append_v1() alone.';
COMMENT ON COLUMN audit_entry.root IS
    'leaf = SHA-256(0x00 || salt || canonical row), node = SHA-256(0x01 || left || right).';

CALL isolate_tenants_v1('audit_entry');
CALL make_append_only_v1('audit_entry');

-- A service can forge neither the tenant nor an entry outside this function: it has no INSERT.
CREATE FUNCTION audit_append_v1(
    p_entry_id uuid,
    p_kind text,
    p_actor text,
    p_call_id text,
    p_recorded_table text,
    p_member_count int,
    p_root bytea,
    p_details jsonb
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
BEGIN
    IF v_tenant_id IS NULL THEN
        RAISE EXCEPTION 'an audit entry needs a tenant: call enter_tenant_v1() first'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO audit_entry (
        tenant_id, entry_id, kind, actor, call_id, recorded_table, member_count, root, details
    )
    VALUES (
        v_tenant_id, p_entry_id, p_kind, p_actor, p_call_id, p_recorded_table, p_member_count,
        p_root, p_details
    );
END
$$;

COMMENT ON FUNCTION audit_append_v1(uuid, text, text, text, text, int, bytea, jsonb) IS
    'Appends an audit entry to the tenant of the transaction.';

GRANT EXECUTE ON FUNCTION audit_append_v1(uuid, text, text, text, text, int, bytea, jsonb) TO
    leo_ingest, leo_segment, leo_decision, leo_dispatch, leo_eraser;

CREATE TABLE audit_seal (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT audit_seal_seq_check CHECK (seq > 0),
    entry_id uuid NOT NULL,
    prev bytea NOT NULL CONSTRAINT audit_seal_prev_check CHECK (octet_length(prev) = 32),
    hash bytea NOT NULL CONSTRAINT audit_seal_hash_check CHECK (octet_length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, seq),
    CONSTRAINT audit_seal_entry_key UNIQUE (tenant_id, entry_id),
    FOREIGN KEY (tenant_id, entry_id) REFERENCES audit_entry (tenant_id, entry_id)
);

COMMENT ON TABLE audit_seal IS
    'The chain over the audit entries of a tenant, a link an entry. Written by decision.';

CALL isolate_tenants_v1('audit_seal');
CALL make_append_only_v1('audit_seal');

-- migrate:down

DROP TABLE audit_seal;
DROP FUNCTION audit_append_v1(uuid, text, text, text, text, int, bytea, jsonb);
DROP TABLE audit_entry;
