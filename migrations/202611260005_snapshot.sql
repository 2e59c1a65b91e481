-- migrate:up

CREATE TABLE segment_snapshot (
    tenant_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    segment_version int NOT NULL
        CONSTRAINT segment_snapshot_segment_version_check CHECK (segment_version > 0),
    condition text NOT NULL,
    member_count int NOT NULL
        CONSTRAINT segment_snapshot_member_count_check CHECK (member_count >= 0),
    digest bytea NOT NULL
        CONSTRAINT segment_snapshot_digest_check CHECK (octet_length(digest) = 32),
    taken_at timestamptz NOT NULL,
    audit_entry_id uuid NOT NULL,
    request_id uuid,
    request_digest bytea,
    PRIMARY KEY (tenant_id, snapshot_id),
    CONSTRAINT segment_snapshot_request_key UNIQUE (tenant_id, request_id),
    CONSTRAINT segment_snapshot_request_check
        CHECK ((request_id IS NULL) = (request_digest IS NULL)),
    FOREIGN KEY (tenant_id, segment_id) REFERENCES segment (tenant_id, segment_id),
    FOREIGN KEY (tenant_id, audit_entry_id) REFERENCES audit_entry (tenant_id, entry_id)
);

COMMENT ON TABLE segment_snapshot IS
    'Who was in a segment at one moment, for good. Written by segment.';
COMMENT ON COLUMN segment_snapshot.digest IS
    'SHA-256 over this row and every chunk of its members: docs/reference/snapshots.md.';

-- A snapshot is written from the first chunk to the last; its own row, which counts and hashes them
-- all, comes after them, and closes it.
CREATE TABLE segment_snapshot_member (
    tenant_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    chunk_no int NOT NULL
        CONSTRAINT segment_snapshot_member_chunk_no_check CHECK (chunk_no >= 0),
    member_count int NOT NULL
        CONSTRAINT segment_snapshot_member_count_check CHECK (member_count BETWEEN 1 AND 10000),
    profile_nos bigint[] NOT NULL,
    profile_versions int[] NOT NULL,
    consent_keys text[] NOT NULL,
    consents bytea NOT NULL,
    PRIMARY KEY (tenant_id, snapshot_id, chunk_no),
    CONSTRAINT segment_snapshot_member_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id)
        REFERENCES segment_snapshot (tenant_id, snapshot_id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT segment_snapshot_member_shape_check CHECK (
        cardinality(profile_nos) = member_count
        AND cardinality(profile_versions) = member_count
        AND octet_length(consents) = cardinality(consent_keys) * ((member_count + 7) / 8)
    )
);

COMMENT ON TABLE segment_snapshot_member IS
    'Up to 10,000 members of a snapshot, by profile_no; a view shows them as rows. Written by segment.';
COMMENT ON COLUMN segment_snapshot_member.consent_keys IS
    'The pairs channel.purpose that a member of the chunk had consented to, sorted.';
COMMENT ON COLUMN segment_snapshot_member.consents IS
    'For each key in turn a bit a member, filled up to whole bytes; the lowest bit comes first.';

CALL isolate_tenants_v1('segment_snapshot');
CALL isolate_tenants_v1('segment_snapshot_member');

CREATE TRIGGER prevent_snapshot_removal
BEFORE UPDATE OR DELETE OR TRUNCATE ON segment_snapshot
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
CREATE TRIGGER prevent_snapshot_removal
BEFORE UPDATE OR DELETE OR TRUNCATE ON segment_snapshot_member
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();

CREATE FUNCTION refuse_late_member_v1() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION refuse_late_member_v1() IS
    'Trigger: no chunk is added to a snapshot whose own row is there.';

CREATE TRIGGER prevent_snapshot_growth
BEFORE INSERT ON segment_snapshot_member
FOR EACH ROW EXECUTE FUNCTION refuse_late_member_v1();

GRANT SELECT, INSERT ON segment_snapshot, segment_snapshot_member TO leo_segment;
GRANT SELECT ON segment_snapshot, segment_snapshot_member TO leo_decision;
GRANT SELECT, DELETE ON segment_snapshot, segment_snapshot_member TO leo_eraser;

CREATE VIEW v_snapshot_member WITH (security_invoker = true) AS
SELECT
    c.tenant_id,
    c.snapshot_id,
    c.chunk_no,
    c.chunk_no * 10000 + m.place - 1 AS position,
    m.profile_no,
    m.profile_version,
    ARRAY(
        SELECT k.consent_key
        FROM unnest(c.consent_keys) WITH ORDINALITY AS k (consent_key, place)
        WHERE get_bit(
            c.consents, (k.place - 1) * 8 * ((c.member_count + 7) / 8) + m.place - 1
        ) = 1
        ORDER BY k.place
    ) AS consents
FROM segment_snapshot_member AS c
CROSS JOIN LATERAL unnest(c.profile_nos, c.profile_versions)
    WITH ORDINALITY AS m (profile_no, profile_version, place);

COMMENT ON VIEW v_snapshot_member IS
    'The members of snapshots, a row each: position from 0, the profile and its version, and what '
    'they had consented to. Name the chunk (position / 10000) to read no other.';

GRANT SELECT ON v_snapshot_member TO leo_segment, leo_decision, leo_auditor;

-- migrate:down

DROP VIEW v_snapshot_member;
DROP TABLE segment_snapshot_member;
DROP TABLE segment_snapshot;
DROP FUNCTION refuse_late_member_v1();
