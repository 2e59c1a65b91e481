-- The statements of verifications. They run as leo_auditor, who sees every tenant. All but the last
-- ones are run by COPY: what they tell is read column by column, so their order counts. The covered
-- columns are told as JSON, sorted by name (libs/audit/recorded.py says why). A tenant_id that is
-- NULL means all tenants, an entry_id all entries. The work is dealt out by the last byte of the
-- entry's id. Whether an entry is sealed v_sealed_entry looks up by the key, where all other joins are
-- of whole tables (libs/audit/verify/reading.py).

-- name: seals
-- In binary; libs/audit/verify/seals.py knows the columns.
SELECT tenant_id, seq, entry_id, entry_digest, prev, hash
FROM audit_seal
WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
ORDER BY tenant_id, seq;

-- name: entries
SELECT
    s.seq, s.tenant_id, s.entry_id, encode(s.entry_digest, 'hex'),
    e.tenant_id, e.entry_id, encode(e.root, 'hex'), e.created_at <= leo_now() - interval '5 seconds',
    e.recorded_table, e.member_count,
    row_to_json((
        SELECT c FROM (SELECT
            e.actor,
            e.call_id,
            to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            e.entry_id,
            e.kind,
            e.member_count,
            e.recorded_table,
            e.tenant_id
        ) AS c
    )),
    e.details
FROM (
    SELECT * FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND (:entry_id::uuid IS NULL OR entry_id = :entry_id)
        AND get_byte(uuid_send(entry_id), 15) % :part_count = :part
) AS e
FULL JOIN (
    SELECT * FROM audit_seal
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND (:entry_id::uuid IS NULL OR entry_id = :entry_id)
        AND get_byte(uuid_send(entry_id), 15) % :part_count = :part
) AS s ON s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id;

