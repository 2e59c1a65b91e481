-- The schema that the migrations build, made from its catalogue by `make schema`. To be read: what
-- builds a database are the migrations, which also say why. A test compares the two.
--
-- First what tables call, then tables in the order of their making, functions, views, partitions.
-- It can be run, as superuser, in a database after bootstrap_database.sql.

SET ROLE leo_owner;
SET check_function_bodies = off;

CREATE FUNCTION leo_now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN now();
COMMENT ON FUNCTION leo_now() IS
    'The one clock: the start of the transaction.';
GRANT EXECUTE ON FUNCTION leo_now() TO leo_auditor, leo_decision, leo_dispatch, leo_eraser, leo_finder, leo_ingest, leo_segment;

CREATE FUNCTION update_timestamp()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    NEW.updated_at := leo_now();
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION update_timestamp() IS
    'Trigger: updated_at of a mutable table.';

CREATE FUNCTION refuse_change_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF current_user = 'leo_eraser' AND TG_OP IN ('UPDATE', 'DELETE') THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'The one door out is a procedure owned by leo_eraser; TRUNCATE has none.';
END
$function$;
COMMENT ON FUNCTION refuse_change_v1() IS
    'Trigger: lets nobody but leo_eraser update or delete, and nobody truncate.';

CREATE FUNCTION refuse_late_member_v1()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF EXISTS (
        SELECT FROM segment_snapshot
        WHERE tenant_id = NEW.tenant_id AND snapshot_id = NEW.snapshot_id
    ) THEN
        RAISE EXCEPTION 'the snapshot is closed: nobody joins it'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION refuse_late_member_v1() IS
    'Trigger: no chunk is added to a snapshot whose own row is there.';

CREATE TABLE tenant (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    display_name text DEFAULT ''::text NOT NULL,
    time_zone text NOT NULL,
    state text NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenant_name_key UNIQUE (name),
    CONSTRAINT tenant_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT tenant_state_check CHECK (state = ANY (ARRAY['active'::text, 'suspended'::text, 'removing'::text, 'removed'::text]))
);
COMMENT ON TABLE tenant IS
    'A customer of the platform. Written by ingest.';
COMMENT ON COLUMN tenant.time_zone IS
    'IANA name, such as Asia/Ho_Chi_Minh: quiet hours and days are told in it.';
COMMENT ON COLUMN tenant.state IS
    'active; suspended: nothing is sent; removing: its rows go; removed: they are gone.';
CREATE TRIGGER update_timestamp BEFORE UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON tenant FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON tenant FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY platform_reads ON tenant FOR SELECT TO leo_ingest
    USING ((( SELECT current_setting('leo.platform'::text, true) AS current_setting)) = 'on'::text);
CREATE POLICY tenant_isolation ON tenant TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON tenant TO leo_auditor;
GRANT SELECT ON tenant TO leo_decision;
GRANT SELECT ON tenant TO leo_dispatch;
GRANT SELECT ON tenant TO leo_eraser;
GRANT SELECT (tenant_id, state) ON tenant TO leo_finder;
GRANT SELECT, INSERT, UPDATE (state) ON tenant TO leo_ingest;
GRANT SELECT ON tenant TO leo_segment;

CREATE TABLE audit_entry (
    tenant_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    call_id text NOT NULL,
    recorded_table text,
    member_count integer NOT NULL,
    root bytea NOT NULL,
    details jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT audit_entry_pkey PRIMARY KEY (tenant_id, entry_id),
    CONSTRAINT audit_entry_member_count_check CHECK (member_count >= 0),
    CONSTRAINT audit_entry_root_check CHECK (octet_length(root) = 32)
);
COMMENT ON TABLE audit_entry IS
    'What was done, by whom: the root of a hash tree over the rows that one transaction recorded. Written by every service, through audit_append_v1() alone.';
COMMENT ON COLUMN audit_entry.kind IS
    'What was done; docs/reference/audit.md lists the kinds.';
COMMENT ON COLUMN audit_entry.actor IS
    'Who did it: the subject of a token, or a process.';
COMMENT ON COLUMN audit_entry.call_id IS
    'The RPC that did it; empty where none did.';
COMMENT ON COLUMN audit_entry.recorded_table IS
    'Of the rows that the tree is over; NULL where there are none.';
COMMENT ON COLUMN audit_entry.member_count IS
    'How many rows the tree is over.';
COMMENT ON COLUMN audit_entry.root IS
    'leaf = SHA-256(0x00 || salt || canonical row), node = SHA-256(0x01 || left || right).';
COMMENT ON COLUMN audit_entry.details IS
    'What else there is to say, by kind; never a personal value.';
COMMENT ON COLUMN audit_entry.transaction_id IS
    'Of the transaction that wrote the entry; no hash covers it.';
ALTER TABLE audit_entry ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX audit_entry_created_v2 ON audit_entry USING btree (tenant_id, created_at, entry_id) WHERE created_at IS NOT NULL;
CREATE INDEX audit_entry_relay_v2 ON audit_entry USING btree (tenant_id, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_entry FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON audit_entry FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON audit_entry FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON audit_entry TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON audit_entry TO leo_auditor;
GRANT SELECT ON audit_entry TO leo_decision;
GRANT SELECT (tenant_id, transaction_id) ON audit_entry TO leo_finder;

CREATE TABLE audit_seal (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    entry_id uuid NOT NULL,
    prev bytea NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    entry_digest bytea NOT NULL,
    CONSTRAINT audit_seal_pkey PRIMARY KEY (tenant_id, seq),
    CONSTRAINT audit_seal_entry_key UNIQUE (tenant_id, entry_id),
    CONSTRAINT audit_seal_tenant_id_entry_id_fkey FOREIGN KEY (tenant_id, entry_id) REFERENCES audit_entry(tenant_id, entry_id),
    CONSTRAINT audit_seal_entry_digest_check CHECK (octet_length(entry_digest) = 32),
    CONSTRAINT audit_seal_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT audit_seal_prev_check CHECK (octet_length(prev) = 32),
    CONSTRAINT audit_seal_seq_check CHECK (seq > 0)
);
COMMENT ON TABLE audit_seal IS
    'The chain over the audit entries of a tenant, a link an entry. Written by decision.';
COMMENT ON COLUMN audit_seal.seq IS
    'From 1, without a gap.';
COMMENT ON COLUMN audit_seal.prev IS
    'The hash of the seal before; 32 zero bytes in the first.';
COMMENT ON COLUMN audit_seal.hash IS
    'SHA-256(0x03 || prev || entry_digest); prev is the hash of the seal before, 32 zero bytes first.';
COMMENT ON COLUMN audit_seal.entry_digest IS
    'SHA-256(0x02 || root || canonical entry without its root).';
ALTER TABLE audit_seal ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON audit_seal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON audit_seal FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON audit_seal FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON audit_seal TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON audit_seal TO leo_auditor;
GRANT SELECT, INSERT ON audit_seal TO leo_decision;
GRANT SELECT (tenant_id, seq) ON audit_seal TO leo_finder;

CREATE TABLE marketing_event (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    source text NOT NULL,
    source_event_id text,
    event_type text NOT NULL,
    profile_ext_id text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    properties jsonb NOT NULL,
    body_digest bytea NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT marketing_event_pkey PRIMARY KEY (tenant_id, event_id),
    CONSTRAINT marketing_event_body_digest_check CHECK (octet_length(body_digest) = 32)
) PARTITION BY HASH (tenant_id, event_id);
COMMENT ON TABLE marketing_event IS
    'What happened, as a client said it, once. Written by ingest.';
COMMENT ON COLUMN marketing_event.event_id IS
    'UUIDv8 from SHA-256 over tenant, source and source_event_id, or over the content without one.';
COMMENT ON COLUMN marketing_event.source IS
    'The system that tells it.';
COMMENT ON COLUMN marketing_event.source_event_id IS
    'Its id there; NULL where the source has none.';
COMMENT ON COLUMN marketing_event.event_type IS
    'Kebab-case, such as page-view.';
COMMENT ON COLUMN marketing_event.profile_ext_id IS
    'The person''s id in the source; there may be no profile of it.';
COMMENT ON COLUMN marketing_event.occurred_at IS
    'When it happened, as the client says.';
COMMENT ON COLUMN marketing_event.received_at IS
    'When it was stored.';
COMMENT ON COLUMN marketing_event.properties IS
    'What else the client says of it.';
COMMENT ON COLUMN marketing_event.body_digest IS
    'SHA-256 of the client''s own fields: the same identity with another digest is refused.';
COMMENT ON COLUMN marketing_event.transaction_id IS
    'Who reads behind a watermark must not pass the oldest running transaction, or would miss a slow one.';
ALTER TABLE marketing_event ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX marketing_event_profile_v1 ON marketing_event USING btree (tenant_id, profile_ext_id, occurred_at);
CREATE INDEX marketing_event_relay_v1 ON marketing_event USING btree (tenant_id, transaction_id);
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON marketing_event FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON marketing_event TO leo_auditor;
GRANT SELECT ON marketing_event TO leo_decision;
GRANT SELECT ON marketing_event TO leo_dispatch;
GRANT SELECT, DELETE ON marketing_event TO leo_eraser;
GRANT SELECT (tenant_id, transaction_id) ON marketing_event TO leo_finder;
GRANT SELECT, INSERT ON marketing_event TO leo_ingest;

CREATE TABLE cdp_profiles (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    profile_no bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    ext_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    merged_into_ext_id text DEFAULT ''::text NOT NULL,
    context text NOT NULL,
    given_name text DEFAULT ''::text NOT NULL,
    middle_name text DEFAULT ''::text NOT NULL,
    family_name text DEFAULT ''::text NOT NULL,
    gender text DEFAULT ''::text NOT NULL,
    birth_year integer,
    birth_month integer,
    birth_day integer,
    language text DEFAULT ''::text NOT NULL,
    city text DEFAULT ''::text NOT NULL,
    country text DEFAULT ''::text NOT NULL,
    emails text[] DEFAULT '{}'::text[] NOT NULL,
    phones text[] DEFAULT '{}'::text[] NOT NULL,
    zalo_user_id text DEFAULT ''::text NOT NULL,
    push_addresses jsonb DEFAULT '[]'::jsonb NOT NULL,
    labels text[] DEFAULT '{}'::text[] NOT NULL,
    source_segment_ids text[] DEFAULT '{}'::text[] NOT NULL,
    funnel_stage text DEFAULT ''::text NOT NULL,
    transaction_value_vnd bigint DEFAULT 0 NOT NULL,
    lifetime_value_vnd bigint DEFAULT 0 NOT NULL,
    churn_score double precision,
    consent_hints jsonb DEFAULT '{}'::jsonb NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    source_updated_at timestamp with time zone,
    source_revision text DEFAULT ''::text NOT NULL,
    document_digest bytea NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT cdp_profiles_pkey PRIMARY KEY (tenant_id, profile_id),
    CONSTRAINT cdp_profiles_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT cdp_profiles_birth_check CHECK ((birth_month IS NULL) = (birth_day IS NULL) AND (birth_year IS NULL OR birth_month IS NOT NULL)),
    CONSTRAINT cdp_profiles_context_check CHECK (context = ANY (ARRAY['production'::text, 'test'::text, 'fake'::text])),
    CONSTRAINT cdp_profiles_document_digest_check CHECK (octet_length(document_digest) = 32),
    CONSTRAINT cdp_profiles_state_check CHECK (state = ANY (ARRAY['active'::text, 'inactive'::text, 'merged'::text])),
    CONSTRAINT cdp_profiles_version_check CHECK (version > 0)
);
COMMENT ON TABLE cdp_profiles IS
    'A person as the source knows them now. Written by ingest.';
COMMENT ON COLUMN cdp_profiles.profile_no IS
    'A short key beside the UUID: snapshots store millions of them.';
COMMENT ON COLUMN cdp_profiles.ext_id IS
    'The person''s id in the source.';
COMMENT ON COLUMN cdp_profiles.version IS
    'The latest in cdp_profile_version.';
COMMENT ON COLUMN cdp_profiles.state IS
    'merged: the source knows the person as merged_into_ext_id now.';
COMMENT ON COLUMN cdp_profiles.merged_into_ext_id IS
    'Empty unless merged.';
COMMENT ON COLUMN cdp_profiles.context IS
    'production, or somebody who was made up.';
COMMENT ON COLUMN cdp_profiles.emails IS
    'The first choice first: a delivery names an address by its kind and place.';
COMMENT ON COLUMN cdp_profiles.phones IS
    'In E.164, the first choice first.';
COMMENT ON COLUMN cdp_profiles.push_addresses IS
    'Pairs of provider and address, the first choice first.';
COMMENT ON COLUMN cdp_profiles.labels IS
    'As the source gives them.';
COMMENT ON COLUMN cdp_profiles.source_segment_ids IS
    'Segments of the source; our own are in segment.';
COMMENT ON COLUMN cdp_profiles.funnel_stage IS
    'In the words of the source.';
COMMENT ON COLUMN cdp_profiles.transaction_value_vnd IS
    'What the person has bought so far, in đồng.';
COMMENT ON COLUMN cdp_profiles.lifetime_value_vnd IS
    'What the source expects of the person, in đồng.';
COMMENT ON COLUMN cdp_profiles.churn_score IS
    'From 0 to 1; NULL where the source has none.';
COMMENT ON COLUMN cdp_profiles.consent_hints IS
    'What the source says of consent; profile_consent alone allows a message.';
COMMENT ON COLUMN cdp_profiles.attributes IS
    'What the source says beside these columns.';
COMMENT ON COLUMN cdp_profiles.source_updated_at IS
    'When the source last changed it.';
COMMENT ON COLUMN cdp_profiles.source_revision IS
    'Of the document in the source.';
COMMENT ON COLUMN cdp_profiles.document_digest IS
    'SHA-256 of the document of its version: an unchanged profile makes none.';
ALTER TABLE cdp_profiles ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX cdp_profiles_birthday_v2 ON cdp_profiles USING btree (tenant_id, birth_month, birth_day) WHERE birth_month IS NOT NULL;
CREATE INDEX cdp_profiles_churn_score_v2 ON cdp_profiles USING btree (tenant_id, churn_score) WHERE churn_score IS NOT NULL;
CREATE INDEX cdp_profiles_created_v2 ON cdp_profiles USING btree (tenant_id, created_at) WHERE created_at IS NOT NULL;
CREATE UNIQUE INDEX cdp_profiles_ext_id_v1 ON cdp_profiles USING btree (tenant_id, ext_id) WHERE ext_id IS NOT NULL;
CREATE INDEX cdp_profiles_filter_v1 ON cdp_profiles USING gin (tenant_id, city, funnel_stage, labels, source_segment_ids, attributes jsonb_path_ops) WITH (fastupdate=off);
CREATE INDEX cdp_profiles_lifetime_value_v2 ON cdp_profiles USING btree (tenant_id, lifetime_value_vnd) WHERE lifetime_value_vnd IS NOT NULL;
CREATE UNIQUE INDEX cdp_profiles_profile_no_v1 ON cdp_profiles USING btree (tenant_id, profile_no) WHERE profile_no IS NOT NULL;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON cdp_profiles FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE cdp_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE cdp_profiles FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON cdp_profiles FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON cdp_profiles TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON cdp_profiles TO leo_auditor;
GRANT SELECT ON cdp_profiles TO leo_decision;
GRANT SELECT ON cdp_profiles TO leo_dispatch;
GRANT SELECT, UPDATE, DELETE ON cdp_profiles TO leo_eraser;
GRANT SELECT, INSERT, UPDATE ON cdp_profiles TO leo_ingest;
GRANT SELECT ON cdp_profiles TO leo_segment;

CREATE TABLE cdp_profile_version (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    version integer NOT NULL,
    document jsonb,
    document_digest bytea NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT cdp_profile_version_pkey PRIMARY KEY (tenant_id, profile_id, version),
    CONSTRAINT cdp_profile_version_tenant_id_profile_id_fkey FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles(tenant_id, profile_id),
    CONSTRAINT cdp_profile_version_document_digest_check CHECK (octet_length(document_digest) = 32),
    CONSTRAINT cdp_profile_version_version_check CHECK (version > 0)
);
COMMENT ON TABLE cdp_profile_version IS
    'What a profile was; one that did not change has no new version. Written by ingest.';
COMMENT ON COLUMN cdp_profile_version.version IS
    'Numbers what the profile was, from 1.';
COMMENT ON COLUMN cdp_profile_version.document IS
    'NULL after the person was erased.';
COMMENT ON COLUMN cdp_profile_version.document_digest IS
    'SHA-256 of the document; it stays when the document goes.';
ALTER TABLE cdp_profile_version ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON cdp_profile_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE cdp_profile_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE cdp_profile_version FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON cdp_profile_version FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON cdp_profile_version TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON cdp_profile_version TO leo_auditor;
GRANT SELECT ON cdp_profile_version TO leo_decision;
GRANT SELECT ON cdp_profile_version TO leo_dispatch;
GRANT SELECT, UPDATE (document), DELETE ON cdp_profile_version TO leo_eraser;
GRANT SELECT, INSERT ON cdp_profile_version TO leo_ingest;
GRANT SELECT ON cdp_profile_version TO leo_segment;

CREATE TABLE profile_consent (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    evidence text NOT NULL,
    consented_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT profile_consent_pkey PRIMARY KEY (tenant_id, profile_id, channel, purpose),
    CONSTRAINT profile_consent_tenant_id_profile_id_fkey FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles(tenant_id, profile_id),
    CONSTRAINT profile_consent_state_check CHECK (state = ANY (ARRAY['granted'::text, 'withdrawn'::text])),
    CONSTRAINT profile_consent_version_check CHECK (version > 0)
);
COMMENT ON TABLE profile_consent IS
    'What a person allows now; no row is no consent. Written by ingest.';
COMMENT ON COLUMN profile_consent.state IS
    'What the person said last.';
COMMENT ON COLUMN profile_consent.version IS
    'The change in profile_consent_version that made it so.';
COMMENT ON COLUMN profile_consent.evidence IS
    'How it is known, such as a form and its wording.';
COMMENT ON COLUMN profile_consent.consented_at IS
    'When the person said it.';
ALTER TABLE profile_consent ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON profile_consent FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE profile_consent ENABLE ROW LEVEL SECURITY;
ALTER TABLE profile_consent FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON profile_consent FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON profile_consent TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON profile_consent TO leo_auditor;
GRANT SELECT ON profile_consent TO leo_decision;
GRANT SELECT ON profile_consent TO leo_dispatch;
GRANT SELECT, UPDATE, DELETE ON profile_consent TO leo_eraser;
GRANT SELECT, INSERT, UPDATE ON profile_consent TO leo_ingest;
GRANT SELECT ON profile_consent TO leo_segment;

CREATE TABLE profile_consent_version (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    evidence text,
    consented_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    actor text NOT NULL,
    request_id uuid,
    request_digest bytea,
    audit_entry_id uuid NOT NULL,
    leaf_no integer NOT NULL,
    salt bytea,
    CONSTRAINT profile_consent_version_pkey PRIMARY KEY (tenant_id, profile_id, channel, purpose, version),
    CONSTRAINT profile_consent_version_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT profile_consent_version_tenant_id_audit_entry_id_fkey FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry(tenant_id, entry_id),
    CONSTRAINT profile_consent_version_leaf_no_check CHECK (leaf_no >= 0),
    CONSTRAINT profile_consent_version_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT profile_consent_version_state_check CHECK (state = ANY (ARRAY['granted'::text, 'withdrawn'::text])),
    CONSTRAINT profile_consent_version_version_check CHECK (version > 0)
);
COMMENT ON TABLE profile_consent_version IS
    'Every change of a consent, as the audit recorded it. Written by ingest.';
COMMENT ON COLUMN profile_consent_version.version IS
    'Numbers the changes of one consent, from 1.';
COMMENT ON COLUMN profile_consent_version.state IS
    'What the person said then.';
COMMENT ON COLUMN profile_consent_version.evidence IS
    'NULL after the person was erased.';
COMMENT ON COLUMN profile_consent_version.consented_at IS
    'When the person said it.';
COMMENT ON COLUMN profile_consent_version.actor IS
    'Who told: the subject of a token, or a process.';
COMMENT ON COLUMN profile_consent_version.salt IS
    'Of the leaf in the audit entry''s tree; NULL after the person was erased.';
ALTER TABLE profile_consent_version ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX profile_consent_version_audit_v1 ON profile_consent_version USING brin (tenant_id, audit_entry_id);
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON profile_consent_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE profile_consent_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE profile_consent_version FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON profile_consent_version FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON profile_consent_version TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON profile_consent_version TO leo_auditor;
GRANT SELECT, UPDATE (evidence, salt), DELETE ON profile_consent_version TO leo_eraser;
GRANT SELECT, INSERT ON profile_consent_version TO leo_ingest;

CREATE TABLE segment (
    tenant_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text DEFAULT ''::text NOT NULL,
    condition text NOT NULL,
    version integer NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT segment_pkey PRIMARY KEY (tenant_id, segment_id),
    CONSTRAINT segment_name_key UNIQUE (tenant_id, name),
    CONSTRAINT segment_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT segment_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT segment_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT segment_version_check CHECK (version > 0)
);
COMMENT ON TABLE segment IS
    'A named audience: a condition over profiles. Written by segment.';
COMMENT ON COLUMN segment.condition IS
    'In CEL, over profiles: docs/reference/conditions.md.';
COMMENT ON COLUMN segment.version IS
    'Numbers what the segment was, from 1.';
ALTER TABLE segment ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON segment FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE segment ENABLE ROW LEVEL SECURITY;
ALTER TABLE segment FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON segment FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON segment TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON segment TO leo_auditor;
GRANT SELECT ON segment TO leo_decision;
GRANT SELECT, DELETE ON segment TO leo_eraser;
GRANT SELECT, INSERT, UPDATE ON segment TO leo_segment;

CREATE TABLE campaign (
    tenant_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    name text NOT NULL,
    display_name text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT campaign_pkey PRIMARY KEY (tenant_id, campaign_id),
    CONSTRAINT campaign_name_key UNIQUE (tenant_id, name),
    CONSTRAINT campaign_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT campaign_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT campaign_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT campaign_state_check CHECK (state = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text, 'ended'::text]))
);
COMMENT ON TABLE campaign IS
    'Rules that act, pause and end together. Written by decision.';
