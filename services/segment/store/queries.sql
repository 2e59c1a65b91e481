-- Every statement of segment. Each runs inside one tenant's context (libs/postgres).

-- name: insert_segment^
-- No row comes back if the name is taken, or the request was answered before.
INSERT INTO segment (
    tenant_id, segment_id, name, display_name, condition, version, request_id, request_digest
)
VALUES (
    :tenant_id, :segment_id, :name, :display_name, :condition, 1, :request_id, :request_digest
)
ON CONFLICT DO NOTHING
RETURNING segment_id, name, display_name, condition, version, created_at;

-- name: select_segment_of_request^
SELECT segment_id, name, display_name, condition, version, created_at, request_digest
FROM segment
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: select_segment^
SELECT segment_id, name, display_name, condition, version, created_at
FROM segment
WHERE tenant_id = :tenant_id AND segment_id = :segment_id;

-- name: select_segments
-- Names are never empty: the first page comes after ''.
SELECT segment_id, name, display_name, condition, version, created_at
FROM segment
WHERE tenant_id = :tenant_id AND name > :after_name
ORDER BY name
LIMIT :count_max;

-- name: select_now$
-- The moment of a snapshot: conditions read it as now.
SELECT leo_now();

-- name: select_candidates
-- The next living, real people: only they can be in a snapshot.
SELECT
    profile_no, profile_id, version, ext_id, state, context, given_name, middle_name, family_name,
    gender, birth_year, birth_month, birth_day, language, city, country, emails, phones,
    zalo_user_id, labels, source_segment_ids, funnel_stage, transaction_value_vnd,
    lifetime_value_vnd, churn_score, attributes, created_at, updated_at
FROM cdp_profiles
WHERE
    tenant_id = :tenant_id
    AND profile_no > :after_profile_no
    AND state = 'active'
    AND context = 'production'
ORDER BY profile_no
LIMIT :count_max;

-- name: select_granted_consents
SELECT profile_id, channel, purpose
FROM profile_consent
WHERE
    tenant_id = :tenant_id AND profile_id = ANY(:profile_ids::uuid[]) AND state = 'granted';

-- name: insert_members!
-- One chunk; the table refuses it once the snapshot's own row is there.
INSERT INTO segment_snapshot_member (
    tenant_id, snapshot_id, chunk_no, member_count, profile_nos, profile_versions, consent_keys,
    consents
)
VALUES (
    :tenant_id, :snapshot_id, :chunk_no, :member_count, :profile_nos, :profile_versions,
    :consent_keys, :consents
);

-- name: insert_snapshot!
-- After its members; closes it.
INSERT INTO segment_snapshot (
    tenant_id, snapshot_id, segment_id, segment_version, condition, member_count, digest, taken_at,
    audit_entry_id, request_id, request_digest
)
VALUES (
    :tenant_id, :snapshot_id, :segment_id, :segment_version, :condition, :member_count, :digest,
    :taken_at, :audit_entry_id, :request_id, :request_digest
);

-- name: select_snapshot_of_request^
SELECT
    snapshot_id, segment_id, segment_version, condition, member_count, digest, taken_at,
    request_digest
FROM segment_snapshot
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: select_snapshot^
SELECT snapshot_id, segment_id, segment_version, condition, member_count, digest, taken_at
FROM segment_snapshot
WHERE tenant_id = :tenant_id AND snapshot_id = :snapshot_id;

-- name: select_members
-- As v_snapshot_member has it, but cut from the chunks before they become rows: a page does not cost
-- what ten thousand members cost. Who was erased has no profile any more.
SELECT
    m.position,
    p.profile_id,
    p.ext_id,
    m.profile_version,
    ARRAY(
        SELECT k.consent_key
        FROM unnest(m.consent_keys) WITH ORDINALITY AS k (consent_key, place)
        WHERE get_bit(
            m.consents, (k.place - 1) * 8 * ((m.member_count + 7) / 8) + m.position % 10000
        ) = 1
        ORDER BY k.place
    ) AS consents
FROM (
    SELECT
        c.tenant_id,
        c.member_count,
        c.consent_keys,
        c.consents,
        u.profile_no,
        u.profile_version,
        c.chunk_no * 10000 + s.first + u.place - 1 AS position
    FROM segment_snapshot_member AS c
    CROSS JOIN LATERAL (
        SELECT
            greatest(:first - c.chunk_no * 10000, 0) AS first,
            least(:last - c.chunk_no * 10000, c.member_count - 1) AS last
    ) AS s
    CROSS JOIN LATERAL unnest(
        c.profile_nos[s.first + 1 : s.last + 1], c.profile_versions[s.first + 1 : s.last + 1]
    ) WITH ORDINALITY AS u (profile_no, profile_version, place)
    WHERE
        c.tenant_id = :tenant_id
        AND c.snapshot_id = :snapshot_id
        AND c.chunk_no BETWEEN :first / 10000 AND :last / 10000
) AS m
-- With a limit, so that no estimate makes a join of it that reads everybody.
LEFT JOIN LATERAL (
    SELECT f.profile_id, f.ext_id
    FROM cdp_profiles AS f
    WHERE f.tenant_id = m.tenant_id AND f.profile_no = m.profile_no
    LIMIT 1
) AS p ON true
ORDER BY m.position;
