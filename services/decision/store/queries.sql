-- Every statement of decision. Each runs inside one tenant's context (libs/postgres).

-- name: insert_campaign
-- Nothing comes back for a request that came before.
INSERT INTO campaign (
    tenant_id, campaign_id, name, display_name, state, request_id, request_digest
)
VALUES (
    :tenant_id, :campaign_id, :name, :display_name, 'draft', :request_id, :request_digest
)
ON CONFLICT (tenant_id, request_id) DO NOTHING
RETURNING campaign_id, name, display_name, state, created_at;

-- name: select_campaign_of_request^
SELECT campaign_id, name, display_name, state, created_at, request_digest
FROM campaign
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: lock_campaign^
SELECT campaign_id, name, display_name, state, created_at
FROM campaign
WHERE tenant_id = :tenant_id AND campaign_id = :campaign_id
FOR UPDATE;

-- name: update_campaign_state!
UPDATE campaign
SET state = :state
WHERE tenant_id = :tenant_id AND campaign_id = :campaign_id;

-- name: bump_rule_set$
-- What decides has changed: whoever holds an older version in memory reads it again.
INSERT INTO rule_set AS stored (tenant_id, version)
VALUES (:tenant_id, 1)
ON CONFLICT (tenant_id) DO UPDATE SET version = stored.version + 1
RETURNING version;

-- name: insert_rule
INSERT INTO activation_rule (
    tenant_id, rule_id, campaign_id, name, version, request_id, request_digest
)
VALUES (:tenant_id, :rule_id, :campaign_id, :name, 1, :request_id, :request_digest)
ON CONFLICT (tenant_id, request_id) DO NOTHING
RETURNING rule_id;

-- name: insert_rule_version$
INSERT INTO activation_rule_version (tenant_id, rule_id, version, document)
VALUES (:tenant_id, :rule_id, :version, :document)
RETURNING created_at;

-- name: select_rule_of_request^
-- The first answer is the first version, whatever came after.
SELECT r.rule_id, r.campaign_id, v.version, v.document, v.created_at, r.request_digest
FROM activation_rule AS r
JOIN activation_rule_version AS v
    ON v.tenant_id = r.tenant_id AND v.rule_id = r.rule_id AND v.version = 1
WHERE r.tenant_id = :tenant_id AND r.request_id = :request_id;

-- name: lock_rule$
SELECT version
FROM activation_rule
WHERE tenant_id = :tenant_id AND rule_id = :rule_id
FOR UPDATE;

-- name: select_rule^
-- A statement of its own: behind the lock it sees what was committed while lock_rule waited.
SELECT r.rule_id, r.campaign_id, v.version, v.document, v.created_at
FROM activation_rule AS r
JOIN activation_rule_version AS v
    ON v.tenant_id = r.tenant_id AND v.rule_id = r.rule_id AND v.version = r.version
WHERE r.tenant_id = :tenant_id AND r.rule_id = :rule_id;

-- name: update_rule!
UPDATE activation_rule
SET name = :name, version = :version
WHERE tenant_id = :tenant_id AND rule_id = :rule_id;

-- name: list_rules
SELECT r.rule_id, r.campaign_id, v.version, v.document, v.created_at
FROM activation_rule AS r
JOIN activation_rule_version AS v
    ON v.tenant_id = r.tenant_id AND v.rule_id = r.rule_id AND v.version = r.version
WHERE
    r.tenant_id = :tenant_id
    AND (:campaign_id::uuid IS NULL OR r.campaign_id = :campaign_id)
    AND (
        :after_priority::int IS NULL
        OR (-(v.document ->> 'priority')::int, r.name COLLATE "C", r.rule_id)
        > (-:after_priority::int, :after_name, :after_rule_id::uuid)
    )
ORDER BY -(v.document ->> 'priority')::int, r.name COLLATE "C", r.rule_id
LIMIT :count_max;

-- name: find_references^
-- Whether what a rule names is there, and of which channel.
SELECT
    EXISTS (
        SELECT FROM segment WHERE tenant_id = :tenant_id AND segment_id = :segment_id
    ) AS has_segment,
    (
        SELECT coalesce(jsonb_object_agg(template_id, channel), '{}')
        FROM message_template
        WHERE tenant_id = :tenant_id AND template_id = ANY(:template_ids::uuid[])
    ) AS template_channels,
    (
        SELECT coalesce(jsonb_object_agg(template_id, data), '{}')
        FROM message_template
        WHERE tenant_id = :tenant_id AND template_id = ANY(:template_ids::uuid[])
    ) AS template_texts,
    (
        SELECT coalesce(jsonb_object_agg(account_id, channel), '{}')
        FROM channel_account
        WHERE tenant_id = :tenant_id AND account_id = ANY(:account_ids::uuid[])
    ) AS account_channels;