COMMENT ON COLUMN campaign.state IS
    'Rules act while it is active.';
ALTER TABLE campaign ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON campaign FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE campaign ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON campaign FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON campaign TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON campaign TO leo_auditor;
GRANT SELECT, INSERT, UPDATE ON campaign TO leo_decision;
GRANT SELECT, DELETE ON campaign TO leo_eraser;

CREATE TABLE activation_rule (
    tenant_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT activation_rule_pkey PRIMARY KEY (tenant_id, rule_id),
    CONSTRAINT activation_rule_name_key UNIQUE (tenant_id, campaign_id, name),
    CONSTRAINT activation_rule_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT activation_rule_tenant_id_campaign_id_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign(tenant_id, campaign_id),
    CONSTRAINT activation_rule_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT activation_rule_version_check CHECK (version > 0)
);
COMMENT ON TABLE activation_rule IS
    'When to act and how; what the rule says stands in its version. Written by decision.';
COMMENT ON COLUMN activation_rule.version IS
    'The latest in activation_rule_version.';
ALTER TABLE activation_rule ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON activation_rule FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE activation_rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE activation_rule FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON activation_rule FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON activation_rule TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON activation_rule TO leo_auditor;
GRANT SELECT, INSERT, UPDATE ON activation_rule TO leo_decision;
GRANT SELECT, DELETE ON activation_rule TO leo_eraser;

CREATE TABLE activation_rule_version (
    tenant_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    version integer NOT NULL,
    document jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT activation_rule_version_pkey PRIMARY KEY (tenant_id, rule_id, version),
    CONSTRAINT activation_rule_version_tenant_id_rule_id_fkey FOREIGN KEY (tenant_id, rule_id) REFERENCES activation_rule(tenant_id, rule_id),
    CONSTRAINT activation_rule_version_version_check CHECK (version > 0)
);
COMMENT ON TABLE activation_rule_version IS
    'What a rule said: decisions name the version that they asked. Written by decision.';
COMMENT ON COLUMN activation_rule_version.version IS
    'Numbers what the rule said, from 1.';
COMMENT ON COLUMN activation_rule_version.document IS
    'All that the rule says: trigger, condition, segment, channels, cooldown and the rest.';
ALTER TABLE activation_rule_version ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON activation_rule_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE activation_rule_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE activation_rule_version FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON activation_rule_version FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON activation_rule_version TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON activation_rule_version TO leo_auditor;
GRANT SELECT, INSERT ON activation_rule_version TO leo_decision;
GRANT SELECT, DELETE ON activation_rule_version TO leo_eraser;

CREATE TABLE rule_set (
    tenant_id uuid NOT NULL,
    version bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT rule_set_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT rule_set_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT rule_set_version_check CHECK (version > 0)
);
COMMENT ON TABLE rule_set IS
    'Counts the changes of a tenant''s campaigns and rules. Written by decision.';
COMMENT ON COLUMN rule_set.version IS
    'A process that holds an older number reads the rules again.';
ALTER TABLE rule_set ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON rule_set FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE rule_set ENABLE ROW LEVEL SECURITY;
ALTER TABLE rule_set FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON rule_set FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON rule_set TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON rule_set TO leo_auditor;
GRANT SELECT, INSERT, UPDATE ON rule_set TO leo_decision;
GRANT SELECT, DELETE ON rule_set TO leo_eraser;

CREATE TABLE decision (
    tenant_id uuid NOT NULL,
    decision_id uuid NOT NULL,
    trigger_kind text NOT NULL,
    trigger_id uuid NOT NULL,
    profile_id uuid,
    profile_version integer,
    ordinal integer NOT NULL,
    rule_set_version bigint NOT NULL,
    campaign_id uuid,
    rule_id uuid,
    rule_version integer,
    segment_id uuid,
    segment_version integer,
    outcome text NOT NULL,
    reason text NOT NULL,
    not_before timestamp with time zone,
    expires_at timestamp with time zone,
    cooldown interval,
    choices jsonb DEFAULT '[]'::jsonb NOT NULL,
    inputs jsonb,
    decided_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    audit_entry_id uuid NOT NULL,
    leaf_no integer NOT NULL,
    salt bytea,
    CONSTRAINT decision_pkey PRIMARY KEY (tenant_id, decision_id) INCLUDE (outcome),
    CONSTRAINT decision_tenant_id_audit_entry_id_fkey FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry(tenant_id, entry_id),
    CONSTRAINT decision_acted_check CHECK (outcome <> 'acted'::text OR rule_id IS NOT NULL AND profile_id IS NOT NULL AND expires_at IS NOT NULL),
    CONSTRAINT decision_leaf_no_check CHECK (leaf_no >= 0),
    CONSTRAINT decision_ordinal_check CHECK (ordinal >= 0),
    CONSTRAINT decision_outcome_check CHECK (outcome = ANY (ARRAY['acted'::text, 'no_rule'::text, 'no_profile'::text, 'not_in_segment'::text, 'cooldown'::text, 'no_consent'::text, 'hold_out'::text, 'no_address'::text, 'expired'::text, 'error'::text])),
    CONSTRAINT decision_trigger_kind_check CHECK (trigger_kind = ANY (ARRAY['event'::text, 'launch'::text, 'direct'::text]))
);
COMMENT ON TABLE decision IS
    'What was decided about an event, also not to act, and why. Written by decision.';
COMMENT ON COLUMN decision.trigger_kind IS
    'What set it off.';
COMMENT ON COLUMN decision.trigger_id IS
    'The event or the launch.';
COMMENT ON COLUMN decision.profile_version IS
    'What the decision saw of the person.';
COMMENT ON COLUMN decision.ordinal IS
    'Its place among the decisions about one person and trigger; 0 is always there.';
COMMENT ON COLUMN decision.rule_set_version IS
    'Of the rules that were asked.';
COMMENT ON COLUMN decision.rule_version IS
    'What the rule said.';
COMMENT ON COLUMN decision.segment_version IS
    'What the segment was.';
COMMENT ON COLUMN decision.outcome IS
    'acted, or why not.';
COMMENT ON COLUMN decision.reason IS
    'The outcome in words.';
COMMENT ON COLUMN decision.not_before IS
    'Quiet hours end here; NULL outside of them.';
COMMENT ON COLUMN decision.expires_at IS
    'After this a message is of no use and is not sent.';
COMMENT ON COLUMN decision.cooldown IS
    'As the rule had it, so that it can be checked afterwards.';
COMMENT ON COLUMN decision.choices IS
    'Of an acting decision, the ways that are possible, in order: choice, channel, template_id, account_id, recipient_ref (address kind and place within the profile version).';
COMMENT ON COLUMN decision.inputs IS
    'Every value that the decision depended on; NULL after the person was erased.';
COMMENT ON COLUMN decision.decided_at IS
    'A cooldown counts from here.';
ALTER TABLE decision ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX decision_audit_v1 ON decision USING brin (tenant_id, audit_entry_id);
CREATE INDEX decision_cooldown_v1 ON decision USING btree (tenant_id, rule_id, profile_id, decided_at) INCLUDE (cooldown) WHERE outcome = 'acted'::text;
CREATE UNIQUE INDEX decision_event_v1 ON decision USING btree (tenant_id, trigger_id) WHERE trigger_kind = 'event'::text AND ordinal = 0;
CREATE INDEX decision_launch_v1 ON decision USING btree (tenant_id, trigger_id, profile_id) INCLUDE (outcome) WHERE trigger_kind = 'launch'::text;
CREATE INDEX decision_profile_v1 ON decision USING btree (tenant_id, profile_id, decided_at) WHERE profile_id IS NOT NULL;
CREATE INDEX decision_relay_v1 ON decision USING btree (tenant_id, transaction_id) WHERE outcome = 'acted'::text;
CREATE UNIQUE INDEX decision_trigger_v1 ON decision USING btree (tenant_id, trigger_kind, trigger_id, profile_id, ordinal) NULLS NOT DISTINCT WHERE trigger_kind IS NOT NULL;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON decision FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE decision ENABLE ROW LEVEL SECURITY;
ALTER TABLE decision FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON decision FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON decision FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON decision TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON decision TO leo_auditor;
GRANT SELECT, INSERT ON decision TO leo_decision;
GRANT SELECT ON decision TO leo_dispatch;
GRANT SELECT, UPDATE (inputs, salt), DELETE ON decision TO leo_eraser;
GRANT SELECT (tenant_id, outcome, transaction_id) ON decision TO leo_finder;
GRANT SELECT ON decision TO leo_ingest;

