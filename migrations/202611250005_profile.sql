-- migrate:up

CREATE TABLE cdp_profiles (
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    profile_id uuid NOT NULL,
    profile_no bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    ext_id text NOT NULL,
    version int NOT NULL CONSTRAINT cdp_profiles_version_check CHECK (version > 0),
    state text NOT NULL
        CONSTRAINT cdp_profiles_state_check CHECK (state IN ('active', 'inactive', 'merged')),
    merged_into_ext_id text NOT NULL DEFAULT '',
    context text NOT NULL
        CONSTRAINT cdp_profiles_context_check CHECK (context IN ('production', 'test', 'fake')),
    given_name text NOT NULL DEFAULT '',
    middle_name text NOT NULL DEFAULT '',
    family_name text NOT NULL DEFAULT '',
    gender text NOT NULL DEFAULT '',
    birth_year int,
    birth_month int,
    birth_day int,
    language text NOT NULL DEFAULT '',
    city text NOT NULL DEFAULT '',
    country text NOT NULL DEFAULT '',
    emails text[] NOT NULL DEFAULT '{}',
    phones text[] NOT NULL DEFAULT '{}',
    zalo_user_id text NOT NULL DEFAULT '',
    push_addresses jsonb NOT NULL DEFAULT '[]',
    labels text[] NOT NULL DEFAULT '{}',
    source_segment_ids text[] NOT NULL DEFAULT '{}',
    funnel_stage text NOT NULL DEFAULT '',
    transaction_value_vnd bigint NOT NULL DEFAULT 0,
    lifetime_value_vnd bigint NOT NULL DEFAULT 0,
    churn_score double precision,
    consent_hints jsonb NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    source_updated_at timestamptz,
    source_revision text NOT NULL DEFAULT '',
    document_digest bytea NOT NULL
        CONSTRAINT cdp_profiles_document_digest_check CHECK (octet_length(document_digest) = 32),
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    updated_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, profile_id),
    CONSTRAINT cdp_profiles_ext_id_key UNIQUE (tenant_id, ext_id),
    CONSTRAINT cdp_profiles_profile_no_key UNIQUE (tenant_id, profile_no),
    -- A birthday may lack its year; a day never lacks its month.
    CONSTRAINT cdp_profiles_birth_check CHECK (
        (birth_month IS NULL) = (birth_day IS NULL)
        AND (birth_year IS NULL OR birth_month IS NOT NULL)
    )
);

COMMENT ON TABLE cdp_profiles IS 'A person as the source knows them now. Written by ingest.';
COMMENT ON COLUMN cdp_profiles.profile_no IS
    'A short key beside the UUID: snapshots store millions of them.';
COMMENT ON COLUMN cdp_profiles.consent_hints IS
    'What the source says of consent; profile_consent alone allows a message.';

CREATE TRIGGER update_timestamp BEFORE UPDATE ON cdp_profiles
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

CALL isolate_tenants_v1('cdp_profiles');
GRANT SELECT, INSERT, UPDATE ON cdp_profiles TO leo_ingest;
GRANT SELECT ON cdp_profiles TO leo_segment, leo_decision, leo_dispatch;
GRANT SELECT, UPDATE, DELETE ON cdp_profiles TO leo_eraser;

CREATE TABLE cdp_profile_version (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    version int NOT NULL CONSTRAINT cdp_profile_version_version_check CHECK (version > 0),
    document jsonb,
    document_digest bytea NOT NULL CONSTRAINT cdp_profile_version_document_digest_check
        CHECK (octet_length(document_digest) = 32),
    created_at timestamptz NOT NULL DEFAULT leo_now(),
    PRIMARY KEY (tenant_id, profile_id, version),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles (tenant_id, profile_id)
);

COMMENT ON TABLE cdp_profile_version IS
    'What a profile was; one that did not change has no new version. Written by ingest.';
COMMENT ON COLUMN cdp_profile_version.document IS 'NULL after the person was erased.';

CALL isolate_tenants_v1('cdp_profile_version');
CALL make_append_only_v1('cdp_profile_version');
GRANT SELECT, INSERT ON cdp_profile_version TO leo_ingest;
GRANT SELECT ON cdp_profile_version TO leo_segment, leo_decision, leo_dispatch;
GRANT SELECT, UPDATE (document), DELETE ON cdp_profile_version TO leo_eraser;

-- migrate:down

DROP TABLE cdp_profile_version;
DROP TABLE cdp_profiles;
