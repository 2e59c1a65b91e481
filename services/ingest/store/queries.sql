-- Every statement of ingest. Each runs inside one tenant's context (libs/postgres), so the policies
-- add the tenant by themselves; tenant_id is named where a key or an index wants it.

-- name: insert_events^
-- Rows come sorted by event_id, so that two batches with the same events wait for each other in one
-- order and cannot deadlock. Nearly always all are new, and a count is all there is to say.
WITH inserted AS (
    INSERT INTO marketing_event (
        tenant_id, event_id, source, source_event_id, event_type, profile_ext_id, occurred_at,
        properties, body_digest
    )
    SELECT :tenant_id, e.*
    FROM unnest(
        :event_ids::uuid[], :sources::text[], :source_event_ids::text[], :event_types::text[],
        :profile_ext_ids::text[], :occurred_ats::timestamptz[], :properties::jsonb[],
        :body_digests::bytea[]
    ) AS e
    ON CONFLICT (tenant_id, event_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS inserted_count, leo_now() AS received_at
FROM inserted;

-- name: select_events
-- The first answer to events of which some were there before; inserted tells this transaction's own.
SELECT
    e.event_id, e.body_digest, e.received_at,
    e.transaction_id = pg_current_xact_id() AS inserted
FROM unnest(:event_ids::uuid[]) AS wanted (event_id)
CROSS JOIN LATERAL (
    SELECT * FROM marketing_event AS e
    WHERE e.tenant_id = :tenant_id AND e.event_id = wanted.event_id
    LIMIT 1
) AS e;

-- name: upsert_profiles
-- One statement writes the profile and, if its document changed, the version. The row is left alone
-- when the source's time is older than what is stored; a new source time or revision alone renews
-- these two columns and makes no version. Rows come sorted by ext_id, for the order of locks.
WITH upserted AS (
    INSERT INTO cdp_profiles AS stored (
        tenant_id, profile_id, ext_id, version, state, merged_into_ext_id, context, given_name,
        middle_name, family_name, gender, birth_year, birth_month, birth_day, language, city,
        country, emails, phones, zalo_user_id, push_addresses, labels, source_segment_ids,
        funnel_stage, transaction_value_vnd, lifetime_value_vnd, churn_score, consent_hints,
        attributes, source_updated_at, source_revision, document_digest
    )
    SELECT
        :tenant_id, p.profile_id, p.ext_id, 1, p.state, p.merged_into_ext_id, p.context,
        p.given_name, p.middle_name, p.family_name, p.gender, p.birth_year, p.birth_month,
        p.birth_day, p.language, p.city, p.country, p.emails, p.phones, p.zalo_user_id,
        p.push_addresses, p.labels, p.source_segment_ids, p.funnel_stage,
        p.transaction_value_vnd, p.lifetime_value_vnd, p.churn_score, p.consent_hints,
        p.attributes, p.source_updated_at, p.source_revision, p.document_digest
    FROM jsonb_to_recordset(:profiles::jsonb) AS p (
        profile_id uuid, ext_id text, state text, merged_into_ext_id text, context text,
        given_name text, middle_name text, family_name text, gender text, birth_year int,
        birth_month int, birth_day int, language text, city text, country text, emails text[],
        phones text[], zalo_user_id text, push_addresses jsonb, labels text[],
        source_segment_ids text[], funnel_stage text, transaction_value_vnd bigint,
        lifetime_value_vnd bigint, churn_score double precision, consent_hints jsonb,
        attributes jsonb, source_updated_at timestamptz, source_revision text,
        document_digest bytea
    )
    ON CONFLICT (tenant_id, ext_id) WHERE ext_id IS NOT NULL DO UPDATE SET
        version = stored.version
            + (stored.document_digest IS DISTINCT FROM excluded.document_digest)::int,
        state = excluded.state,
        merged_into_ext_id = excluded.merged_into_ext_id,
        context = excluded.context,
        given_name = excluded.given_name,
        middle_name = excluded.middle_name,
        family_name = excluded.family_name,
        gender = excluded.gender,
        birth_year = excluded.birth_year,
        birth_month = excluded.birth_month,
        birth_day = excluded.birth_day,
        language = excluded.language,
        city = excluded.city,
        country = excluded.country,
        emails = excluded.emails,
        phones = excluded.phones,
        zalo_user_id = excluded.zalo_user_id,
        push_addresses = excluded.push_addresses,
        labels = excluded.labels,
        source_segment_ids = excluded.source_segment_ids,
        funnel_stage = excluded.funnel_stage,
        transaction_value_vnd = excluded.transaction_value_vnd,
        lifetime_value_vnd = excluded.lifetime_value_vnd,
        churn_score = excluded.churn_score,
        consent_hints = excluded.consent_hints,
        attributes = excluded.attributes,
        source_updated_at = excluded.source_updated_at,
        source_revision = excluded.source_revision,
        document_digest = excluded.document_digest
    WHERE (
        stored.source_updated_at IS NULL
        OR excluded.source_updated_at IS NULL
        OR excluded.source_updated_at >= stored.source_updated_at
    ) AND (
        stored.document_digest IS DISTINCT FROM excluded.document_digest
        OR stored.source_updated_at IS DISTINCT FROM excluded.source_updated_at
        OR stored.source_revision IS DISTINCT FROM excluded.source_revision
    )
    RETURNING profile_id, ext_id, version, document_digest
)
INSERT INTO cdp_profile_version (tenant_id, profile_id, version, document, document_digest)
SELECT :tenant_id, u.profile_id, u.version, d.document, u.document_digest
FROM upserted AS u
JOIN unnest(:ext_ids::text[], :documents::jsonb[]) AS d (ext_id, document) ON d.ext_id = u.ext_id
ON CONFLICT (tenant_id, profile_id, version) DO NOTHING
RETURNING profile_id, version;

-- name: select_profile_versions
-- What is stored now, to tell unchanged from stale.
SELECT ext_id, profile_id, version, document_digest
FROM cdp_profiles
WHERE tenant_id = :tenant_id AND ext_id = ANY(:ext_ids::text[]);

-- name: select_profile^
SELECT *
FROM cdp_profiles
WHERE tenant_id = :tenant_id AND ext_id = :ext_id;

-- name: select_consents
SELECT channel, purpose, state, evidence, consented_at, version, updated_at
FROM profile_consent
WHERE tenant_id = :tenant_id AND profile_id = :profile_id
ORDER BY channel, purpose;

-- name: lock_profile$
-- Statements of one person are recorded one after the other.
SELECT profile_id
FROM cdp_profiles
WHERE tenant_id = :tenant_id AND ext_id = :ext_id
FOR NO KEY UPDATE;

-- name: select_consent_of_request^
SELECT channel, purpose, state, evidence, consented_at, version, created_at, request_digest
FROM profile_consent_version
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: upsert_consent^
-- No row comes back if a newer statement stands.
INSERT INTO profile_consent AS stored (
    tenant_id, profile_id, channel, purpose, state, version, evidence, consented_at
)
VALUES (
    :tenant_id, :profile_id, :channel, :purpose, :state, 1, :evidence,
    coalesce(:consented_at, leo_now())
)
ON CONFLICT (tenant_id, profile_id, channel, purpose) DO UPDATE SET
    state = excluded.state,
    version = stored.version + 1,
    evidence = excluded.evidence,
    consented_at = excluded.consented_at
WHERE excluded.consented_at >= stored.consented_at
RETURNING version, consented_at, leo_now() AS created_at;

-- name: insert_consent_version!
INSERT INTO profile_consent_version (
    tenant_id, profile_id, channel, purpose, version, state, evidence, consented_at, created_at,
    actor, request_id, request_digest, audit_entry_id, leaf_no, salt
)
VALUES (
    :tenant_id, :profile_id, :channel, :purpose, :version, :state, :evidence, :consented_at,
    :created_at, :actor, :request_id, :request_digest, :audit_entry_id, 0, :salt
);

-- name: insert_tenant^
-- A repeated request meets its own row (the id is made from the request's) and gets nothing back.
INSERT INTO tenant (
    tenant_id, name, display_name, time_zone, state, request_id, request_digest
)
VALUES (
    :tenant_id, :name, :display_name, :time_zone, 'active', :request_id, :request_digest
)
ON CONFLICT (tenant_id) DO NOTHING
RETURNING tenant_id, name, display_name, time_zone, state, created_at;

-- name: select_tenant^
SELECT tenant_id, name, display_name, time_zone, state, created_at, request_digest
FROM tenant
WHERE tenant_id = :tenant_id;

-- name: enter_platform$
-- Lets this transaction see every row of tenant, and of no other table.
SELECT enter_platform_v1();

-- name: select_tenant_of_platform^
SELECT tenant_id, name, display_name, time_zone, state, created_at
FROM tenant
WHERE tenant_id = :tenant_id OR name = :name;

-- name: list_tenants
SELECT tenant_id, name, display_name, time_zone, state, created_at
FROM tenant
WHERE :after::text IS NULL OR name > :after
ORDER BY name
LIMIT :count_max;

-- name: lock_tenant^
-- Two who change the state at once do it one after the other.
SELECT tenant_id, name, display_name, time_zone, state, created_at
FROM tenant
WHERE tenant_id = :tenant_id
FOR NO KEY UPDATE;

-- name: update_tenant_state!
UPDATE tenant
SET state = :state
WHERE tenant_id = :tenant_id;

-- name: count_tenant_rows
-- Counting ends at count_max in each table.
SELECT table_name, row_count
FROM count_tenant_rows_v1(:count_max)
WHERE row_count > 0
ORDER BY row_count DESC, table_name;