CREATE TABLE relay_watermark (
    tenant_id uuid NOT NULL,
    hop text NOT NULL,
    position xid8 NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT relay_watermark_pkey PRIMARY KEY (tenant_id, hop),
    CONSTRAINT relay_watermark_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT relay_watermark_hop_check CHECK (hop = ANY (ARRAY['activate'::text, 'dispatch'::text, 'seal'::text]))
);
COMMENT ON TABLE relay_watermark IS
    'Up to which transaction everything was handed on. Written by ingest and decision, each for the hop that starts there.';
COMMENT ON COLUMN relay_watermark.hop IS
    'activate: events to decisions; dispatch: decisions to deliveries; seal: entries to seals.';
COMMENT ON COLUMN relay_watermark.position IS
    'What transactions before this one wrote is handed on.';
ALTER TABLE relay_watermark ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON relay_watermark FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE relay_watermark ENABLE ROW LEVEL SECURITY;
ALTER TABLE relay_watermark FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON relay_watermark FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON relay_watermark FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON relay_watermark TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON relay_watermark TO leo_auditor;
GRANT SELECT, INSERT, UPDATE ON relay_watermark TO leo_decision;
GRANT SELECT ON relay_watermark TO leo_eraser;
GRANT SELECT (tenant_id, hop, position) ON relay_watermark TO leo_finder;
GRANT SELECT, INSERT, UPDATE ON relay_watermark TO leo_ingest;

CREATE TABLE message_template (
    tenant_id uuid NOT NULL,
    template_id uuid NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,
    provider_template_id text DEFAULT ''::text NOT NULL,
    data jsonb NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT message_template_pkey PRIMARY KEY (tenant_id, template_id),
    CONSTRAINT message_template_name_key UNIQUE (tenant_id, name),
    CONSTRAINT message_template_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT message_template_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT message_template_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT message_template_version_check CHECK (version > 0)
);
COMMENT ON TABLE message_template IS
    'A message with room for a person''s values. Written by dispatch.';
COMMENT ON COLUMN message_template.version IS
    'Numbers what the template was, from 1.';
COMMENT ON COLUMN message_template.provider_template_id IS
    'Of the template at the provider, where the channel needs one.';
COMMENT ON COLUMN message_template.data IS
    'The texts, by name.';
ALTER TABLE message_template ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON message_template FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE message_template ENABLE ROW LEVEL SECURITY;
ALTER TABLE message_template FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON message_template FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON message_template TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON message_template TO leo_auditor;
GRANT SELECT ON message_template TO leo_decision;
GRANT SELECT, INSERT, UPDATE ON message_template TO leo_dispatch;
GRANT SELECT, DELETE ON message_template TO leo_eraser;

CREATE TABLE channel_account (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    credential_names text[] DEFAULT '{}'::text[] NOT NULL,
    credentials bytea,
    data_key bytea,
    key_id text DEFAULT ''::text NOT NULL,
    credential_version integer DEFAULT 0 NOT NULL,
    concurrent_send_count_max integer NOT NULL,
    paused_reason text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT channel_account_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT channel_account_name_key UNIQUE (tenant_id, name),
    CONSTRAINT channel_account_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT channel_account_concurrent_check CHECK (concurrent_send_count_max >= 1 AND concurrent_send_count_max <= 1000)
);
COMMENT ON TABLE channel_account IS
    'An account at a provider, with its secrets encrypted. Written by dispatch.';
COMMENT ON COLUMN channel_account.settings IS
    'What is not secret, by names of the channel.';
COMMENT ON COLUMN channel_account.credential_names IS
    'Which secrets are set.';
COMMENT ON COLUMN channel_account.credentials IS
    'The secrets by AES-256-GCM under data_key; NULL where none are set.';
COMMENT ON COLUMN channel_account.data_key IS
    'Wrapped by the key that key_id names.';
COMMENT ON COLUMN channel_account.key_id IS
    'A key of LEO_DISPATCH_CREDENTIAL_KEYS.';
COMMENT ON COLUMN channel_account.credential_version IS
    'Numbers the changes of the secrets; the encryption covers it.';
COMMENT ON COLUMN channel_account.concurrent_send_count_max IS
    'How many calls to the provider may be under way at once.';
COMMENT ON COLUMN channel_account.paused_reason IS
    'Empty while it sends; else why nothing is handed to the provider until a person acted.';
ALTER TABLE channel_account ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON channel_account FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE channel_account ENABLE ROW LEVEL SECURITY;
ALTER TABLE channel_account FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON channel_account FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON channel_account TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON channel_account TO leo_auditor;
GRANT SELECT (tenant_id, account_id, channel, paused_reason) ON channel_account TO leo_decision;
GRANT SELECT, INSERT, UPDATE ON channel_account TO leo_dispatch;
GRANT SELECT, DELETE ON channel_account TO leo_eraser;

CREATE TABLE delivery_log (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    decision_id uuid NOT NULL,
    step integer DEFAULT 0 NOT NULL,
    choice integer NOT NULL,
    channel text NOT NULL,
    account_id uuid NOT NULL,
    template_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    profile_version integer NOT NULL,
    purpose text NOT NULL,
    recipient_ref text NOT NULL,
    recipient_hash bytea,
    recipient_key_id text DEFAULT ''::text NOT NULL,
    dedupe_key bytea NOT NULL,
    state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    in_doubt boolean DEFAULT false NOT NULL,
    due_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    attempt_count integer DEFAULT 0 NOT NULL,
    failure_count integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    provider_message_id text DEFAULT ''::text NOT NULL,
    resend_of uuid,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT delivery_log_pkey PRIMARY KEY (tenant_id, delivery_id) INCLUDE (state, attempt_count),
    CONSTRAINT delivery_log_tenant_id_decision_id_fkey FOREIGN KEY (tenant_id, decision_id) REFERENCES decision(tenant_id, decision_id),
    CONSTRAINT delivery_log_choice_check CHECK (choice >= 0),
    CONSTRAINT delivery_log_dedupe_key_check CHECK (octet_length(dedupe_key) = 32),
    CONSTRAINT delivery_log_sending_check CHECK ((state = 'sending'::text) = (lease_until IS NOT NULL)),
    CONSTRAINT delivery_log_state_check CHECK (state = ANY (ARRAY['pending'::text, 'sending'::text, 'accepted'::text, 'retry_wait'::text, 'failed'::text, 'suppressed'::text, 'expired'::text, 'cancelled'::text, 'outcome_unknown'::text, 'closed_unknown'::text, 'dead_letter'::text]))
);
COMMENT ON TABLE delivery_log IS
    'One message to one person by one channel, and where it stands. Written by dispatch.';
COMMENT ON COLUMN delivery_log.step IS
    'Of a journey; 0 so far.';
COMMENT ON COLUMN delivery_log.choice IS
    'The position in the order of fallback, from 0.';
COMMENT ON COLUMN delivery_log.profile_version IS
    'What the decision saw of the person.';
COMMENT ON COLUMN delivery_log.recipient_ref IS
    'The address, as its kind and place within the profile version that the decision saw.';
COMMENT ON COLUMN delivery_log.recipient_hash IS
    'Keyed hash of the address that was used; recipient_key_id names the key.';
COMMENT ON COLUMN delivery_log.recipient_key_id IS
    'Of the key of recipient_hash.';
COMMENT ON COLUMN delivery_log.dedupe_key IS
    'SHA-256 of decision, step, choice, channel and recipient_ref: it is made once.';
COMMENT ON COLUMN delivery_log.state IS
    'docs/reference/delivery.md draws the machine.';
COMMENT ON COLUMN delivery_log.reason IS
    'Why it stands there.';
COMMENT ON COLUMN delivery_log.in_doubt IS
    'An attempt ended without an answer: no later answer to another attempt takes that away.';
COMMENT ON COLUMN delivery_log.due_at IS
    'It is not tried before this.';
COMMENT ON COLUMN delivery_log.expires_at IS
    'It is not tried after this.';
COMMENT ON COLUMN delivery_log.epoch IS
    'The number of its last claim: whoever holds an older one writes nothing.';
COMMENT ON COLUMN delivery_log.attempt_count IS
    'How many intents it has.';
COMMENT ON COLUMN delivery_log.failure_count IS
    'How often its batch failed before the intent.';
COMMENT ON COLUMN delivery_log.lease_until IS
    'How long the worker that is sending it may hold it.';
COMMENT ON COLUMN delivery_log.resend_of IS
    'The delivery that a person let go out again.';
