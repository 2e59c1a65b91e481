-- migrate:up

CREATE TABLE profile_consent (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    state text NOT NULL
        CONSTRAINT profile_consent_state_check CHECK (state IN ('granted', 'withdrawn')),
    version int NOT NULL CONSTRAINT profile_consent_version_check CHECK (version > 0),
    evidence text NOT NULL,
    consented_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, profile_id, channel, purpose),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles (tenant_id, profile_id)
);

COMMENT ON TABLE profile_consent IS
    'What a person allows now; no row is no consent. Written by ingest.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON profile_consent
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('profile_consent');
GRANT SELECT, INSERT, UPDATE ON profile_consent TO leo_ingest;
GRANT SELECT ON profile_consent TO leo_segment, leo_decision, leo_dispatch;
GRANT SELECT, UPDATE, DELETE ON profile_consent TO leo_eraser;

-- No foreign key to the profile: the record of a consent outlives it.
CREATE TABLE profile_consent_version (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    version int NOT NULL CONSTRAINT profile_consent_version_version_check CHECK (version > 0),
    state text NOT NULL
        CONSTRAINT profile_consent_version_state_check CHECK (state IN ('granted', 'withdrawn')),
    evidence text,
    consented_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    actor text NOT NULL,
    request_id uuid,
    request_digest bytea,
    audit_entry_id uuid NOT NULL,
    leaf_no int NOT NULL CONSTRAINT profile_consent_version_leaf_no_check CHECK (leaf_no >= 0),
    salt bytea,
    PRIMARY KEY (tenant_id, profile_id, channel, purpose, version),
    CONSTRAINT profile_consent_version_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT profile_consent_version_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry (tenant_id, entry_id)
);

COMMENT ON TABLE profile_consent_version IS
    'Every change of a consent, as the audit recorded it. Written by ingest.';
COMMENT ON COLUMN profile_consent_version.evidence IS 'NULL after the person was erased.';
COMMENT ON COLUMN profile_consent_version.salt IS
    'Of the leaf in the audit entry''s tree; NULL after the person was erased.';

CALL isolate_tenants_v1('profile_consent_version');
CALL make_append_only_v1('profile_consent_version');
GRANT SELECT, INSERT ON profile_consent_version TO leo_ingest;
GRANT SELECT, UPDATE (evidence, salt) ON profile_consent_version TO leo_eraser;

-- migrate:down

DROP TABLE profile_consent_version;
DROP TABLE profile_consent;
