-- migrate:up

CREATE TABLE segment (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    segment_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text NOT NULL DEFAULT '',
    condition text NOT NULL,
    version int NOT NULL CONSTRAINT segment_version_check CHECK (version > 0),
    request_id uuid,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, segment_id),
    CONSTRAINT segment_name_key UNIQUE (tenant_id, name),
    CONSTRAINT segment_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT segment_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL))
);

COMMENT ON TABLE segment IS 'A named audience: a condition over profiles. Written by segment.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON segment
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('segment');
GRANT SELECT, INSERT, UPDATE ON segment TO leo_segment;
GRANT SELECT ON segment TO leo_decision, leo_eraser;
GRANT DELETE ON segment TO leo_eraser;

-- migrate:down

DROP TABLE segment;