ALTER TABLE delivery_log ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX delivery_log_decision_v2 ON delivery_log USING btree (tenant_id, decision_id) WHERE decision_id IS NOT NULL;
CREATE UNIQUE INDEX delivery_log_dedupe_v1 ON delivery_log USING btree (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX delivery_log_due_v1 ON delivery_log USING btree (tenant_id, account_id, due_at) WHERE state = ANY (ARRAY['pending'::text, 'retry_wait'::text]);
CREATE INDEX delivery_log_lease_v1 ON delivery_log USING btree (lease_until) WHERE state = 'sending'::text;
CREATE INDEX delivery_log_next_choice_v1 ON delivery_log USING btree (tenant_id, decision_id) WHERE choice > 0;
CREATE INDEX delivery_log_open_v1 ON delivery_log USING btree (tenant_id, decision_id) WHERE state = ANY (ARRAY['pending'::text, 'sending'::text, 'retry_wait'::text, 'outcome_unknown'::text]);
CREATE INDEX delivery_log_profile_v2 ON delivery_log USING btree (tenant_id, profile_id, created_at) WHERE profile_id IS NOT NULL;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON delivery_log FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE delivery_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery_log FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON delivery_log FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON delivery_log FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON delivery_log TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON delivery_log TO leo_auditor;
GRANT SELECT ON delivery_log TO leo_decision;
GRANT SELECT, INSERT, UPDATE ON delivery_log TO leo_dispatch;
GRANT SELECT, UPDATE (recipient_hash), DELETE ON delivery_log TO leo_eraser;
GRANT SELECT (tenant_id, account_id, state, due_at, lease_until) ON delivery_log TO leo_finder;

CREATE TABLE delivery_attempt (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    attempt integer NOT NULL,
    phase text NOT NULL,
    epoch integer NOT NULL,
    kind text,
    provider_class text DEFAULT ''::text NOT NULL,
    provider_code text DEFAULT ''::text NOT NULL,
    provider_message_id text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    provider_key text DEFAULT ''::text NOT NULL,
    request_hash bytea,
    template_version integer,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    audit_entry_id uuid,
    leaf_no integer,
    salt bytea,
    CONSTRAINT delivery_attempt_pkey PRIMARY KEY (tenant_id, delivery_id, attempt, phase) INCLUDE (epoch, kind),
    CONSTRAINT delivery_attempt_tenant_id_audit_entry_id_fkey FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry(tenant_id, entry_id),
    CONSTRAINT delivery_attempt_tenant_id_delivery_id_fkey FOREIGN KEY (tenant_id, delivery_id) REFERENCES delivery_log(tenant_id, delivery_id),
    CONSTRAINT delivery_attempt_attempt_check CHECK (attempt > 0),
    CONSTRAINT delivery_attempt_kind_check CHECK (kind = ANY (ARRAY['accepted'::text, 'rejected'::text, 'retry_at'::text, 'unknown'::text])),
    CONSTRAINT delivery_attempt_kind_phase_check CHECK ((phase = 'intent'::text) = (kind IS NULL)),
    CONSTRAINT delivery_attempt_phase_check CHECK (phase = ANY (ARRAY['intent'::text, 'result'::text, 'late'::text]))
);
COMMENT ON TABLE delivery_attempt IS
    'Before each call to a provider the intent, after it the result. Written by dispatch.';
COMMENT ON COLUMN delivery_attempt.attempt IS
    'From 1.';
COMMENT ON COLUMN delivery_attempt.phase IS
    'intent before the call, result after it, late if it came after the lease.';
COMMENT ON COLUMN delivery_attempt.epoch IS
    'Of the claim that made it.';
COMMENT ON COLUMN delivery_attempt.kind IS
    'What the answer was: taken, a definite no, a definite no for now, or none.';
COMMENT ON COLUMN delivery_attempt.provider_class IS
    'The answer in the words of all channels.';
COMMENT ON COLUMN delivery_attempt.provider_code IS
    'The answer in the provider''s words.';
COMMENT ON COLUMN delivery_attempt.reason IS
    'Why, in words.';
COMMENT ON COLUMN delivery_attempt.provider_key IS
    'By which the provider knows a repeat.';
COMMENT ON COLUMN delivery_attempt.request_hash IS
    'Keyed hash of what went out.';
COMMENT ON COLUMN delivery_attempt.template_version IS
    'What the template was.';
ALTER TABLE delivery_attempt ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX delivery_attempt_audit_v1 ON delivery_attempt USING brin (tenant_id, audit_entry_id);
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON delivery_attempt FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE delivery_attempt ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempt FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON delivery_attempt FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON delivery_attempt TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON delivery_attempt TO leo_auditor;
GRANT SELECT ON delivery_attempt TO leo_decision;
GRANT SELECT, INSERT ON delivery_attempt TO leo_dispatch;
GRANT SELECT, UPDATE (salt), DELETE ON delivery_attempt TO leo_eraser;

CREATE TABLE delivery_receipt (
    tenant_id uuid NOT NULL,
    receipt_id uuid NOT NULL,
    account_id uuid NOT NULL,
    receipt_digest bytea NOT NULL,
    delivery_id uuid,
    kind text NOT NULL,
    provider_message_id text DEFAULT ''::text NOT NULL,
    raw bytea,
    occurred_at timestamp with time zone,
    received_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT delivery_receipt_pkey PRIMARY KEY (tenant_id, receipt_id),
    CONSTRAINT delivery_receipt_digest_key UNIQUE (tenant_id, account_id, receipt_digest),
    CONSTRAINT delivery_receipt_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES channel_account(tenant_id, account_id),
    CONSTRAINT delivery_receipt_digest_check CHECK (octet_length(receipt_digest) = 32),
    CONSTRAINT delivery_receipt_kind_check CHECK (kind = ANY (ARRAY['sent'::text, 'delivered'::text, 'read'::text, 'clicked'::text, 'bounced'::text, 'complained'::text, 'failed'::text, 'other'::text]))
);
COMMENT ON TABLE delivery_receipt IS
    'What a provider says later about a message, as it came in. Written by dispatch.';
COMMENT ON COLUMN delivery_receipt.receipt_digest IS
    'SHA-256 of the body and of the place in it: a repeat is known by it.';
COMMENT ON COLUMN delivery_receipt.delivery_id IS
    'NULL where it belongs to none.';
COMMENT ON COLUMN delivery_receipt.kind IS
    'What became of the message.';
COMMENT ON COLUMN delivery_receipt.raw IS
    'NULL after the person was erased.';
COMMENT ON COLUMN delivery_receipt.occurred_at IS
    'When, as the provider says.';
COMMENT ON COLUMN delivery_receipt.received_at IS
    'When it came in.';
ALTER TABLE delivery_receipt ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX delivery_receipt_delivery_v1 ON delivery_receipt USING btree (tenant_id, delivery_id);
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON delivery_receipt FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE delivery_receipt ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery_receipt FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON delivery_receipt FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON delivery_receipt TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON delivery_receipt TO leo_auditor;
GRANT SELECT ON delivery_receipt TO leo_decision;
GRANT SELECT, INSERT ON delivery_receipt TO leo_dispatch;
GRANT SELECT, UPDATE (raw), DELETE ON delivery_receipt TO leo_eraser;

CREATE TABLE segment_snapshot (
    tenant_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    segment_version integer NOT NULL,
    condition text NOT NULL,
    member_count integer NOT NULL,
    digest bytea NOT NULL,
    taken_at timestamp with time zone NOT NULL,
    audit_entry_id uuid NOT NULL,
    request_id uuid,
    request_digest bytea,
    CONSTRAINT segment_snapshot_pkey PRIMARY KEY (tenant_id, snapshot_id),
    CONSTRAINT segment_snapshot_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT segment_snapshot_tenant_id_audit_entry_id_fkey FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry(tenant_id, entry_id),
    CONSTRAINT segment_snapshot_tenant_id_segment_id_fkey FOREIGN KEY (tenant_id, segment_id) REFERENCES segment(tenant_id, segment_id),
    CONSTRAINT segment_snapshot_digest_check CHECK (octet_length(digest) = 32),
    CONSTRAINT segment_snapshot_member_count_check CHECK (member_count >= 0),
    CONSTRAINT segment_snapshot_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT segment_snapshot_segment_version_check CHECK (segment_version > 0)
);
COMMENT ON TABLE segment_snapshot IS
    'Who was in a segment at one moment, for good. Written by segment.';
COMMENT ON COLUMN segment_snapshot.segment_version IS
    'What the segment was.';
COMMENT ON COLUMN segment_snapshot.condition IS
    'As the segment had it.';
COMMENT ON COLUMN segment_snapshot.member_count IS
    'Over all chunks.';
COMMENT ON COLUMN segment_snapshot.digest IS
    'SHA-256 over this row and every chunk of its members: docs/reference/snapshots.md.';
COMMENT ON COLUMN segment_snapshot.taken_at IS
    'When the members were looked for.';
ALTER TABLE segment_snapshot ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER prevent_snapshot_removal BEFORE DELETE OR UPDATE OR TRUNCATE ON segment_snapshot FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE segment_snapshot ENABLE ROW LEVEL SECURITY;
ALTER TABLE segment_snapshot FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON segment_snapshot FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON segment_snapshot TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON segment_snapshot TO leo_auditor;
GRANT SELECT ON segment_snapshot TO leo_decision;
GRANT SELECT (tenant_id, snapshot_id, member_count) ON segment_snapshot TO leo_dispatch;
GRANT SELECT, DELETE ON segment_snapshot TO leo_eraser;
GRANT SELECT, INSERT ON segment_snapshot TO leo_segment;

CREATE TABLE campaign_launch (
    tenant_id uuid NOT NULL,
    launch_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    rule_version integer NOT NULL,
    snapshot_id uuid NOT NULL,
    state text NOT NULL,
    actor text NOT NULL,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    removed_count integer DEFAULT 0 NOT NULL,
    CONSTRAINT campaign_launch_pkey PRIMARY KEY (tenant_id, launch_id),
    CONSTRAINT campaign_launch_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT campaign_launch_tenant_id_campaign_id_fkey FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign(tenant_id, campaign_id),
    CONSTRAINT campaign_launch_tenant_id_rule_id_rule_version_fkey FOREIGN KEY (tenant_id, rule_id, rule_version) REFERENCES activation_rule_version(tenant_id, rule_id, version),
    CONSTRAINT campaign_launch_tenant_id_snapshot_id_fkey FOREIGN KEY (tenant_id, snapshot_id) REFERENCES segment_snapshot(tenant_id, snapshot_id),
    CONSTRAINT campaign_launch_removed_count_check CHECK (removed_count >= 0),
    CONSTRAINT campaign_launch_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT campaign_launch_state_check CHECK (state = ANY (ARRAY['running'::text, 'succeeded'::text]))
);
COMMENT ON TABLE campaign_launch IS
    'A rule, in one version, asked about everybody in a snapshot. Written by decision.';
COMMENT ON COLUMN campaign_launch.rule_version IS
    'What the rule said.';
COMMENT ON COLUMN campaign_launch.state IS
    'running until every member is decided about. How many are stands in their decisions alone.';
COMMENT ON COLUMN campaign_launch.actor IS
    'Who launched it: the decisions are made on their behalf.';
COMMENT ON COLUMN campaign_launch.updated_at IS
    'When its state changed.';
COMMENT ON COLUMN campaign_launch.removed_count IS
    'How many of its decisions were removed for their age. Written by the door.';
ALTER TABLE campaign_launch ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX campaign_launch_campaign_v1 ON campaign_launch USING btree (tenant_id, campaign_id, launch_id);
CREATE INDEX campaign_launch_running_v1 ON campaign_launch USING btree (tenant_id, launch_id) WHERE state = 'running'::text;
CREATE TRIGGER update_timestamp BEFORE UPDATE OF state ON campaign_launch FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE campaign_launch ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_launch FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON campaign_launch FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY finder_looks ON campaign_launch FOR SELECT TO leo_finder
    USING (true);
CREATE POLICY tenant_isolation ON campaign_launch TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON campaign_launch TO leo_auditor;
GRANT SELECT, INSERT, UPDATE (state) ON campaign_launch TO leo_decision;
GRANT SELECT (tenant_id, launch_id, snapshot_id, state, removed_count) ON campaign_launch TO leo_dispatch;
GRANT SELECT, UPDATE (removed_count), DELETE ON campaign_launch TO leo_eraser;
GRANT SELECT (tenant_id, state) ON campaign_launch TO leo_finder;

CREATE TABLE segment_snapshot_member (
    tenant_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    chunk_no integer NOT NULL,
    member_count integer NOT NULL,
    profile_nos bigint[] NOT NULL,
    profile_versions integer[] NOT NULL,
    consent_keys text[] NOT NULL,
    consents bytea NOT NULL,
    CONSTRAINT segment_snapshot_member_pkey PRIMARY KEY (tenant_id, snapshot_id, chunk_no),
    CONSTRAINT segment_snapshot_member_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id) REFERENCES segment_snapshot(tenant_id, snapshot_id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT segment_snapshot_member_chunk_no_check CHECK (chunk_no >= 0),
    CONSTRAINT segment_snapshot_member_count_check CHECK (member_count >= 1 AND member_count <= 10000),
    CONSTRAINT segment_snapshot_member_shape_check CHECK (cardinality(profile_nos) = member_count AND cardinality(profile_versions) = member_count AND octet_length(consents) = (cardinality(consent_keys) * ((member_count + 7) / 8)))
);
COMMENT ON TABLE segment_snapshot_member IS
    'Up to 10,000 members of a snapshot, by profile_no; a view shows them as rows. Written by segment.';
COMMENT ON COLUMN segment_snapshot_member.chunk_no IS
    'From 0, without a gap.';
COMMENT ON COLUMN segment_snapshot_member.member_count IS
    '10,000 but in the last chunk.';
COMMENT ON COLUMN segment_snapshot_member.profile_nos IS
    'Rising, within a chunk and from one to the next.';
COMMENT ON COLUMN segment_snapshot_member.profile_versions IS
    'What each of them was, in the same order.';
COMMENT ON COLUMN segment_snapshot_member.consent_keys IS
    'The pairs channel.purpose that a member of the chunk had consented to, sorted.';
COMMENT ON COLUMN segment_snapshot_member.consents IS
    'For each key in turn a bit a member, filled up to whole bytes; the lowest bit comes first.';
ALTER TABLE segment_snapshot_member ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER prevent_snapshot_growth BEFORE INSERT ON segment_snapshot_member FOR EACH ROW EXECUTE FUNCTION refuse_late_member_v1();
CREATE TRIGGER prevent_snapshot_removal BEFORE DELETE OR UPDATE OR TRUNCATE ON segment_snapshot_member FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE segment_snapshot_member ENABLE ROW LEVEL SECURITY;
ALTER TABLE segment_snapshot_member FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON segment_snapshot_member FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON segment_snapshot_member TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON segment_snapshot_member TO leo_auditor;
GRANT SELECT ON segment_snapshot_member TO leo_decision;
GRANT SELECT (tenant_id, snapshot_id, profile_nos) ON segment_snapshot_member TO leo_dispatch;
GRANT SELECT, DELETE ON segment_snapshot_member TO leo_eraser;
GRANT SELECT, INSERT ON segment_snapshot_member TO leo_segment;

CREATE TABLE agent_task (
    tenant_id uuid NOT NULL,
    task_id uuid NOT NULL,
    kind text NOT NULL,
    profile_id uuid,
    profile_version integer,
    rule_id uuid,
    rule_version integer,
    instruction text,
    state text NOT NULL,
    attempt_count integer DEFAULT 0 NOT NULL,
    backend text DEFAULT ''::text NOT NULL,
    model_hash bytea,
    proposal jsonb,
    reasoning_trace jsonb,
    reasoning_summary text DEFAULT ''::text NOT NULL,
    approval_required boolean NOT NULL,
    reviewer text DEFAULT ''::text NOT NULL,
    reviewed_at timestamp with time zone,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT agent_task_pkey PRIMARY KEY (tenant_id, task_id),
    CONSTRAINT agent_task_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT agent_task_tenant_id_profile_id_fkey FOREIGN KEY (tenant_id, profile_id) REFERENCES cdp_profiles(tenant_id, profile_id),
    CONSTRAINT agent_task_tenant_id_rule_id_rule_version_fkey FOREIGN KEY (tenant_id, rule_id, rule_version) REFERENCES activation_rule_version(tenant_id, rule_id, version),
    CONSTRAINT agent_task_approval_check CHECK ((kind <> 'plan'::text OR approval_required) AND (approval_required OR (state <> ALL (ARRAY['awaiting_approval'::text, 'rejected'::text]))) AND (reviewed_at IS NOT NULL) = (approval_required AND (state = ANY (ARRAY['succeeded'::text, 'rejected'::text]))) AND (reviewed_at IS NULL) = (reviewer = ''::text)),
    CONSTRAINT agent_task_attempt_count_check CHECK (attempt_count >= 0 AND attempt_count <= 3),
    CONSTRAINT agent_task_kind_check CHECK (kind = ANY (ARRAY['activation'::text, 'plan'::text])),
    CONSTRAINT agent_task_model_hash_check CHECK (octet_length(model_hash) = 32),
    CONSTRAINT agent_task_proposal_check CHECK ((proposal IS NOT NULL) = (state = ANY (ARRAY['awaiting_approval'::text, 'succeeded'::text, 'rejected'::text])) AND (proposal IS NULL OR attempt_count > 0 AND backend <> ''::text AND reasoning_trace IS NOT NULL AND reasoning_summary <> ''::text)),
    CONSTRAINT agent_task_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT agent_task_state_check CHECK (state = ANY (ARRAY['pending'::text, 'running'::text, 'awaiting_approval'::text, 'succeeded'::text, 'rejected'::text, 'failed'::text])),
    CONSTRAINT agent_task_subject_check CHECK ((kind = 'activation'::text) = (profile_id IS NOT NULL) AND (profile_id IS NULL) = (profile_version IS NULL) AND (rule_id IS NULL) = (rule_version IS NULL) AND (kind = 'plan'::text) = (instruction IS NOT NULL))
);
COMMENT ON TABLE agent_task IS
    'A run of an agent, and what it proposes; no run is made yet. Written by decision.';
COMMENT ON COLUMN agent_task.kind IS
    'activation: an action for a person; plan: a marketer''s words as an action.';
COMMENT ON COLUMN agent_task.profile_version IS
    'What the agent saw of the person.';
COMMENT ON COLUMN agent_task.rule_version IS
    'What the rule that asks for an agent said.';
COMMENT ON COLUMN agent_task.instruction IS
    'The marketer''s words.';
COMMENT ON COLUMN agent_task.state IS
    'failed: no attempt gave a proposal; rejected: a person said no.';
COMMENT ON COLUMN agent_task.attempt_count IS
    'Three at most.';
COMMENT ON COLUMN agent_task.backend IS
    'What ran last; empty before the first attempt.';
COMMENT ON COLUMN agent_task.model_hash IS
    'SHA-256 of the weights; NULL where they are not here.';
COMMENT ON COLUMN agent_task.proposal IS
    'A call of one of the tenant''s own actions, well formed; rules may still refuse it.';
COMMENT ON COLUMN agent_task.reasoning_trace IS
    'Prompt hash, candidates with their scores, tokens and latency of each attempt.';
COMMENT ON COLUMN agent_task.reasoning_summary IS
    'Why it proposes that, in words.';
COMMENT ON COLUMN agent_task.approval_required IS
    'Nothing comes of it until a person said yes.';
COMMENT ON COLUMN agent_task.reviewer IS
    'Who said yes or no: the subject of a token.';
COMMENT ON COLUMN agent_task.reviewed_at IS
    'When; NULL before, and where nobody is asked.';
ALTER TABLE agent_task ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON agent_task FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE agent_task ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_task FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON agent_task FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON agent_task TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON agent_task TO leo_auditor;
GRANT SELECT, INSERT, UPDATE (state, attempt_count, backend, model_hash, proposal, reasoning_trace, reasoning_summary, reviewer, reviewed_at) ON agent_task TO leo_decision;
GRANT SELECT, DELETE ON agent_task TO leo_eraser;

CREATE TABLE suppression (
    tenant_id uuid NOT NULL,
    suppression_id uuid NOT NULL,
    channel text NOT NULL,
    recipient_key_id text NOT NULL,
    recipient_hash bytea NOT NULL,
    cause text NOT NULL,
    source text NOT NULL,
    delivery_id uuid,
    request_id uuid,
    request_digest bytea,
    created_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    lifted_at timestamp with time zone,
    lift_request_id uuid,
    lift_request_digest bytea,
    updated_at timestamp with time zone DEFAULT leo_now() NOT NULL,
    CONSTRAINT suppression_pkey PRIMARY KEY (tenant_id, suppression_id),
    CONSTRAINT suppression_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(tenant_id),
    CONSTRAINT suppression_cause_check CHECK (cause = ANY (ARRAY['bounced'::text, 'complained'::text, 'rejected'::text, 'requested'::text])),
    CONSTRAINT suppression_delivery_check CHECK ((source = 'call'::text) = (delivery_id IS NULL)),
    CONSTRAINT suppression_lift_request_check CHECK ((lift_request_id IS NULL) = (lift_request_digest IS NULL) AND (lift_request_id IS NULL OR lifted_at IS NOT NULL)),
    CONSTRAINT suppression_recipient_hash_check CHECK (octet_length(recipient_hash) = 32),
    CONSTRAINT suppression_request_check CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    CONSTRAINT suppression_source_check CHECK (source = ANY (ARRAY['delivery'::text, 'receipt'::text, 'call'::text]))
);
COMMENT ON TABLE suppression IS
    'An address to which nothing is sent by a channel, as a keyed hash. Written by dispatch.';
COMMENT ON COLUMN suppression.suppression_id IS
    'UUIDv7, made by dispatch.';
COMMENT ON COLUMN suppression.channel IS
    'By which nothing is sent to the address.';
COMMENT ON COLUMN suppression.recipient_key_id IS
    'Of the key of recipient_hash, as in delivery_log: a key of LEO_DISPATCH_CREDENTIAL_KEYS, which stays there as long as this row is in force.';
COMMENT ON COLUMN suppression.recipient_hash IS
    'Keyed hash of the address, as in delivery_log; never the address.';
COMMENT ON COLUMN suppression.cause IS
    'Why: it came back, the person complained, the provider refuses it for good, somebody asked.';
COMMENT ON COLUMN suppression.source IS
    'What told it: the answer to a delivery, a receipt, or a call of Suppress.';
COMMENT ON COLUMN suppression.delivery_id IS
    'The delivery that was answered, or that the receipt is about; NULL for a call.';
COMMENT ON COLUMN suppression.request_id IS
    'The client''s name for the call of Suppress, if any.';
COMMENT ON COLUMN suppression.request_digest IS
    'Keyed, because the request holds the address: HMAC-SHA-256 over its canonical body.';
COMMENT ON COLUMN suppression.lifted_at IS
    'NULL while it is in force.';
COMMENT ON COLUMN suppression.lift_request_id IS
    'The client''s name for the call of Unsuppress, if any.';
COMMENT ON COLUMN suppression.lift_request_digest IS
    'As request_digest, of Unsuppress.';
ALTER TABLE suppression ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE INDEX suppression_lift_request_v1 ON suppression USING btree (tenant_id, lift_request_id) WHERE lift_request_id IS NOT NULL;
CREATE UNIQUE INDEX suppression_recipient_v1 ON suppression USING btree (tenant_id, channel, recipient_key_id, recipient_hash) WHERE lifted_at IS NULL;
CREATE INDEX suppression_request_v1 ON suppression USING btree (tenant_id, request_id) WHERE request_id IS NOT NULL;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON suppression FOR EACH ROW EXECUTE FUNCTION update_timestamp();
ALTER TABLE suppression ENABLE ROW LEVEL SECURITY;
ALTER TABLE suppression FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON suppression FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON suppression TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));
GRANT SELECT ON suppression TO leo_auditor;
GRANT SELECT, INSERT, UPDATE (lifted_at, lift_request_id, lift_request_digest) ON suppression TO leo_dispatch;
GRANT SELECT, DELETE ON suppression TO leo_eraser;