-- name: decision
SELECT
    r.audit_entry_id, r.leaf_no, encode(r.salt, 'hex'),
    e.recorded_table, e.member_count, encode(e.root, 'hex'), r.tenant_id,
    row_to_json((
        SELECT c FROM (SELECT
            r.campaign_id,
            (extract(EPOCH FROM r.cooldown) * 1000000)::bigint AS cooldown_us,
            to_char(r.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS decided_at,
            r.decision_id,
            to_char(r.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS expires_at,
            to_char(r.not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS not_before,
            r.ordinal,
            r.outcome,
            r.profile_id,
            r.profile_version,
            r.reason,
            r.rule_id,
            r.rule_set_version,
            r.rule_version,
            r.segment_id,
            r.segment_version,
            r.tenant_id,
            r.trigger_id,
            r.trigger_kind
        ) AS c
    )),
    r.choices,
    r.inputs
FROM decision AS r
LEFT JOIN audit_entry AS e ON e.tenant_id = r.tenant_id AND e.entry_id = r.audit_entry_id
WHERE
    (:tenant_id::uuid IS NULL OR r.tenant_id = :tenant_id)
    AND (:entry_id::uuid IS NULL OR r.audit_entry_id = :entry_id)
    AND get_byte(uuid_send(r.audit_entry_id), 15) % :part_count = :part;

-- name: delivery_attempt
SELECT
    r.audit_entry_id, r.leaf_no, encode(r.salt, 'hex'),
    e.recorded_table, e.member_count, encode(e.root, 'hex'), r.tenant_id,
    row_to_json((
        SELECT c FROM (SELECT
            r.attempt,
            to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            r.delivery_id,
            r.epoch,
            r.kind,
            r.phase,
            r.provider_class,
            r.provider_code,
            r.provider_message_id,
            r.reason,
            r.tenant_id
        ) AS c
    ))
FROM delivery_attempt AS r
LEFT JOIN audit_entry AS e ON e.tenant_id = r.tenant_id AND e.entry_id = r.audit_entry_id
WHERE
    r.audit_entry_id IS NOT NULL
    AND (:tenant_id::uuid IS NULL OR r.tenant_id = :tenant_id)
    AND (:entry_id::uuid IS NULL OR r.audit_entry_id = :entry_id)
    AND get_byte(uuid_send(r.audit_entry_id), 15) % :part_count = :part;

-- name: profile_consent_version
SELECT
    r.audit_entry_id, r.leaf_no, encode(r.salt, 'hex'),
    e.recorded_table, e.member_count, encode(e.root, 'hex'), r.tenant_id,
    row_to_json((
        SELECT c FROM (SELECT
            r.actor,
            r.channel,
            to_char(r.consented_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS consented_at,
            to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            r.evidence,
            r.profile_id,
            r.purpose,
            r.state,
            r.tenant_id,
            r.version
        ) AS c
    ))
FROM profile_consent_version AS r
LEFT JOIN audit_entry AS e ON e.tenant_id = r.tenant_id AND e.entry_id = r.audit_entry_id
WHERE
    (:tenant_id::uuid IS NULL OR r.tenant_id = :tenant_id)
    AND (:entry_id::uuid IS NULL OR r.audit_entry_id = :entry_id)
    AND get_byte(uuid_send(r.audit_entry_id), 15) % :part_count = :part;

-- name: without_rows
-- Entries that record rows, and no row names them; but for those whose rows a sealed removal names
-- from the first to the last, and those of a tenant that was to be removed.
WITH removed AS (
    SELECT tenant_id, recorded_table, leaves
    FROM v_removed_rows
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
)
SELECT e.tenant_id::text, e.entry_id::text, e.recorded_table, e.member_count, encode(e.root, 'hex')
FROM audit_entry AS e
WHERE
    (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
    AND e.recorded_table IS NOT NULL
    AND e.member_count > 0
    AND e.tenant_id <> ALL(:ended_tenant_ids::uuid[])
    AND NOT EXISTS (
        SELECT FROM removed AS r
        WHERE
            r.tenant_id = e.tenant_id AND r.recorded_table = e.recorded_table
            AND r.leaves = jsonb_build_array(e.entry_id, 0, e.member_count - 1)
    )
    AND NOT EXISTS (
        SELECT FROM decision AS r
        WHERE
            e.recorded_table = 'decision'
            AND r.tenant_id = e.tenant_id AND r.audit_entry_id = e.entry_id
    )
    AND NOT EXISTS (
        SELECT FROM delivery_attempt AS r
        WHERE
            e.recorded_table = 'delivery_attempt'
            AND r.tenant_id = e.tenant_id AND r.audit_entry_id = e.entry_id
    )
    AND NOT EXISTS (
        SELECT FROM profile_consent_version AS r
        WHERE
            e.recorded_table = 'profile_consent_version'
            AND r.tenant_id = e.tenant_id AND r.audit_entry_id = e.entry_id
    );

-- name: doubled
-- Rows that are there more than once, which no key would let them.
SELECT
    r.recorded_table, r.tenant_id::text, r.audit_entry_id::text AS entry_id, r.leaf_no,
    count(*) AS row_count
FROM (
    SELECT 'decision' AS recorded_table, tenant_id, audit_entry_id, leaf_no
    FROM decision
    WHERE audit_entry_id IS NOT NULL
    UNION ALL
    SELECT 'delivery_attempt' AS recorded_table, tenant_id, audit_entry_id, leaf_no
    FROM delivery_attempt
    WHERE audit_entry_id IS NOT NULL
    UNION ALL
    SELECT 'profile_consent_version' AS recorded_table, tenant_id, audit_entry_id, leaf_no
    FROM profile_consent_version
    WHERE audit_entry_id IS NOT NULL
) AS r
WHERE :tenant_id::uuid IS NULL OR r.tenant_id = :tenant_id
GROUP BY r.recorded_table, r.tenant_id, r.audit_entry_id, r.leaf_no
HAVING count(*) > 1;

-- name: unrecorded_attempts
-- Only an intent needs no entry: its result has one.
SELECT tenant_id::text, delivery_id, attempt, phase
FROM delivery_attempt
WHERE
    (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
    AND audit_entry_id IS NULL
    AND phase <> 'intent';

-- name: erased
-- The leaves that erasures kept. What is not sealed counts for nothing.
SELECT row.value ->> 0 AS entry_id, row.value ->> 1 AS leaf_no, row.value ->> 2 AS leaf
FROM v_sealed_entry AS e
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(e.details -> 'rows') WHEN 'array' THEN e.details -> 'rows' ELSE '[]' END
) AS row
WHERE
    (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
    AND e.kind = 'rows_erased'
    AND jsonb_typeof(row.value) = 'array';

-- name: removed
-- The rows that removals took away, where not all of an entry went at once (without_rows knows the
-- others). What is not sealed counts for nothing.
WITH named AS (
    SELECT
        tenant_id,
        recorded_table,
        CASE
            WHEN leaves ->> 0 ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            THEN (leaves ->> 0)::uuid
        END AS entry_id,
        CASE WHEN leaves ->> 1 ~ '^[0-9]{1,9}$' THEN (leaves ->> 1)::int END AS first,
        CASE WHEN leaves ->> 2 ~ '^[0-9]{1,9}$' THEN (leaves ->> 2)::int END AS last
    FROM v_removed_rows
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND jsonb_typeof(leaves) = 'array'
)
SELECT n.tenant_id::text, n.recorded_table, n.entry_id::text, n.first, n.last
FROM named AS n
JOIN audit_entry AS e
    ON e.tenant_id = n.tenant_id AND e.entry_id = n.entry_id
    AND e.recorded_table = n.recorded_table
WHERE
    n.first <= n.last
    AND n.last < e.member_count
    AND NOT (n.first = 0 AND n.last = e.member_count - 1)
    AND get_byte(uuid_send(n.entry_id), 15) % :part_count = :part;

-- name: returned
-- Entries all of whose rows a sealed removal names, and some row names them again.
WITH removed AS (
    SELECT tenant_id, recorded_table, leaves
    FROM v_removed_rows
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
), whole AS (
    SELECT e.tenant_id, e.recorded_table, e.entry_id
    FROM removed AS r
    JOIN audit_entry AS e
        ON e.tenant_id = r.tenant_id AND e.recorded_table = r.recorded_table
        AND r.leaves = jsonb_build_array(e.entry_id, 0, e.member_count - 1)
)
SELECT DISTINCT w.tenant_id::text, w.recorded_table, w.entry_id::text
FROM whole AS w
JOIN (
    SELECT 'decision' AS recorded_table, tenant_id, audit_entry_id FROM decision
    UNION ALL
    SELECT 'delivery_attempt', tenant_id, audit_entry_id FROM delivery_attempt
    UNION ALL
    SELECT 'profile_consent_version', tenant_id, audit_entry_id FROM profile_consent_version
) AS r
    ON r.tenant_id = w.tenant_id AND r.recorded_table = w.recorded_table
    AND r.audit_entry_id = w.entry_id;

-- name: ended_tenants
-- Those that are removed or about to be, as a sealed entry says.
SELECT DISTINCT t.tenant_id
FROM tenant AS t
JOIN v_sealed_entry AS e ON e.tenant_id = t.tenant_id
WHERE
    (:tenant_id::uuid IS NULL OR t.tenant_id = :tenant_id)
    AND t.state IN ('removing', 'removed')
    AND e.kind = 'tenant_state_changed'
    AND e.details ->> 'to' = 'removing';

-- name: activation_rule_version
-- Definitions, each with the entry that defines it: one of the two may be missing. What was there
-- when entries began to define is named by definitions_found.
SELECT
    coalesce(r.tenant_id, e.tenant_id),
    r.rule_id::text || ' version ' || r.version,
    e.entry_id,
    e.digest,
    '{}',
    r.document
FROM (
    SELECT * FROM activation_rule_version
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
) AS r
FULL JOIN (
    SELECT
        tenant_id, entry_id, details ->> 'rule_id' AS rule_id, details ->> 'version' AS version,
        details ->> 'digest' AS digest
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'rule_changed'
) AS e
    ON e.tenant_id = r.tenant_id
    AND e.rule_id = r.rule_id::text AND e.version = r.version::text;

-- name: message_template
SELECT
    coalesce(r.tenant_id, e.tenant_id), r.template_id, e.entry_id, e.digest,
    row_to_json((
        SELECT c FROM (SELECT
            r.channel,
            r.provider_template_id
        ) AS c
    )),
    r.data
FROM (
    SELECT * FROM message_template
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
) AS r
FULL JOIN (
    SELECT
        tenant_id, entry_id, details ->> 'template_id' AS id, details ->> 'digest' AS digest,
        details ->> 'name' AS name, details ->> 'version' AS version
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'template_created'
    UNION ALL
    SELECT e.tenant_id, e.entry_id, found.id, NULL, NULL, NULL
    FROM audit_entry AS e
    CROSS JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(e.details -> 'templates')
            WHEN 'array' THEN e.details -> 'templates' ELSE '[]'
        END
    ) AS found (id)
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'definitions_found'
) AS e
    ON e.tenant_id = r.tenant_id AND e.id = r.template_id::text
    AND coalesce(e.name, r.name) = r.name AND coalesce(e.version, r.version::text) = r.version::text;

-- name: wrong_campaigns
-- Their name is the one of their entry, and their state the one that was recorded last; a draft is
-- one that never was.
SELECT
    CASE
        WHEN r.campaign_id IS NULL THEN 'definition_missing'
        WHEN e.entry_id IS NULL THEN 'definition_unrecorded'
        ELSE 'definition_changed'
    END AS what,
    coalesce(r.tenant_id, e.tenant_id)::text AS tenant_id,
    coalesce(s.entry_id, e.entry_id)::text AS entry_id,
    'campaign ' || coalesce(r.campaign_id::text, e.campaign_id) AS subject,
    CASE
        WHEN r.campaign_id IS NULL THEN 'an entry defines it'
        WHEN e.entry_id IS NULL THEN 'no entry defines it'
        ELSE 'its name or state is not the one that was recorded'
    END AS detail
FROM (
    SELECT * FROM campaign
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
) AS r
FULL JOIN (
    SELECT
        tenant_id, entry_id, details ->> 'campaign_id' AS campaign_id, details ->> 'name' AS name
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'campaign_created'
    UNION ALL
    SELECT e.tenant_id, e.entry_id, found.id, NULL
    FROM audit_entry AS e
    CROSS JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(e.details -> 'campaigns')
            WHEN 'array' THEN e.details -> 'campaigns' ELSE '[]'
        END
    ) AS found (id)
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'definitions_found'
) AS e ON e.tenant_id = r.tenant_id AND e.campaign_id = r.campaign_id::text
LEFT JOIN (
    SELECT DISTINCT ON (tenant_id, details ->> 'campaign_id')
        tenant_id, details ->> 'campaign_id' AS campaign_id, entry_id, details ->> 'state' AS state
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'campaign_state_changed'
    ORDER BY
        tenant_id, details ->> 'campaign_id',
        length(details ->> 'rule_set_version') DESC, details ->> 'rule_set_version' DESC
) AS s ON s.tenant_id = r.tenant_id AND s.campaign_id = r.campaign_id::text
WHERE
    coalesce(r.tenant_id, e.tenant_id) <> ALL(:ended_tenant_ids::uuid[])
    AND (
        r.state = coalesce(s.state, 'draft') AND r.name = coalesce(e.name, r.name)
        AND e.entry_id IS NOT NULL
    ) IS NOT TRUE;

-- name: wrong_snapshots
-- The digest is computed from the chunks as docs/reference/snapshots.md has it. One that is gone is
-- named by a sealed removal.
WITH removed AS (
    SELECT e.tenant_id, gone.snapshot_id
    FROM v_sealed_entry AS e
    CROSS JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(e.details #> '{tables,segment_snapshot,snapshots}')
            WHEN 'array' THEN e.details #> '{tables,segment_snapshot,snapshots}'
            ELSE '[]'
        END
    ) AS gone (snapshot_id)
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'rows_removed'
), computed AS (
    SELECT
        s.tenant_id, s.snapshot_id, s.audit_entry_id,
        s.digest = d.digest AND s.member_count = d.member_count AS is_intact,
        jsonb_build_object(
            'snapshot_id', s.snapshot_id, 'segment_id', s.segment_id,
            'segment_version', s.segment_version, 'member_count', s.member_count,
            'digest', encode(d.digest, 'hex')
        ) AS details
    FROM segment_snapshot AS s
    CROSS JOIN LATERAL (
        SELECT convert_to(format(
            '{"condition":%s,"segment_id":"%s","segment_version":%s,"snapshot_id":"%s",'
            '"taken_at":"%s","tenant_id":"%s"}',
            to_json(s.condition), s.segment_id, s.segment_version, s.snapshot_id,
            to_char(s.taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), s.tenant_id
        ), 'UTF8') AS head
    ) AS h
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(c.member_count), 0) AS member_count,
            sha256(int4send(octet_length(h.head)) || h.head || coalesce(string_agg(
                int4send(c.chunk_no) || int4send(c.member_count)
                || (SELECT string_agg(int8send(n), '' ORDER BY place)
                    FROM unnest(c.profile_nos) WITH ORDINALITY AS u (n, place))
                || (SELECT string_agg(int4send(v), '' ORDER BY place)
                    FROM unnest(c.profile_versions) WITH ORDINALITY AS u (v, place))
                || int4send(cardinality(c.consent_keys))
                || (SELECT coalesce(string_agg(
                        int4send(octet_length(k)) || convert_to(k, 'UTF8'), '' ORDER BY place
                    ), '')
                    FROM unnest(c.consent_keys) WITH ORDINALITY AS u (k, place))
                || int4send(octet_length(c.consents)) || c.consents,
                '' ORDER BY c.chunk_no
            ), '')) AS digest
        FROM segment_snapshot_member AS c
        WHERE c.tenant_id = s.tenant_id AND c.snapshot_id = s.snapshot_id
    ) AS d
    WHERE :tenant_id::uuid IS NULL OR s.tenant_id = :tenant_id
)
SELECT
    CASE
        WHEN s.snapshot_id IS NULL THEN 'definition_missing'
        WHEN e.entry_id IS NULL THEN 'definition_unrecorded'
        ELSE 'definition_changed'
    END AS what,
    coalesce(s.tenant_id, e.tenant_id)::text AS tenant_id,
    coalesce(e.entry_id::text, '') AS entry_id,
    'segment_snapshot ' || coalesce(s.snapshot_id::text, e.details ->> 'snapshot_id', '') AS subject,
    CASE
        WHEN s.snapshot_id IS NULL THEN 'an entry defines it'
        WHEN e.entry_id IS NULL THEN 'no entry defines it'
        ELSE 'it is not what was recorded'
    END AS detail
FROM computed AS s
FULL JOIN (
    SELECT tenant_id, entry_id, details
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'snapshot_created'
) AS e ON e.tenant_id = s.tenant_id AND e.entry_id = s.audit_entry_id
WHERE
    coalesce(s.tenant_id, e.tenant_id) <> ALL(:ended_tenant_ids::uuid[])
    AND (s.is_intact AND e.details = s.details) IS NOT TRUE
    AND NOT (
        s.snapshot_id IS NULL
        AND EXISTS (
            SELECT FROM removed AS r
            WHERE r.tenant_id = e.tenant_id AND r.snapshot_id = e.details ->> 'snapshot_id'
        )
    );

-- name: wrong_launches
-- Of launches that are gone, sealed removals say how many there were.
WITH removed AS (
    SELECT e.tenant_id, sum((e.details #>> '{tables,campaign_launch,row_count}')::bigint) AS row_count
    FROM v_sealed_entry AS e
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'rows_removed'
        AND jsonb_typeof(e.details #> '{tables,campaign_launch,row_count}') = 'number'
    GROUP BY e.tenant_id
), compared AS (
    SELECT
        r.launch_id,
        e.entry_id,
        coalesce(r.tenant_id, e.tenant_id) AS tenant_id,
        coalesce(r.launch_id::text, e.details ->> 'launch_id', '') AS subject_id,
        r.actor = e.actor
        AND r.rule_id::text = e.details ->> 'rule_id'
        AND r.rule_version::text = e.details ->> 'rule_version'
        AND r.snapshot_id::text = e.details ->> 'snapshot_id' AS is_same,
        count(*) FILTER (WHERE r.launch_id IS NULL)
            OVER (PARTITION BY coalesce(r.tenant_id, e.tenant_id)) AS gone_count
    FROM (
        SELECT * FROM campaign_launch
        WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
    ) AS r
    FULL JOIN (
        SELECT tenant_id, entry_id, actor, details, details ->> 'launch_id' AS launch_id
        FROM audit_entry
        WHERE
            (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
            AND kind = 'campaign_launched'
    ) AS e ON e.tenant_id = r.tenant_id AND e.launch_id = r.launch_id::text
)
SELECT
    CASE
        WHEN c.launch_id IS NULL THEN 'definition_missing'
        WHEN c.entry_id IS NULL THEN 'definition_unrecorded'
        ELSE 'definition_changed'
    END AS what,
    c.tenant_id::text AS tenant_id,
    coalesce(c.entry_id::text, '') AS entry_id,
    'campaign_launch ' || c.subject_id AS subject,
    CASE
        WHEN c.launch_id IS NULL THEN 'an entry defines it'
        WHEN c.entry_id IS NULL THEN 'no entry defines it'
        ELSE 'it is not what was recorded'
    END AS detail
FROM compared AS c
LEFT JOIN removed AS g ON g.tenant_id = c.tenant_id
WHERE
    c.tenant_id <> ALL(:ended_tenant_ids::uuid[])
    AND c.is_same IS NOT TRUE
    AND NOT (c.launch_id IS NULL AND c.gone_count <= coalesce(g.row_count, 0));

-- name: unrecorded_deliveries
-- A delivery's row changes while it is on its way; where it came to rest must be what the audit
-- recorded: an attempt's result, or an entry that names the delivery and its state. One that such an
-- entry names is there, unless a sealed removal names it too.
WITH named AS (
    SELECT e.tenant_id, ended.value ->> 0 AS delivery_id, ended.value ->> 1 AS state
    FROM audit_entry AS e
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(e.details -> 'deliveries')
            WHEN 'array' THEN e.details -> 'deliveries'
            ELSE '[]'
        END
    ) AS ended
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'deliveries_ended'
        AND jsonb_typeof(ended.value) = 'array'
    UNION ALL
    SELECT tenant_id, details ->> 'delivery_id', details ->> 'state'
    FROM audit_entry
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND kind = 'delivery_settled'
), ends AS (
    SELECT tenant_id, delivery_id, array_agg(DISTINCT state) AS states
    FROM named
    GROUP BY tenant_id, delivery_id
), removed AS (
    SELECT e.tenant_id, d.delivery_id
    FROM v_sealed_entry AS e
    CROSS JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(e.details #> '{tables,delivery_log,deliveries}')
            WHEN 'array' THEN e.details #> '{tables,delivery_log,deliveries}'
            ELSE '[]'
        END
    ) AS d (delivery_id)
    WHERE
        (:tenant_id::uuid IS NULL OR e.tenant_id = :tenant_id)
        AND e.kind = 'rows_removed'
), attempts AS (
    SELECT
        tenant_id,
        delivery_id,
        bool_or(kind = 'accepted') AS is_accepted,
        bool_or(kind IN ('rejected', 'retry_at')) AS is_refused,
        bool_or(kind = 'unknown') AS is_unanswered
    FROM delivery_attempt
    WHERE
        (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
        AND audit_entry_id IS NOT NULL
    GROUP BY tenant_id, delivery_id
)
SELECT
    coalesce(l.tenant_id, a.tenant_id, n.tenant_id)::text AS tenant_id,
    coalesce(l.delivery_id::text, a.delivery_id::text, n.delivery_id) AS delivery_id,
    l.state
FROM (
    SELECT tenant_id, delivery_id, state FROM delivery_log
    WHERE :tenant_id::uuid IS NULL OR tenant_id = :tenant_id
) AS l
FULL JOIN attempts AS a ON a.tenant_id = l.tenant_id AND a.delivery_id = l.delivery_id
FULL JOIN ends AS n
    ON n.tenant_id = coalesce(l.tenant_id, a.tenant_id)
    AND n.delivery_id = coalesce(l.delivery_id, a.delivery_id)::text
WHERE
    coalesce(l.tenant_id, a.tenant_id, n.tenant_id) <> ALL(:ended_tenant_ids::uuid[])
    AND NOT (
        l.delivery_id IS NULL AND a.delivery_id IS NULL
        AND EXISTS (
            SELECT FROM removed AS r
            WHERE r.tenant_id = n.tenant_id AND r.delivery_id = n.delivery_id
        )
    )
    AND (
        l.delivery_id IS NULL
        OR NOT coalesce(
            l.state = ANY(n.states)
            OR CASE l.state
                WHEN 'accepted' THEN a.is_accepted
                WHEN 'failed' THEN a.is_refused AND NOT a.is_accepted
                WHEN 'expired' THEN a.is_refused AND NOT a.is_accepted
                WHEN 'outcome_unknown' THEN a.is_unanswered AND NOT a.is_accepted
                WHEN 'closed_unknown' THEN false
                WHEN 'suppressed' THEN false
                WHEN 'cancelled' THEN false
                WHEN 'dead_letter' THEN false
                ELSE true
            END,
            false
        )
    );

-- name: select_seqs
SELECT tenant_id::text, entry_id::text, seq
FROM audit_seal
WHERE entry_id = ANY(:entry_ids::uuid[]) AND tenant_id = ANY(:tenant_ids::uuid[]);

-- name: export_snapshot$
SELECT pg_export_snapshot();

-- name: select_delivery^
-- Through tenant, for the key's sake.
SELECT l.tenant_id, l.decision_id
FROM tenant AS t
JOIN delivery_log AS l ON l.tenant_id = t.tenant_id AND l.delivery_id = :delivery_id;

-- name: select_removal^
-- What the audit says of a delivery that is not there: when it was removed, where an entry names it,
-- and whether any rows were removed at all.
SELECT
    max(created_at) FILTER (
        WHERE details #> '{tables,delivery_log,deliveries}' ? :delivery_id::text
    ) AS removed_at,
    count(*) > 0 AS is_any
FROM audit_entry
WHERE kind = 'rows_removed';

-- name: recorded_of_delivery
-- What the audit recorded on the way of a delivery: its decision, the ends of its attempts, and the
-- entries that name it because it ended without one; leaf_no is null where the entry says it all.
SELECT d.decided_at AS at, 'decision' AS what, d.audit_entry_id AS entry_id, d.leaf_no
FROM decision AS d
WHERE d.tenant_id = :tenant_id AND d.decision_id = :decision_id
UNION ALL
SELECT
    a.created_at, format('attempt %s, %s', a.attempt, a.phase), a.audit_entry_id, a.leaf_no
FROM delivery_attempt AS a
WHERE a.tenant_id = :tenant_id AND a.delivery_id = :delivery_id AND a.audit_entry_id IS NOT NULL
UNION ALL
SELECT e.created_at, e.kind, e.entry_id, NULL
FROM audit_entry AS e
WHERE
    e.tenant_id = :tenant_id
    AND e.created_at >= (
        SELECT l.created_at FROM delivery_log AS l
        WHERE l.tenant_id = :tenant_id AND l.delivery_id = :delivery_id
    )
    AND (
        e.kind = 'deliveries_ended'
        AND e.details @> jsonb_build_object(
            'deliveries', jsonb_build_array(jsonb_build_array(:delivery_id::uuid))
        )
        OR e.kind = 'delivery_settled'
        AND e.details @> jsonb_build_object('delivery_id', :delivery_id::uuid)
    )
ORDER BY 1;

-- name: select_entry^
SELECT e.recorded_table, e.root, s.seq, s.prev
FROM audit_entry AS e
LEFT JOIN audit_seal AS s ON s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id
WHERE e.tenant_id = :tenant_id AND e.entry_id = :entry_id;

-- name: select_digests
SELECT entry_digest
FROM audit_seal
WHERE tenant_id = :tenant_id AND seq > :after_seq AND seq <= :last_seq
ORDER BY seq;
