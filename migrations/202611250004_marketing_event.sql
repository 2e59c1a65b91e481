-- migrate:up

-- No foreign key to tenant: every event would lock one row of it. enter_tenant_v1() asks once a
-- transaction.
CREATE TABLE marketing_event (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    source text NOT NULL,
    source_event_id text,
    event_type text NOT NULL,
    profile_ext_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT leo_now(),
    properties jsonb NOT NULL,
    body_digest bytea NOT NULL
        CONSTRAINT marketing_event_body_digest_check CHECK (octet_length(body_digest) = 32),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, event_id)
) PARTITION BY HASH (tenant_id, event_id);

COMMENT ON TABLE marketing_event IS 'What happened, as a client said it, once. Written by ingest.';
COMMENT ON COLUMN marketing_event.body_digest IS
    'SHA-256 of the client''s own fields: the same identity with another digest is refused.';
COMMENT ON COLUMN marketing_event.transaction_id IS
    'Who reads behind a watermark must not pass the oldest running transaction, or would miss a slow one.';

DO $$
BEGIN
    FOR v_remainder IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF marketing_event FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            'marketing_event_p' || lpad(v_remainder::text, 2, '0'),
            v_remainder
        );
    END LOOP;
END
$$;

CREATE INDEX marketing_event_profile_v1
ON marketing_event (tenant_id, profile_ext_id, occurred_at);

CALL isolate_tenants_v1('marketing_event');
CALL make_append_only_v1('marketing_event');
GRANT SELECT, INSERT ON marketing_event TO leo_ingest;
GRANT SELECT ON marketing_event TO leo_decision;
GRANT SELECT, DELETE ON marketing_event TO leo_eraser;

-- migrate:down

DROP TABLE marketing_event;