CREATE PROCEDURE isolate_tenants_v1(IN p_table regclass)
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $procedure$
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
$procedure$;
COMMENT ON PROCEDURE isolate_tenants_v1(IN p_table regclass) IS
    'For migrations: each tenant sees its own rows of the table, the auditor all of them.';

CREATE PROCEDURE make_append_only_v1(IN p_table regclass)
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $procedure$
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
$procedure$;
COMMENT ON PROCEDURE make_append_only_v1(IN p_table regclass) IS
    'For migrations: rows of the table stay as they were inserted.';

CREATE FUNCTION enter_tenant_v1(p_tenant_id uuid, p_statement_timeout_ms integer)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM
        set_config('leo.tenant_id', p_tenant_id::text, true),
        set_config('statement_timeout', p_statement_timeout_ms::text, true);
    RETURN (SELECT state FROM tenant WHERE tenant_id = p_tenant_id);
END
$function$;
COMMENT ON FUNCTION enter_tenant_v1(p_tenant_id uuid, p_statement_timeout_ms integer) IS
    'Sets the tenant and the statement time-out of the transaction; the state of the tenant or NULL.';
GRANT EXECUTE ON FUNCTION enter_tenant_v1(p_tenant_id uuid, p_statement_timeout_ms integer) TO leo_decision, leo_dispatch, leo_ingest, leo_segment;