-- name: select_moment^
-- The time of the decisions to come, and the versions of what decides now.
SELECT
    leo_now() AS now,
    coalesce((SELECT version FROM rule_set WHERE tenant_id = :tenant_id), 0) AS rule_set_version,
    (SELECT time_zone FROM tenant WHERE tenant_id = :tenant_id) AS time_zone,
    (
        SELECT coalesce(sum(version), 0)
        FROM segment
        WHERE tenant_id = :tenant_id AND segment_id = ANY(:segment_ids::uuid[])
    ) AS segment_version_sum;

-- name: select_active_rules
SELECT r.rule_id, r.campaign_id, v.version, v.document, v.created_at
FROM activation_rule AS r
JOIN campaign AS c ON c.tenant_id = r.tenant_id AND c.campaign_id = r.campaign_id
JOIN activation_rule_version AS v
    ON v.tenant_id = r.tenant_id AND v.rule_id = r.rule_id AND v.version = r.version
WHERE r.tenant_id = :tenant_id AND c.state = 'active'
ORDER BY -(v.document ->> 'priority')::int, r.name COLLATE "C", r.rule_id;

-- name: select_segments
SELECT segment_id, version, condition
FROM segment
WHERE tenant_id = :tenant_id AND segment_id = ANY(:segment_ids::uuid[]);

-- name: select_decisions
SELECT
    decision_id, trigger_id, ordinal, outcome, reason, rule_id, rule_version, profile_id,
    profile_version, not_before, decided_at
FROM decision
WHERE
    tenant_id = :tenant_id
    AND trigger_kind = 'event'
    AND trigger_id = ANY(:event_ids::uuid[])
ORDER BY trigger_id, ordinal;

-- name: select_events
SELECT e.event_id, e.event_type, e.source, e.occurred_at, e.profile_ext_id, e.properties
FROM unnest(:event_ids::uuid[]) AS wanted (event_id)
CROSS JOIN LATERAL (
    SELECT * FROM marketing_event AS e
    WHERE e.tenant_id = :tenant_id AND e.event_id = wanted.event_id
    LIMIT 1
) AS e;

-- name: select_people
SELECT
    profile_id, profile_no, version, ext_id, state, context, given_name, middle_name, family_name,
    gender, birth_year, birth_month, birth_day, language, city, country, emails, phones,
    zalo_user_id, labels, source_segment_ids, funnel_stage, transaction_value_vnd,
    lifetime_value_vnd, churn_score, attributes, created_at, updated_at
FROM cdp_profiles
WHERE tenant_id = :tenant_id AND ext_id = ANY(:ext_ids::text[]);

-- name: select_consents
SELECT profile_id, channel, purpose, state
FROM profile_consent
WHERE tenant_id = :tenant_id AND profile_id = ANY(:profile_ids::uuid[]);

-- name: lock_people
-- Cooldowns of one person are decided one after the other; everybody locks in this order.
SELECT pg_advisory_xact_lock(hashtextextended(:tenant_id::uuid::text || ' ' || profile_no::text, 0))
FROM unnest(:profile_nos::bigint[]) AS profile_no;

-- name: select_last_acted
SELECT r.rule_id, p.profile_id, last.decided_at AS acted_at
FROM unnest(:rule_ids::uuid[]) AS r (rule_id)
CROSS JOIN unnest(:profile_ids::uuid[]) AS p (profile_id)
CROSS JOIN LATERAL (
    SELECT d.decided_at
    FROM decision AS d
    WHERE
        d.tenant_id = :tenant_id
        AND d.outcome = 'acted'
        AND d.rule_id = r.rule_id
        AND d.profile_id = p.profile_id
    ORDER BY d.decided_at DESC
    LIMIT 1
) AS last;