CREATE FUNCTION audit_append_v1(p_entry_id uuid, p_kind text, p_actor text, p_call_id text, p_recorded_table text, p_member_count integer, p_root bytea, p_details jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION audit_append_v1(p_entry_id uuid, p_kind text, p_actor text, p_call_id text, p_recorded_table text, p_member_count integer, p_root bytea, p_details jsonb) IS
    'Appends an audit entry to the tenant of the transaction.';
GRANT EXECUTE ON FUNCTION audit_append_v1(p_entry_id uuid, p_kind text, p_actor text, p_call_id text, p_recorded_table text, p_member_count integer, p_root bytea, p_details jsonb) TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_segment;

CREATE FUNCTION ledger_events_v1(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 5e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_hashagg TO 'off'
 SET enable_sort TO 'off'
AS $function$
SELECT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT coalesce(e.tenant_id, d.tenant_id) AS tenant_id, e.event_id, d.trigger_id
    FROM marketing_event AS e
    FULL JOIN (
        SELECT tenant_id, trigger_id FROM decision WHERE trigger_kind = 'event' AND ordinal = 0
    ) AS d ON d.tenant_id = e.tenant_id AND d.trigger_id = e.event_id
    WHERE e.event_id IS NULL OR d.trigger_id IS NULL
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        'A1' AS equation,
        p.event_id AS subject_id,
        format('event received at %s, and nothing is decided about it', e.received_at) AS detail
    FROM marketing_event AS e
    WHERE p.trigger_id IS NULL
        AND e.tenant_id = p.tenant_id AND e.event_id = p.event_id
        AND e.received_at <= leo_now() - grace
    UNION ALL
    SELECT 'A11', d.decision_id, format('the event of the decision is of tenant %s', e.tenant_id)
    FROM decision AS d
    CROSS JOIN tenant AS t
    JOIN marketing_event AS e ON e.tenant_id = t.tenant_id AND e.event_id = d.trigger_id
    WHERE p.event_id IS NULL
        AND d.tenant_id = p.tenant_id AND d.trigger_kind = 'event' AND d.trigger_id = p.trigger_id
) AS b
$function$;
COMMENT ON FUNCTION ledger_events_v1(grace interval) IS
    'A1, A11: events and their decisions.';
GRANT EXECUTE ON FUNCTION ledger_events_v1(grace interval) TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_decisions_v1(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 4e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_hashagg TO 'off'
 SET enable_sort TO 'off'
AS $function$
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
$function$;
COMMENT ON FUNCTION ledger_decisions_v1(grace interval) IS
    'A2, A11: decisions and their deliveries.';
GRANT EXECUTE ON FUNCTION ledger_decisions_v1(grace interval) TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_flights_v1(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 100000 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
$function$;
COMMENT ON FUNCTION ledger_flights_v1(grace interval) IS
    'A3: deliveries that should have come to rest.';
GRANT EXECUTE ON FUNCTION ledger_flights_v1(grace interval) TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_deliveries_v1(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 8e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_hashagg TO 'off'
 SET enable_sort TO 'off'
AS $function$
SELECT f.equation, p.tenant_id, p.delivery_id, f.detail
FROM (
    SELECT
        coalesce(l.tenant_id, a.tenant_id) AS tenant_id,
        coalesce(l.delivery_id, a.delivery_id) AS delivery_id,
        l.state,
        l.state IN ('failed', 'suppressed', 'expired', 'cancelled', 'dead_letter') AS denied,
        l.attempt_count
    FROM delivery_log AS l
    FULL JOIN (
        -- Two sums say what a history looks like, where more would take longer. Rows of an attempt
        -- are unique, and up to nine attempts do not carry over, so the digits of `code` are, from
        -- the right: numbers of the intents (2), of the results for now (2), of the last words (2),
        -- and how many of these are yes, no and no answer (1 each).
        SELECT
            tenant_id,
            delivery_id,
            count(*) AS row_count,
            sum(CASE
                WHEN epoch <> attempt OR attempt > 9 OR phase = 'late' THEN 2000000000
                WHEN kind IS NULL THEN attempt
                WHEN kind = 'accepted' THEN 1000000 + 10000 * attempt
                WHEN kind = 'retry_at' THEN 100 * attempt
                WHEN kind = 'rejected' THEN 10000000 + 10000 * attempt
                ELSE 100000000 + 10000 * attempt
            END) AS code
        FROM delivery_attempt
        GROUP BY tenant_id, delivery_id
    ) AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
    -- Nothing to ask about those that were never handed to a provider, and about those of n attempts
    -- with an answer to each: n - 1 for now and a last word that agrees with the state, or all of
    -- them for now. So many rows with these sums are the numbers 1 to n, once each, and no others.
    WHERE CASE
        WHEN a.row_count IS NULL THEN l.attempt_count <> 0
            OR l.state NOT IN ('pending', 'suppressed', 'expired', 'cancelled', 'dead_letter')
        ELSE (
            a.row_count = 2 * l.attempt_count
            AND CASE a.code - 101 * (l.attempt_count * (l.attempt_count + 1) / 2)
                WHEN 1000000 + 9900 * l.attempt_count THEN l.state = 'accepted'
                WHEN 0 THEN l.state IN (
                    'retry_wait', 'failed', 'suppressed', 'expired', 'cancelled', 'dead_letter'
                )
                WHEN 10000000 + 9900 * l.attempt_count THEN l.state = 'failed'
                WHEN 100000000 + 9900 * l.attempt_count
                    THEN l.state IN ('outcome_unknown', 'closed_unknown')
            END
        ) IS NOT TRUE
    END
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE phase = 'intent') AS intent_count,
        count(*) FILTER (WHERE phase = 'result') AS result_count,
        count(*) FILTER (WHERE phase = 'intent')
        - count(*) FILTER (WHERE phase = 'result') AS open_count,
        count(*) FILTER (WHERE phase = 'result' AND kind = 'unknown')
        - count(*) FILTER (WHERE phase = 'late' AND kind <> 'unknown') AS doubt_count,
        count(*) FILTER (WHERE kind = 'accepted') AS accepted_count,
        coalesce(max(attempt) FILTER (WHERE phase = 'intent'), 0) AS last_intent,
        coalesce(max(attempt) FILTER (WHERE phase = 'result'), 0) AS last_result,
        max(attempt) FILTER (
            WHERE phase = 'result' AND kind IN ('accepted', 'rejected')
        ) AS last_final,
        coalesce(max(created_at) <= leo_now() - grace, true) AS settled
    FROM delivery_attempt
    WHERE tenant_id = p.tenant_id AND delivery_id = p.delivery_id
) AS a
-- Questions that need a look into other rows are scalar sub-selects: an EXISTS might be hashed over
-- all rows.
CROSS JOIN LATERAL (
    SELECT d.tenant_id AS elsewhere
    FROM (SELECT) AS nowhere
    LEFT JOIN (
        tenant AS t
        JOIN delivery_log AS d ON d.tenant_id = t.tenant_id
    ) ON p.state IS NULL AND d.delivery_id = p.delivery_id
    LIMIT 1
) AS o
CROSS JOIN LATERAL (
    VALUES
    (
        p.state IS NULL AND o.elsewhere IS NULL, 'A2', 'attempts without a delivery'
    ),
    (
        o.elsewhere IS NOT NULL, 'A11',
        format('the delivery of the attempts is of tenant %s', o.elsewhere)
    ),
    (
        p.state = 'accepted' AND a.accepted_count = 0 AND (
            SELECT count(*)
            FROM delivery_receipt AS c
            WHERE c.tenant_id = p.tenant_id AND c.delivery_id = p.delivery_id
                AND c.kind IN ('sent', 'delivered', 'read', 'clicked')
        ) = 0,
        'A6', 'accepted, but no result and no receipt says so'
    ),
    (
        p.denied AND a.accepted_count > 0, 'A6', format('%s, but an attempt was accepted', p.state)
    ),
    (
        p.denied AND (a.open_count > 0 OR a.doubt_count > 0), 'A6',
        format('%s, but an attempt is without an answer', p.state)
    ),
    (
        p.state IN ('pending', 'retry_wait', 'outcome_unknown') AND a.accepted_count > 0
        AND a.settled,
        'A6', format('%s, but an attempt was accepted', p.state)
    ),
    (
        p.state = 'outcome_unknown' AND a.accepted_count + a.open_count + a.doubt_count = 0
        AND a.settled,
        'A6', 'outcome_unknown, but every attempt has its answer'
    ),
    (
        a.open_count <> CASE WHEN p.state = 'sending' THEN 1 ELSE 0 END
        AND NOT (p.denied AND a.open_count > 0),
        'A7',
        format('%s with %s intents and %s results', p.state, a.intent_count, a.result_count)
    ),
    (
        p.attempt_count <> a.intent_count, 'A7',
        format('it counts %s attempts, but has %s intents', p.attempt_count, a.intent_count)
    ),
    (
        a.result_count > a.last_result, 'A7', 'an attempt has more than one result'
    ),
    (
        a.last_result > a.last_intent, 'A7', 'a result without an intent'
    ),
    (
        (
            SELECT count(*)
            FROM delivery_attempt AS b
            LEFT JOIN delivery_attempt AS r
                ON r.tenant_id = b.tenant_id AND r.delivery_id = b.delivery_id
                AND r.attempt = b.attempt AND r.phase = 'result' AND r.kind = 'unknown'
            WHERE b.tenant_id = p.tenant_id AND b.delivery_id = p.delivery_id
                AND b.phase = 'late' AND r.attempt IS NULL
        ) > 0,
        'A7', 'a late result without an ambiguous one that it corrects'
    ),
    (
        a.last_intent > a.intent_count, 'A14', 'the numbers of the attempts have a gap'
    ),
    (
        a.last_result > a.result_count, 'A14', 'an attempt began before the one before it ended'
    ),
    (
        a.last_final < a.last_intent, 'A14', 'an attempt after a final answer'
    ),
    (
        (
            SELECT count(*)
            FROM delivery_attempt AS i
            JOIN delivery_attempt AS b
                ON b.tenant_id = i.tenant_id AND b.delivery_id = i.delivery_id
            WHERE i.tenant_id = p.tenant_id AND i.delivery_id = p.delivery_id
                AND i.phase = 'intent'
                AND (
                    b.phase = 'intent' AND b.attempt = i.attempt + 1 AND b.epoch <= i.epoch
                    OR b.phase <> 'intent' AND b.attempt = i.attempt AND b.epoch < i.epoch
                )
        ) > 0,
        'A14', 'the epochs of the attempts do not rise'
    )
) AS f (broken, equation, detail)
WHERE f.broken
$function$;
COMMENT ON FUNCTION ledger_deliveries_v1(grace interval) IS
    'A2, A6, A7, A11, A14: deliveries and their attempts.';
GRANT EXECUTE ON FUNCTION ledger_deliveries_v1(grace interval) TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_cooldowns_v1()
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 4e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_hashagg TO 'off'
 SET enable_sort TO 'off'
AS $function$
SELECT
    'A8',
    p.tenant_id,
    (
        SELECT d.decision_id
        FROM decision AS d
        WHERE d.outcome = 'acted' AND d.tenant_id = p.tenant_id AND d.rule_id = p.rule_id
            AND d.profile_id = p.profile_id AND d.decided_at = p.decided_at
        LIMIT 1
    ),
    format('acted %s after the rule had acted before, within %s', p.gap, p.cooldown)
FROM (
    SELECT
        tenant_id,
        rule_id,
        profile_id,
        decided_at,
        cooldown,
        decided_at - lag(decided_at) OVER (
            PARTITION BY tenant_id, rule_id, profile_id ORDER BY decided_at
        ) AS gap
    FROM decision
    WHERE outcome = 'acted'
) AS p
WHERE p.gap < p.cooldown
$function$;
COMMENT ON FUNCTION ledger_cooldowns_v1() IS
    'A8: acting decisions of one rule and profile.';
GRANT EXECUTE ON FUNCTION ledger_cooldowns_v1() TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_receipts_v1()
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 3e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_hashagg TO 'off'
 SET enable_sort TO 'off'
AS $function$
-- Each of a delivery's receipts leads to all of them.
SELECT DISTINCT b.equation, p.tenant_id, b.subject_id, b.detail
FROM (
    SELECT c.tenant_id, c.delivery_id, l.state
    FROM delivery_receipt AS c
    LEFT JOIN delivery_log AS l ON l.tenant_id = c.tenant_id AND l.delivery_id = c.delivery_id
    WHERE c.delivery_id IS NOT NULL
        -- Which is soon said of most.
        AND (l.state = 'accepted') IS NOT TRUE
        AND coalesce(
            l.state IN ('failed', 'suppressed', 'expired', 'cancelled', 'dead_letter'), true
        )
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN p.state IS NOT NULL THEN 'A6' WHEN o.tenant_id IS NULL THEN 'A2' ELSE 'A11' END
            AS equation,
        CASE WHEN p.state IS NOT NULL THEN p.delivery_id ELSE c.receipt_id END AS subject_id,
        CASE
            WHEN p.state IS NOT NULL THEN format('%s, but a receipt says %s', p.state, c.kind)
            WHEN o.tenant_id IS NULL THEN 'a receipt without its delivery'
            ELSE format('the delivery of the receipt is of tenant %s', o.tenant_id)
        END AS detail
    FROM delivery_receipt AS c
    LEFT JOIN LATERAL (
        SELECT l.tenant_id
        FROM tenant AS t
        JOIN delivery_log AS l ON l.tenant_id = t.tenant_id AND l.delivery_id = c.delivery_id
        WHERE p.state IS NULL
        LIMIT 1
    ) AS o ON true
    WHERE c.tenant_id = p.tenant_id AND c.delivery_id = p.delivery_id
        -- A provider may say failed of what it never took.
        AND (p.state IS NULL OR c.kind NOT IN ('failed', 'other'))
    OFFSET 0
) AS b
$function$;
COMMENT ON FUNCTION ledger_receipts_v1() IS
    'A2, A6, A11: receipts and their deliveries.';
GRANT EXECUTE ON FUNCTION ledger_receipts_v1() TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_breach(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
$function$;
COMMENT ON FUNCTION ledger_breach(grace interval) IS
    'Each violation of what must balance, leaving out what is younger than the grace; 0 when quiet.';
GRANT EXECUTE ON FUNCTION ledger_breach(grace interval) TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_launches_v1()
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 1e+06 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
AS $function$
SELECT 'A17', p.tenant_id, p.launch_id, b.detail
FROM (
    SELECT
        coalesce(n.tenant_id, d.tenant_id) AS tenant_id,
        coalesce(n.launch_id, d.trigger_id) AS launch_id,
        n.snapshot_id,
        n.state,
        n.removed_count,
        s.member_count,
        coalesce(d.decision_count, 0) AS decision_count
    FROM campaign_launch AS n
    JOIN segment_snapshot AS s ON s.tenant_id = n.tenant_id AND s.snapshot_id = n.snapshot_id
    FULL JOIN (
        SELECT tenant_id, trigger_id, count(*) AS decision_count
        FROM decision
        WHERE trigger_kind = 'launch'
        GROUP BY tenant_id, trigger_id
    ) AS d ON d.tenant_id = n.tenant_id AND d.trigger_id = n.launch_id
    OFFSET 0
) AS p
CROSS JOIN LATERAL (
    SELECT format('%s decisions of a launch that is not there', p.decision_count) AS detail
    WHERE p.state IS NULL
    UNION ALL
    SELECT format(
        '%s decisions about %s members', p.decision_count + p.removed_count, p.member_count
    )
    WHERE p.decision_count + p.removed_count > p.member_count
    UNION ALL
    SELECT format(
        'succeeded, and nothing is decided about %s members', m.missing_count - p.removed_count
    )
    FROM (
        SELECT count(*) AS missing_count
        FROM segment_snapshot_member AS m
        CROSS JOIN LATERAL unnest(m.profile_nos) AS u (profile_no)
        JOIN cdp_profiles AS f ON f.tenant_id = m.tenant_id AND f.profile_no = u.profile_no
        LEFT JOIN decision AS d
            ON d.tenant_id = p.tenant_id AND d.trigger_kind = 'launch'
            AND d.trigger_id = p.launch_id AND d.profile_id = f.profile_id
        WHERE p.state = 'succeeded' AND p.decision_count + p.removed_count < p.member_count
            AND m.tenant_id = p.tenant_id AND m.snapshot_id = p.snapshot_id
            AND d.decision_id IS NULL
    ) AS m
    WHERE m.missing_count > p.removed_count
) AS b
$function$;
COMMENT ON FUNCTION ledger_launches_v1() IS
    'A17: launches and their decisions.';
GRANT EXECUTE ON FUNCTION ledger_launches_v1() TO leo_auditor, leo_decision, leo_dispatch;

CREATE FUNCTION ledger_seals_v1(grace interval)
 RETURNS TABLE(equation text, tenant_id uuid, subject_id uuid, detail text)
 LANGUAGE sql
 STABLE PARALLEL SAFE COST 100000 ROWS 10
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET jit TO 'off'
AS $function$
SELECT
    'A10', e.tenant_id, e.entry_id, format('%s, written at %s, is not sealed', e.kind, e.created_at)
FROM tenant AS t
LEFT JOIN relay_watermark AS w ON w.tenant_id = t.tenant_id AND w.hop = 'seal'
-- Not to be turned into a join, which would read every entry there ever was.
CROSS JOIN LATERAL (
    SELECT e.*
    FROM audit_entry AS e
    WHERE e.tenant_id = t.tenant_id AND e.transaction_id >= coalesce(w.position, '0'::xid8)
    OFFSET 0
) AS e
WHERE e.created_at <= leo_now() - grace
    AND (
        SELECT true
        FROM audit_seal AS s
        WHERE s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id
        LIMIT 1
    ) IS NULL
$function$;
COMMENT ON FUNCTION ledger_seals_v1(grace interval) IS
    'A10: audit entries older than the grace without a seal.';
GRANT EXECUTE ON FUNCTION ledger_seals_v1(grace interval) TO leo_auditor, leo_decision;

CREATE FUNCTION enter_platform_v1()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    PERFORM set_config('leo.platform', 'on', true);
END
$function$;
COMMENT ON FUNCTION enter_platform_v1() IS
    'Lets the transaction see every row of tenant, and of no other table.';
GRANT EXECUTE ON FUNCTION enter_platform_v1() TO leo_ingest;

CREATE FUNCTION tenant_tables_v1()
 RETURNS TABLE(table_name text, removal_order integer)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
WITH RECURSIVE owned AS (
    SELECT c.oid, c.relname::text AS table_name
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE c.relnamespace = 'public'::regnamespace
        AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition
        AND c.relname NOT IN ('tenant', 'audit_entry', 'audit_seal', 'relay_watermark')
), step AS (
    SELECT oid, 0 AS depth FROM owned
    UNION
    -- A circle of foreign keys would have no order; the depth only keeps this from going on for ever.
    SELECT f.conrelid, s.depth + 1
    FROM step AS s
    JOIN pg_constraint AS f ON f.contype = 'f' AND f.confrelid = s.oid AND f.conrelid <> s.oid
    WHERE s.depth < 100
)
SELECT o.table_name, (100 - max(s.depth))::int
FROM owned AS o
JOIN step AS s ON s.oid = o.oid
GROUP BY o.table_name
ORDER BY 2, 1
$function$;
COMMENT ON FUNCTION tenant_tables_v1() IS
    'The tables that are empty of a removed tenant, in an order that foreign keys allow: all that have a tenant, but for its own row, its audit, and the watermark up to which that is sealed.';
GRANT EXECUTE ON FUNCTION tenant_tables_v1() TO leo_eraser;

CREATE FUNCTION leaf_ranges_v1(p_entry_ids uuid[], p_leaf_nos integer[])
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
SELECT coalesce(
    jsonb_agg(jsonb_build_array(r.entry_id, r.first, r.last) ORDER BY r.entry_id, r.first), '[]'
)
FROM (
    SELECT l.entry_id, min(l.leaf_no) AS first, max(l.leaf_no) AS last
    FROM (
        SELECT
            entry_id,
            leaf_no,
            leaf_no - row_number() OVER (PARTITION BY entry_id ORDER BY leaf_no) AS stretch
        FROM unnest(p_entry_ids, p_leaf_nos) AS u (entry_id, leaf_no)
        WHERE entry_id IS NOT NULL
    ) AS l
    GROUP BY l.entry_id, l.stretch
) AS r
$function$;
COMMENT ON FUNCTION leaf_ranges_v1(p_entry_ids uuid[], p_leaf_nos integer[]) IS
    'Recorded rows by their audit entries: [entry_id, first leaf_no, last leaf_no], in order.';
GRANT EXECUTE ON FUNCTION leaf_ranges_v1(p_entry_ids uuid[], p_leaf_nos integer[]) TO leo_eraser;

CREATE FUNCTION record_removal_v1(p_entry_id uuid, p_details jsonb)
 RETURNS void
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
SELECT audit_append_v1(
    p_entry_id, 'rows_removed', 'ingest', '', NULL, 0, decode(repeat('00', 32), 'hex'), p_details
)
$function$;
COMMENT ON FUNCTION record_removal_v1(p_entry_id uuid, p_details jsonb) IS
    'Appends the audit entry of one batch.';
GRANT EXECUTE ON FUNCTION record_removal_v1(p_entry_id uuid, p_details jsonb) TO leo_eraser;

CREATE FUNCTION check_age_v1(p_before timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    -- As long as the longest time_to_live of a rule: an event that is told again after it was removed
    -- is one that nothing acts on any more.
    IF p_before IS NULL OR p_before > leo_now() - interval '30 days' THEN
        RAISE EXCEPTION 'nothing younger than 30 days is removed for its age'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$function$;
COMMENT ON FUNCTION check_age_v1(p_before timestamp with time zone) IS
    'Refuses a time that is too near.';
GRANT EXECUTE ON FUNCTION check_age_v1(p_before timestamp with time zone) TO leo_eraser;

CREATE FUNCTION first_id_v1(p_at timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
RETURN ((lpad(to_hex((floor((EXTRACT(epoch FROM p_at) * (1000)::numeric)))::bigint), 12, '0'::text) || repeat('0'::text, 20)))::uuid;
COMMENT ON FUNCTION first_id_v1(p_at timestamp with time zone) IS
    'A UUID before every UUIDv7 of this time and later.';
GRANT EXECUTE ON FUNCTION first_id_v1(p_at timestamp with time zone) TO leo_eraser;

CREATE FUNCTION count_tenant_rows_v1(p_count_max bigint)
 RETURNS TABLE(table_name text, row_count bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
BEGIN
    FOR table_name IN SELECT t.table_name FROM tenant_tables_v1() AS t LOOP
        EXECUTE format(
            'SELECT count(*) FROM (SELECT FROM %I WHERE tenant_id = $1 LIMIT $2) AS r', table_name
        )
        INTO row_count
        USING v_tenant_id, p_count_max;
        RETURN NEXT;
    END LOOP;
END
$function$;
COMMENT ON FUNCTION count_tenant_rows_v1(p_count_max bigint) IS
    'How many rows the tenant has in each table that a removal empties; counting ends at the maximum.';
GRANT EXECUTE ON FUNCTION count_tenant_rows_v1(p_count_max bigint) TO leo_ingest;

CREATE FUNCTION remove_tenant_rows_v1(p_entry_id uuid, p_count_max integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_table text;
    v_partition oid;
    v_rows tid[];
    v_count int;
    v_total int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM tenant WHERE tenant_id = v_tenant_id AND state = 'removing') THEN
        RAISE EXCEPTION 'the tenant is not being removed'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR v_table IN SELECT t.table_name FROM tenant_tables_v1() AS t LOOP
        -- By their places, which is a short way for any table: those of one partition at a time.
        FOR v_partition, v_rows IN EXECUTE format(
            'SELECT tableoid, array_agg(ctid) FROM ('
            '    SELECT tableoid, ctid FROM %I WHERE tenant_id = $1 LIMIT $2'
            ') AS r GROUP BY tableoid',
            v_table
        ) USING v_tenant_id, p_count_max
        LOOP
            EXECUTE format(
                'DELETE FROM %I WHERE tenant_id = $1 AND tableoid = $2 AND ctid = ANY($3)', v_table
            ) USING v_tenant_id, v_partition, v_rows;
            GET DIAGNOSTICS v_count = ROW_COUNT;
            v_total := v_total + v_count;
        END LOOP;
        IF v_total > 0 THEN
            PERFORM record_removal_v1(p_entry_id, jsonb_build_object(
                'cause', 'tenant',
                'tables', jsonb_build_object(v_table, jsonb_build_object('row_count', v_total))
            ));
            RETURN v_total;
        END IF;
    END LOOP;
    RETURN 0;
END
$function$;
COMMENT ON FUNCTION remove_tenant_rows_v1(p_entry_id uuid, p_count_max integer) IS
    'Removes one batch of a tenant that is being removed, from one table, with its audit entry; 0 where nothing is left.';
GRANT EXECUTE ON FUNCTION remove_tenant_rows_v1(p_entry_id uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_stories_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_decisions uuid[];
    v_events uuid[];
    v_deliveries uuid[];
    v_named jsonb;
    v_count int;
    v_ranges jsonb;
    v_tables jsonb := '{}';
BEGIN
    PERFORM check_age_v1(p_before);
    -- Ids of decisions are UUIDv7: they lie in the order of their times.
    v_looked := ARRAY(
        SELECT decision_id
        FROM decision
        WHERE tenant_id = v_tenant_id
            AND decision_id > p_after AND decision_id < first_id_v1(p_before)
        ORDER BY decision_id
        LIMIT p_count_max
    );
    WITH member AS MATERIALIZED (
        SELECT d.decision_id, d.trigger_id AS story_id, true AS of_event, d.outcome, d.decided_at,
            d.cooldown
        FROM (
            SELECT DISTINCT trigger_id
            FROM decision
            WHERE tenant_id = v_tenant_id AND decision_id = ANY(v_looked)
                AND trigger_kind = 'event'
        ) AS e
        JOIN decision AS d
            ON d.tenant_id = v_tenant_id AND d.trigger_kind = 'event'
            AND d.trigger_id = e.trigger_id
        UNION ALL
        -- A launch decides about a million people: each of them is a story.
        SELECT d.decision_id, d.decision_id, false, d.outcome, d.decided_at, d.cooldown
        FROM decision AS d
        WHERE d.tenant_id = v_tenant_id AND d.decision_id = ANY(v_looked)
            AND d.trigger_kind <> 'event'
            -- One that still runs would decide again about whoever has no decision.
            AND NOT EXISTS (
                SELECT FROM campaign_launch AS n
                WHERE n.tenant_id = v_tenant_id AND n.launch_id = d.trigger_id
                    AND n.state = 'running'
            )
    ), held AS (
        SELECT m.story_id
        FROM member AS m
        LEFT JOIN delivery_log AS l
            ON l.tenant_id = v_tenant_id AND l.decision_id = m.decision_id
        WHERE m.decided_at >= p_before
            -- A cooldown counts from the decision.
            OR m.decided_at + m.cooldown > leo_now()
            OR m.outcome = 'acted' AND l.delivery_id IS NULL
            OR l.state IN ('pending', 'sending', 'retry_wait', 'outcome_unknown')
            OR l.updated_at >= p_before
    )
    SELECT array_agg(decision_id), array_agg(DISTINCT story_id) FILTER (WHERE of_event)
    INTO v_decisions, v_events
    FROM member
    WHERE story_id NOT IN (SELECT story_id FROM held);
    v_deliveries := ARRAY(
        SELECT delivery_id
        FROM delivery_log
        WHERE tenant_id = v_tenant_id AND decision_id = ANY(v_decisions)
    );
    -- What an audit entry says of a delivery by its id, and not by an attempt, it says of one that is
    -- not there any more.
    SELECT coalesce(jsonb_agg(delivery_id ORDER BY delivery_id), '[]')
    INTO v_named
    FROM delivery_log
    WHERE tenant_id = v_tenant_id AND delivery_id = ANY(v_deliveries)
        AND (in_doubt OR state NOT IN ('accepted', 'failed'));

    DELETE FROM delivery_receipt
    WHERE tenant_id = v_tenant_id AND delivery_id = ANY(v_deliveries);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_tables := v_tables || removed_v1('delivery_receipt', v_count, '{}');
    WITH gone AS (
        DELETE FROM delivery_attempt
        WHERE tenant_id = v_tenant_id AND delivery_id = ANY(v_deliveries)
        RETURNING audit_entry_id, leaf_no
    )
    SELECT count(*), leaf_ranges_v1(array_agg(audit_entry_id), array_agg(leaf_no))
    INTO v_count, v_ranges
    FROM gone;
    v_tables := v_tables
        || removed_v1('delivery_attempt', v_count, jsonb_build_object('rows', v_ranges));
    DELETE FROM delivery_log
    WHERE tenant_id = v_tenant_id AND delivery_id = ANY(v_deliveries);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_tables := v_tables
        || removed_v1('delivery_log', v_count, jsonb_build_object('deliveries', v_named));
    UPDATE campaign_launch AS n
    SET removed_count = n.removed_count + g.removed_count
    FROM (
        SELECT trigger_id, count(*) AS removed_count
        FROM decision
        WHERE tenant_id = v_tenant_id AND decision_id = ANY(v_decisions)
            AND trigger_kind = 'launch'
        GROUP BY trigger_id
    ) AS g
    WHERE n.tenant_id = v_tenant_id AND n.launch_id = g.trigger_id;
    WITH gone AS (
        DELETE FROM decision
        WHERE tenant_id = v_tenant_id AND decision_id = ANY(v_decisions)
        RETURNING audit_entry_id, leaf_no
    )
    SELECT count(*), leaf_ranges_v1(array_agg(audit_entry_id), array_agg(leaf_no))
    INTO v_count, v_ranges
    FROM gone;
    v_tables := v_tables || removed_v1('decision', v_count, jsonb_build_object('rows', v_ranges));
    DELETE FROM marketing_event
    WHERE tenant_id = v_tenant_id AND event_id = ANY(v_events);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_tables := v_tables || removed_v1('marketing_event', v_count, '{}');
    RETURN end_batch_v1(
        p_entry_id, p_before, v_tables,
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_stories_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes events older than a time with all that was decided about them and came of it, with the audit entry. Looks at so many decisions behind one; tells the last one, and what was removed.';
GRANT EXECUTE ON FUNCTION remove_stories_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_launches_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_count int;
BEGIN
    PERFORM check_age_v1(p_before);
    v_looked := ARRAY(
        SELECT launch_id
        FROM campaign_launch
        WHERE tenant_id = v_tenant_id
            AND launch_id > p_after AND launch_id < first_id_v1(p_before)
        ORDER BY launch_id
        LIMIT p_count_max
    );
    DELETE FROM campaign_launch AS n
    WHERE n.tenant_id = v_tenant_id AND n.launch_id = ANY(v_looked)
        AND n.state <> 'running' AND n.updated_at < p_before
        AND NOT EXISTS (
            SELECT FROM decision AS d
            WHERE d.tenant_id = v_tenant_id AND d.trigger_kind = 'launch'
                AND d.trigger_id = n.launch_id
        );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN end_batch_v1(
        p_entry_id, p_before, removed_v1('campaign_launch', v_count, '{}'),
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_launches_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes launches that ended before a time and of which no decision is left; otherwise as remove_stories_v1.';
GRANT EXECUTE ON FUNCTION remove_launches_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_snapshots_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_snapshots uuid[];
    v_count int;
    v_tables jsonb;
BEGIN
    PERFORM check_age_v1(p_before);
    v_looked := ARRAY(
        SELECT snapshot_id
        FROM segment_snapshot
        WHERE tenant_id = v_tenant_id
            AND snapshot_id > p_after AND snapshot_id < first_id_v1(p_before)
        ORDER BY snapshot_id
        LIMIT p_count_max
    );
    v_snapshots := ARRAY(
        SELECT s.snapshot_id
        FROM segment_snapshot AS s
        WHERE s.tenant_id = v_tenant_id AND s.snapshot_id = ANY(v_looked)
            AND s.taken_at < p_before
            AND NOT EXISTS (
                SELECT FROM campaign_launch AS n
                WHERE n.tenant_id = v_tenant_id AND n.snapshot_id = s.snapshot_id
            )
        ORDER BY s.snapshot_id
    );
    DELETE FROM segment_snapshot_member
    WHERE tenant_id = v_tenant_id AND snapshot_id = ANY(v_snapshots);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_tables := removed_v1('segment_snapshot_member', v_count, '{}');
    DELETE FROM segment_snapshot
    WHERE tenant_id = v_tenant_id AND snapshot_id = ANY(v_snapshots);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN end_batch_v1(
        p_entry_id,
        p_before,
        v_tables || removed_v1(
            'segment_snapshot', v_count, jsonb_build_object('snapshots', to_jsonb(v_snapshots))
        ),
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_snapshots_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes snapshots that were taken before a time and that no launch went out to; otherwise as remove_stories_v1.';
GRANT EXECUTE ON FUNCTION remove_snapshots_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_receipts_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_count int;
BEGIN
    PERFORM check_age_v1(p_before);
    v_looked := ARRAY(
        SELECT receipt_id
        FROM delivery_receipt
        WHERE tenant_id = v_tenant_id
            AND receipt_id > p_after AND receipt_id < first_id_v1(p_before)
        ORDER BY receipt_id
        LIMIT p_count_max
    );
    DELETE FROM delivery_receipt AS r
    WHERE r.tenant_id = v_tenant_id AND r.receipt_id = ANY(v_looked) AND r.received_at < p_before
        AND NOT EXISTS (
            SELECT FROM delivery_log AS l
            WHERE l.tenant_id = v_tenant_id AND l.delivery_id = r.delivery_id
        );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN end_batch_v1(
        p_entry_id, p_before, removed_v1('delivery_receipt', v_count, '{}'),
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_receipts_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes receipts older than a time that belong to no delivery; otherwise as remove_stories_v1.';
GRANT EXECUTE ON FUNCTION remove_receipts_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_profile_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_count int;
BEGIN
    PERFORM check_age_v1(p_before);
    v_looked := ARRAY(
        SELECT profile_id
        FROM cdp_profiles
        WHERE tenant_id = v_tenant_id AND profile_id > p_after
        ORDER BY profile_id
        LIMIT p_count_max
    );
    DELETE FROM cdp_profile_version AS v
    USING (
        SELECT
            profile_id,
            version,
            -- The newest one is followed by none, and stays.
            lead(created_at) OVER (PARTITION BY profile_id ORDER BY version) AS superseded_at
        FROM cdp_profile_version
        WHERE tenant_id = v_tenant_id AND profile_id = ANY(v_looked)
    ) AS s
    WHERE v.tenant_id = v_tenant_id
        AND v.profile_id = s.profile_id AND v.version = s.version
        AND s.superseded_at < p_before
        AND NOT EXISTS (
            SELECT FROM decision AS d
            WHERE d.tenant_id = v_tenant_id
                AND d.profile_id = s.profile_id AND d.profile_version = s.version
        )
        AND NOT EXISTS (
            SELECT FROM delivery_log AS l
            WHERE l.tenant_id = v_tenant_id
                AND l.profile_id = s.profile_id AND l.profile_version = s.version
        );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN end_batch_v1(
        p_entry_id, p_before, removed_v1('cdp_profile_version', v_count, '{}'),
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_profile_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes versions of profiles that were superseded before a time and that nothing names; looks at so many people, otherwise as remove_stories_v1.';
GRANT EXECUTE ON FUNCTION remove_profile_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION remove_consent_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
DECLARE
    v_tenant_id constant uuid := NULLIF(current_setting('leo.tenant_id', true), '')::uuid;
    v_looked uuid[];
    v_count int;
    v_ranges jsonb;
BEGIN
    PERFORM check_age_v1(p_before);
    -- Not of cdp_profiles: the record of a consent outlives its person.
    v_looked := ARRAY(
        SELECT profile_id
        FROM profile_consent_version
        WHERE tenant_id = v_tenant_id AND profile_id > p_after
        GROUP BY profile_id
        ORDER BY profile_id
        LIMIT p_count_max
    );
    WITH gone AS (
        DELETE FROM profile_consent_version AS v
        USING (
            SELECT
                profile_id,
                channel,
                purpose,
                version,
                -- The last one is followed by none, and stays.
                lead(created_at) OVER (
                    PARTITION BY profile_id, channel, purpose ORDER BY version
                ) AS superseded_at
            FROM profile_consent_version
            WHERE tenant_id = v_tenant_id AND profile_id = ANY(v_looked)
        ) AS s
        WHERE v.tenant_id = v_tenant_id
            AND v.profile_id = s.profile_id AND v.channel = s.channel AND v.purpose = s.purpose
            AND v.version = s.version
            AND s.superseded_at < p_before
        RETURNING v.audit_entry_id, v.leaf_no
    )
    SELECT count(*), leaf_ranges_v1(array_agg(audit_entry_id), array_agg(leaf_no))
    INTO v_count, v_ranges
    FROM gone;
    RETURN end_batch_v1(
        p_entry_id,
        p_before,
        removed_v1('profile_consent_version', v_count, jsonb_build_object('rows', v_ranges)),
        CASE WHEN cardinality(v_looked) = p_count_max THEN v_looked[p_count_max] END
    );
END
$function$;
COMMENT ON FUNCTION remove_consent_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) IS
    'Removes versions of consents that were superseded before a time; looks at so many people, otherwise as remove_stories_v1.';
GRANT EXECUTE ON FUNCTION remove_consent_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) TO leo_ingest;

CREATE FUNCTION removed_v1(p_table text, p_row_count integer, p_more jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
RETURN CASE WHEN (p_row_count = 0) THEN '{}'::jsonb ELSE jsonb_build_object(p_table, (jsonb_build_object('row_count', p_row_count) || p_more)) END;
COMMENT ON FUNCTION removed_v1(p_table text, p_row_count integer, p_more jsonb) IS
    'What an entry says of one table; nothing where nothing was removed.';
GRANT EXECUTE ON FUNCTION removed_v1(p_table text, p_row_count integer, p_more jsonb) TO leo_eraser;

CREATE FUNCTION end_batch_v1(p_entry_id uuid, p_before timestamp with time zone, p_tables jsonb, p_last uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
BEGIN
    IF p_tables <> '{}' THEN
        PERFORM record_removal_v1(p_entry_id, jsonb_build_object(
            'cause', 'retention',
            'before', to_char(p_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'tables', p_tables
        ));
    END IF;
    RETURN jsonb_build_object(
        'last', p_last,
        'row_counts', (
            SELECT coalesce(jsonb_object_agg(key, value -> 'row_count'), '{}')
            FROM jsonb_each(p_tables)
        )
    );
END
$function$;
COMMENT ON FUNCTION end_batch_v1(p_entry_id uuid, p_before timestamp with time zone, p_tables jsonb, p_last uuid) IS
    'Appends the audit entry of a batch that removed something, and tells the caller.';
GRANT EXECUTE ON FUNCTION end_batch_v1(p_entry_id uuid, p_before timestamp with time zone, p_tables jsonb, p_last uuid) TO leo_eraser;

CREATE VIEW v_consequence WITH (security_invoker=true) AS
SELECT d.tenant_id,
    d.trigger_kind,
    d.trigger_id,
    d.decided_at AS at,
    1 AS rank,
    'decision'::text AS step,
    d.outcome,
    d.reason,
    d.decision_id AS id,
    d.trigger_id AS parent_id,
    d.profile_id,
    ''::text AS channel,
    jsonb_strip_nulls(jsonb_build_object('ordinal', d.ordinal, 'campaign', c.name, 'rule', r.name, 'rule_id', d.rule_id, 'rule_version', d.rule_version, 'segment_id', d.segment_id, 'segment_version', d.segment_version, 'profile_version', d.profile_version, 'not_before', d.not_before, 'expires_at', d.expires_at)) AS details
   FROM decision d
     LEFT JOIN campaign c ON c.tenant_id = d.tenant_id AND c.campaign_id = d.campaign_id
     LEFT JOIN activation_rule r ON r.tenant_id = d.tenant_id AND r.rule_id = d.rule_id
UNION ALL
 SELECT l.tenant_id,
    d.trigger_kind,
    d.trigger_id,
    s.at,
    s.rank,
    'delivery'::text AS step,
    s.outcome,
    s.reason,
    l.delivery_id AS id,
    l.decision_id AS parent_id,
    l.profile_id,
    l.channel,
    s.details
   FROM decision d
     JOIN delivery_log l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
     LEFT JOIN message_template t ON t.tenant_id = l.tenant_id AND t.template_id = l.template_id
     LEFT JOIN LATERAL ( SELECT b.delivery_id,
            b.channel,
            b.state,
            b.reason
           FROM delivery_log b
          WHERE b.tenant_id = l.tenant_id AND b.decision_id = l.decision_id AND b.step = l.step AND b.choice < l.choice
          ORDER BY b.choice DESC
         LIMIT 1) p ON true
     CROSS JOIN LATERAL ( VALUES (l.created_at,
                CASE
                    WHEN p.delivery_id IS NULL THEN 2
                    ELSE 8
                END,'created'::text,
                CASE
                    WHEN p.delivery_id IS NULL THEN ''::text
                    WHEN p.reason = ''::text THEN format('%s by %s ended %s'::text, p.delivery_id, p.channel, p.state)
                    ELSE format('%s by %s ended %s: %s'::text, p.delivery_id, p.channel, p.state, p.reason)
                END,jsonb_strip_nulls(jsonb_build_object('step', l.step, 'choice', l.choice, 'follows', p.delivery_id, 'purpose', l.purpose, 'template', t.name, 'template_id', l.template_id, 'account_id', l.account_id, 'recipient_ref', l.recipient_ref, 'expires_at', l.expires_at, 'resend_of', l.resend_of))), (l.updated_at,
                CASE
                    WHEN p.delivery_id IS NULL THEN 7
                    ELSE 9
                END,l.state,l.reason,jsonb_strip_nulls(jsonb_build_object('attempt_count', l.attempt_count, 'in_doubt', l.in_doubt, 'due_at',
                CASE
                    WHEN l.state = ANY (ARRAY['pending'::text, 'retry_wait'::text]) THEN l.due_at
                    ELSE NULL::timestamp with time zone
                END, 'provider_message_id', NULLIF(l.provider_message_id, ''::text))))) s(at, rank, outcome, reason, details)
UNION ALL
 SELECT a.tenant_id,
    d.trigger_kind,
    d.trigger_id,
    a.created_at AS at,
        CASE a.phase
            WHEN 'intent'::text THEN 3
            WHEN 'result'::text THEN 4
            ELSE 5
        END AS rank,
    'attempt'::text AS step,
    COALESCE(a.kind, 'intent'::text) AS outcome,
    a.reason,
    a.delivery_id AS id,
    a.delivery_id AS parent_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object('attempt', a.attempt, 'phase', a.phase, 'epoch', a.epoch, 'provider_class', NULLIF(a.provider_class, ''::text), 'provider_code', NULLIF(a.provider_code, ''::text), 'template_version', a.template_version)) AS details
   FROM decision d
     JOIN delivery_log l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
     JOIN delivery_attempt a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
UNION ALL
 SELECT c.tenant_id,
    d.trigger_kind,
    d.trigger_id,
    c.received_at AS at,
    6 AS rank,
    'receipt'::text AS step,
    c.kind AS outcome,
    ''::text AS reason,
    c.receipt_id AS id,
    c.delivery_id AS parent_id,
    l.profile_id,
    l.channel,
    jsonb_strip_nulls(jsonb_build_object('occurred_at', c.occurred_at)) AS details
   FROM decision d
     JOIN delivery_log l ON l.tenant_id = d.tenant_id AND l.decision_id = d.decision_id
     JOIN delivery_receipt c ON c.tenant_id = l.tenant_id AND c.delivery_id = l.delivery_id;
COMMENT ON VIEW v_consequence IS
    'Decisions, deliveries, attempts and receipts by what set them off. v_journey is made of it.';
GRANT SELECT ON v_consequence TO leo_auditor;
GRANT SELECT ON v_consequence TO leo_decision;

CREATE VIEW v_journey WITH (security_invoker=true) AS
SELECT e.tenant_id,
    e.event_id,
    e.received_at AS at,
    0 AS rank,
    'event'::text AS step,
    'received'::text AS outcome,
    ''::text AS reason,
    e.event_id AS id,
    NULL::uuid AS parent_id,
    p.profile_id,
    ''::text AS channel,
    jsonb_build_object('event_type', e.event_type, 'source', e.source, 'occurred_at', e.occurred_at) AS details,
    NULL::uuid AS launch_id
   FROM marketing_event e
     LEFT JOIN cdp_profiles p ON p.tenant_id = e.tenant_id AND p.ext_id = e.profile_ext_id
UNION ALL
 SELECT v_consequence.tenant_id,
    v_consequence.trigger_id AS event_id,
    v_consequence.at,
    v_consequence.rank,
    v_consequence.step,
    v_consequence.outcome,
    v_consequence.reason,
    v_consequence.id,
    v_consequence.parent_id,
    v_consequence.profile_id,
    v_consequence.channel,
    v_consequence.details,
    NULL::uuid AS launch_id
   FROM v_consequence
  WHERE v_consequence.trigger_kind = 'event'::text
UNION ALL
 SELECT n.tenant_id,
    NULL::uuid AS event_id,
    n.created_at AS at,
    0 AS rank,
    'launch'::text AS step,
    n.state AS outcome,
    ''::text AS reason,
    n.launch_id AS id,
    NULL::uuid AS parent_id,
    NULL::uuid AS profile_id,
    ''::text AS channel,
    jsonb_build_object('campaign', c.name, 'rule', r.name, 'rule_id', n.rule_id, 'rule_version', n.rule_version, 'snapshot_id', n.snapshot_id) AS details,
    n.launch_id
   FROM campaign_launch n
     JOIN campaign c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
     JOIN activation_rule r ON r.tenant_id = n.tenant_id AND r.rule_id = n.rule_id
UNION ALL
 SELECT v_consequence.tenant_id,
    NULL::uuid AS event_id,
    v_consequence.at,
    v_consequence.rank,
    v_consequence.step,
    v_consequence.outcome,
    v_consequence.reason,
    v_consequence.id,
    v_consequence.parent_id,
    v_consequence.profile_id,
    v_consequence.channel,
    v_consequence.details,
    v_consequence.trigger_id AS launch_id
   FROM v_consequence
  WHERE v_consequence.trigger_kind = 'launch'::text;
COMMENT ON VIEW v_journey IS
    'All that happened about an event, a launch or a profile, also what was decided not to do, and why: ask for one tenant and event_id, launch_id or profile_id, ORDER BY at, rank. No personal data.';
GRANT SELECT ON v_journey TO leo_auditor;
GRANT SELECT ON v_journey TO leo_decision;

CREATE VIEW v_delivery_reached WITH (security_invoker=true) AS
SELECT l.tenant_id,
    l.delivery_id,
    (ARRAY[''::text, 'sent'::text, 'delivered'::text, 'read'::text, 'clicked'::text])[c.furthest] AS reached,
    c.bounced,
    c.complained,
    c.failed
   FROM delivery_log l
     CROSS JOIN LATERAL ( SELECT COALESCE(max(array_position(ARRAY[''::text, 'sent'::text, 'delivered'::text, 'read'::text, 'clicked'::text], delivery_receipt.kind)), 1) AS furthest,
            COALESCE(bool_or(delivery_receipt.kind = 'bounced'::text), false) AS bounced,
            COALESCE(bool_or(delivery_receipt.kind = 'complained'::text), false) AS complained,
            COALESCE(bool_or(delivery_receipt.kind = 'failed'::text), false) AS failed
           FROM delivery_receipt
          WHERE delivery_receipt.tenant_id = l.tenant_id AND delivery_receipt.delivery_id = l.delivery_id) c;
COMMENT ON VIEW v_delivery_reached IS
    'How far each delivery got by its receipts: empty < sent < delivered < read < clicked, with bounced, complained and failed beside it.';
GRANT SELECT ON v_delivery_reached TO leo_auditor;
GRANT SELECT ON v_delivery_reached TO leo_decision;
GRANT SELECT ON v_delivery_reached TO leo_dispatch;

CREATE VIEW v_ledger_breach WITH (security_invoker=true) AS
SELECT equation,
    tenant_id,
    subject_id,
    detail
   FROM ledger_breach('00:00:30'::interval) ledger_breach(equation, tenant_id, subject_id, detail);
COMMENT ON VIEW v_ledger_breach IS
    'What does not balance, with grace for hops in flight; empty.';
GRANT SELECT ON v_ledger_breach TO leo_auditor;
GRANT SELECT ON v_ledger_breach TO leo_decision;
GRANT SELECT ON v_ledger_breach TO leo_dispatch;

CREATE VIEW v_snapshot_member WITH (security_invoker=true) AS
SELECT c.tenant_id,
    c.snapshot_id,
    c.chunk_no,
    c.chunk_no * 10000 + m.place - 1 AS "position",
    m.profile_no,
    m.profile_version,
    ARRAY( SELECT k.consent_key
           FROM unnest(c.consent_keys) WITH ORDINALITY k(consent_key, place)
          WHERE get_bit(c.consents, (k.place - 1) * 8 * ((c.member_count + 7) / 8) + m.place - 1) = 1
          ORDER BY k.place) AS consents
   FROM segment_snapshot_member c
     CROSS JOIN LATERAL UNNEST(c.profile_nos, c.profile_versions) WITH ORDINALITY m(profile_no, profile_version, place);
COMMENT ON VIEW v_snapshot_member IS
    'The members of snapshots, a row each: position from 0, the profile and its version, and what they had consented to. Name the chunk (position / 10000) to read no other.';
GRANT SELECT ON v_snapshot_member TO leo_auditor;
GRANT SELECT ON v_snapshot_member TO leo_decision;
GRANT SELECT ON v_snapshot_member TO leo_segment;

CREATE VIEW v_audit_breach WITH (security_invoker=true) AS
SELECT equation,
    tenant_id,
    subject_id,
    detail
   FROM ledger_seals_v1('00:00:05'::interval) ledger_seals_v1(equation, tenant_id, subject_id, detail);
COMMENT ON VIEW v_audit_breach IS
    'Audit entries that nobody has sealed for five seconds; empty.';
GRANT SELECT ON v_audit_breach TO leo_auditor;
GRANT SELECT ON v_audit_breach TO leo_decision;

CREATE VIEW v_sealed_entry WITH (security_invoker=true) AS
SELECT e.tenant_id,
    e.entry_id,
    e.kind,
    e.actor,
    e.created_at,
    e.details,
    s.seq
   FROM audit_entry e
     CROSS JOIN LATERAL ( SELECT s_1.seq
           FROM audit_seal s_1
          WHERE s_1.tenant_id = e.tenant_id AND s_1.entry_id = e.entry_id
         LIMIT 1) s;
COMMENT ON VIEW v_sealed_entry IS
    'Audit entries that are sealed. What is not sealed counts for nothing where a row is missing.';
GRANT SELECT ON v_sealed_entry TO leo_auditor;

CREATE VIEW v_removed_rows WITH (security_invoker=true) AS
SELECT e.tenant_id,
    t.key AS recorded_table,
    r.value AS leaves
   FROM v_sealed_entry e
     CROSS JOIN LATERAL jsonb_each(
        CASE jsonb_typeof(e.details -> 'tables'::text)
            WHEN 'object'::text THEN e.details -> 'tables'::text
            ELSE '{}'::jsonb
        END) t(key, value)
     CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(t.value -> 'rows'::text)
            WHEN 'array'::text THEN t.value -> 'rows'::text
            ELSE '[]'::jsonb
        END) r(value)
  WHERE e.kind = 'rows_removed'::text;
COMMENT ON VIEW v_removed_rows IS
    'Recorded rows that sealed removals took away: each time an entry, and its first and last leaf.';
GRANT SELECT ON v_removed_rows TO leo_auditor;

CREATE TABLE marketing_event_p00 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 0);
ALTER TABLE marketing_event_p00 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p00 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p00 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p00 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p00 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p00 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p01 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 1);
ALTER TABLE marketing_event_p01 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p01 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p01 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p01 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p01 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p01 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p02 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 2);
ALTER TABLE marketing_event_p02 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p02 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p02 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p02 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p02 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p02 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p03 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 3);
ALTER TABLE marketing_event_p03 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p03 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p03 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p03 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p03 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p03 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p04 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 4);
ALTER TABLE marketing_event_p04 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p04 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p04 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p04 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p04 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p04 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p05 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 5);
ALTER TABLE marketing_event_p05 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p05 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p05 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p05 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p05 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p05 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p06 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 6);
ALTER TABLE marketing_event_p06 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p06 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p06 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p06 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p06 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p06 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p07 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 7);
ALTER TABLE marketing_event_p07 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p07 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p07 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p07 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p07 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p07 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p08 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 8);
ALTER TABLE marketing_event_p08 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p08 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p08 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p08 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p08 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p08 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p09 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 9);
ALTER TABLE marketing_event_p09 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p09 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p09 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p09 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p09 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p09 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p10 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 10);
ALTER TABLE marketing_event_p10 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p10 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p10 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p10 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p10 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p10 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p11 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 11);
ALTER TABLE marketing_event_p11 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p11 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p11 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p11 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p11 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p11 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p12 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 12);
ALTER TABLE marketing_event_p12 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p12 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p12 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p12 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p12 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p12 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p13 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 13);
ALTER TABLE marketing_event_p13 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p13 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p13 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p13 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p13 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p13 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p14 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 14);
ALTER TABLE marketing_event_p14 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p14 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p14 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p14 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p14 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p14 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

CREATE TABLE marketing_event_p15 PARTITION OF marketing_event FOR VALUES WITH (modulus 16, remainder 15);
ALTER TABLE marketing_event_p15 ALTER COLUMN tenant_id SET STATISTICS 0;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON marketing_event_p15 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
ALTER TABLE marketing_event_p15 ENABLE ROW LEVEL SECURITY;
ALTER TABLE marketing_event_p15 FORCE ROW LEVEL SECURITY;
CREATE POLICY auditor_reads ON marketing_event_p15 FOR SELECT TO leo_auditor
    USING (true);
CREATE POLICY tenant_isolation ON marketing_event_p15 TO leo_decision, leo_dispatch, leo_eraser, leo_ingest, leo_owner, leo_segment
    USING (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")))
    WITH CHECK (tenant_id = (( SELECT NULLIF(current_setting('leo.tenant_id'::text, true), ''::text)::uuid AS "nullif")));

RESET check_function_bodies;
RESET ROLE;

ALTER FUNCTION count_tenant_rows_v1(p_count_max bigint) OWNER TO leo_eraser;
ALTER FUNCTION remove_tenant_rows_v1(p_entry_id uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_stories_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_launches_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_snapshots_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_receipts_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_profile_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
ALTER FUNCTION remove_consent_versions_v1(p_entry_id uuid, p_before timestamp with time zone, p_after uuid, p_count_max integer) OWNER TO leo_eraser;