-- name: insert_decisions$
-- Rows come sorted by event. Fewer than were given are inserted if somebody else decided an event
-- at the same time: then the whole is done again and finds what is stored.
WITH inserted AS (
    INSERT INTO decision (
        tenant_id, decision_id, trigger_kind, trigger_id, profile_id, profile_version, ordinal,
        rule_set_version, campaign_id, rule_id, rule_version, segment_id, segment_version, outcome,
        reason, not_before, expires_at, cooldown, choices, inputs, decided_at, audit_entry_id,
        leaf_no, salt
    )
    SELECT
        :tenant_id, d.decision_id, d.trigger_kind, d.trigger_id, d.profile_id, d.profile_version,
        d.ordinal, d.rule_set_version, d.campaign_id, d.rule_id, d.rule_version, d.segment_id,
        d.segment_version, d.outcome, d.reason, d.not_before, d.expires_at,
        d.cooldown_us * interval '1 microsecond', d.choices, d.inputs, d.decided_at,
        :audit_entry_id, d.leaf_no, d.salt
    FROM jsonb_to_recordset(:decisions::jsonb) AS d (
        decision_id uuid, trigger_kind text, trigger_id uuid, profile_id uuid, profile_version int,
        ordinal int, rule_set_version bigint, campaign_id uuid, rule_id uuid, rule_version int,
        segment_id uuid, segment_version int, outcome text, reason text, not_before timestamptz,
        expires_at timestamptz, cooldown_us bigint, choices jsonb, inputs jsonb,
        decided_at timestamptz, leaf_no int, salt bytea
    )
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM inserted;

-- name: has_event$
SELECT EXISTS (
    SELECT FROM marketing_event WHERE tenant_id = :tenant_id AND event_id = :event_id
);

-- name: select_journey
SELECT at, step, outcome, reason, id, parent_id, channel, details
FROM v_journey
WHERE tenant_id = :tenant_id AND event_id = :event_id
ORDER BY at, rank, (details ->> 'ordinal')::int, id;

-- name: list_audit_entries
-- Behind plan_along_indexes. Entries of every service; the row comparison lets a page begin where the one
-- before ended.
SELECT
    e.entry_id, e.kind, e.actor, e.call_id, e.recorded_table, e.member_count, e.root, e.details,
    e.created_at, s.seq, s.hash AS seal_hash
FROM audit_entry AS e
-- With a limit, so that no estimate makes a join of it that reads all seals.
LEFT JOIN LATERAL (
    SELECT a.seq, a.hash
    FROM audit_seal AS a
    WHERE a.tenant_id = e.tenant_id AND a.entry_id = e.entry_id
    LIMIT 1
) AS s ON true
WHERE
    e.tenant_id = :tenant_id
    -- Of all: the index wants to hear of its second column.
    AND e.created_at <= 'infinity'
    AND (:kind = '' OR e.kind = :kind)
    AND (:actor = '' OR e.actor = :actor)
    AND (:created_from::timestamptz IS NULL OR e.created_at >= :created_from)
    AND (:created_until::timestamptz IS NULL OR e.created_at < :created_until)
    AND (
        :before_created_at::timestamptz IS NULL
        OR (e.created_at, e.entry_id) < (:before_created_at, :before_entry_id::uuid)
    )
ORDER BY e.created_at DESC, e.entry_id DESC
LIMIT :count_max;

-- name: insert_launch$
-- Nothing comes back for a request that came before.
INSERT INTO campaign_launch (
    tenant_id, launch_id, campaign_id, rule_id, rule_version, snapshot_id, state, actor, request_id,
    request_digest
)
VALUES (
    :tenant_id, :launch_id, :campaign_id, :rule_id, :rule_version, :snapshot_id, 'running', :actor,
    :request_id, :request_digest
)
ON CONFLICT (tenant_id, request_id) DO NOTHING
RETURNING created_at;

-- name: select_launch_of_request^
SELECT launch_id, request_digest
FROM campaign_launch
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: select_rule_to_launch^
-- As it is now, with the state of its campaign and the time.
SELECT
    r.rule_id, r.campaign_id, v.version, v.document, v.created_at, c.state AS campaign_state,
    leo_now() AS now
FROM activation_rule AS r
JOIN campaign AS c ON c.tenant_id = r.tenant_id AND c.campaign_id = r.campaign_id
JOIN activation_rule_version AS v
    ON v.tenant_id = r.tenant_id AND v.rule_id = r.rule_id AND v.version = r.version
WHERE r.tenant_id = :tenant_id AND r.rule_id = :rule_id;

-- name: select_snapshot^
SELECT snapshot_id, member_count, digest, segment_id, segment_version, condition
FROM segment_snapshot
WHERE tenant_id = :tenant_id AND snapshot_id = :snapshot_id;

-- name: select_launches
-- The newest first: ids are UUIDv7. One, or those of one campaign, or all, behind an id.
SELECT
    n.launch_id, n.campaign_id, n.rule_id, n.rule_version, n.snapshot_id, s.member_count,
    CASE WHEN n.state = 'running' AND c.state = 'paused' THEN 'paused' ELSE n.state END AS state,
    n.created_at,
    n.created_at + (v.document ->> 'time_to_live_us')::bigint * interval '1 microsecond'
        AS expires_at,
    CASE WHEN n.state <> 'running' THEN n.updated_at END AS ended_at
FROM campaign_launch AS n
JOIN segment_snapshot AS s ON s.tenant_id = n.tenant_id AND s.snapshot_id = n.snapshot_id
JOIN campaign AS c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
JOIN activation_rule_version AS v
    ON v.tenant_id = n.tenant_id AND v.rule_id = n.rule_id AND v.version = n.rule_version
WHERE
    n.tenant_id = :tenant_id
    AND (:launch_id::uuid IS NULL OR n.launch_id = :launch_id)
    AND (:campaign_id::uuid IS NULL OR n.campaign_id = :campaign_id)
    AND (:before::uuid IS NULL OR n.launch_id < :before)
ORDER BY n.launch_id DESC
LIMIT :count_max;

-- name: count_outcomes
-- What stands in the decisions of a launch: nobody keeps count beside them.
SELECT outcome, count(*) AS count
FROM decision
WHERE tenant_id = :tenant_id AND trigger_kind = 'launch' AND trigger_id = :launch_id
GROUP BY outcome;

-- name: find_tenants_to_launch
-- As leo_finder: the tenants with launches that have members left.
-- Of a tenant that is being removed nobody is decided about.
SELECT DISTINCT n.tenant_id
FROM campaign_launch AS n
JOIN tenant AS t ON t.tenant_id = n.tenant_id
WHERE n.state = 'running' AND t.state IN ('active', 'suspended')
ORDER BY n.tenant_id;

-- name: try_lock$
-- As leo_finder: until the transaction ends, one process works on the launches of a tenant.
SELECT pg_try_advisory_xact_lock(hashtextextended('launch ' || :tenant_id, 0));

-- name: select_running_launches
-- Those of paused campaigns wait.
SELECT n.launch_id
FROM campaign_launch AS n
JOIN campaign AS c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
WHERE n.tenant_id = :tenant_id AND n.state = 'running' AND c.state <> 'paused'
ORDER BY n.launch_id;

-- name: select_launch_to_decide^
-- A launch keeps the version of its rule; the state of the campaign is now's.
SELECT
    n.snapshot_id, n.state, n.actor, n.created_at AS began_at, c.state AS campaign_state,
    n.rule_id, n.campaign_id, v.version, v.document, v.created_at, leo_now() AS now
FROM campaign_launch AS n
JOIN campaign AS c ON c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id
JOIN activation_rule_version AS v
    ON v.tenant_id = n.tenant_id AND v.rule_id = n.rule_id AND v.version = n.rule_version
WHERE n.tenant_id = :tenant_id AND n.launch_id = :launch_id;

-- name: select_members
-- The members of a snapshot at some positions whom the launch has not decided about, as they are now:
-- every one, or one of each so many. Who was erased has no profile any more.
SELECT
    u.profile_version AS member_version,
    p.profile_id, p.profile_no, p.version, p.ext_id, p.state, p.context, p.given_name,
    p.middle_name, p.family_name, p.gender, p.birth_year, p.birth_month, p.birth_day, p.language,
    p.city, p.country, p.emails, p.phones, p.zalo_user_id, p.labels, p.source_segment_ids,
    p.funnel_stage, p.transaction_value_vnd, p.lifetime_value_vnd, p.churn_score, p.attributes,
    p.created_at, p.updated_at
FROM segment_snapshot_member AS c
CROSS JOIN LATERAL (
    SELECT
        greatest(:first - c.chunk_no * 10000, 0) AS first,
        least(:last - c.chunk_no * 10000, c.member_count - 1) AS last
) AS s
CROSS JOIN LATERAL unnest(
    c.profile_nos[s.first + 1 : s.last + 1], c.profile_versions[s.first + 1 : s.last + 1]
) WITH ORDINALITY AS u (profile_no, profile_version, place)
JOIN cdp_profiles AS p ON p.tenant_id = c.tenant_id AND p.profile_no = u.profile_no
WHERE
    c.tenant_id = :tenant_id
    AND c.snapshot_id = :snapshot_id
    AND c.chunk_no BETWEEN :first / 10000 AND :last / 10000
    AND (c.chunk_no * 10000 + s.first + u.place - 1) % :stride = 0
    AND (
        SELECT true
        FROM decision AS d
        WHERE
            d.tenant_id = :tenant_id
            AND d.trigger_kind = 'launch'
            AND d.trigger_id = :launch_id::uuid
            AND d.profile_id = p.profile_id
        LIMIT 1
    ) IS NULL
ORDER BY p.profile_no;

-- name: count_waiting$
-- Messages of these accounts that should be on their way; no further than the limit.
SELECT count(*)
FROM (
    SELECT FROM delivery_log
    WHERE
        tenant_id = :tenant_id
        AND account_id = ANY(:account_ids::uuid[])
        AND state IN ('pending', 'retry_wait')
        AND due_at <= leo_now()
    LIMIT :count_max
) AS waiting;

-- name: finish_launch!
UPDATE campaign_launch
SET state = 'succeeded'
WHERE tenant_id = :tenant_id AND launch_id = :launch_id AND state = 'running';
