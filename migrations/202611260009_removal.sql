-- migrate:up

-- The one door: every way by which recorded rows leave. Each procedure sees one tenant, checks by
-- itself what may go, and writes an audit entry with it; docs/reference/database.md has its form.

GRANT DELETE ON profile_consent_version TO leo_eraser;
REVOKE DELETE ON relay_watermark FROM leo_eraser;

-- Decisions of a launch leave one by one; A17 has to know that they were there.
ALTER TABLE campaign_launch ADD COLUMN removed_count int NOT NULL DEFAULT 0
    CONSTRAINT campaign_launch_removed_count_check CHECK (removed_count >= 0);

COMMENT ON COLUMN campaign_launch.removed_count IS
    'How many of its decisions were removed for their age. Written by the door.';
COMMENT ON COLUMN campaign_launch.updated_at IS 'When its state changed.';

DROP TRIGGER update_timestamp ON campaign_launch;
CREATE TRIGGER update_timestamp BEFORE UPDATE OF state ON campaign_launch
FOR EACH ROW EXECUTE FUNCTION update_timestamp();

GRANT UPDATE (removed_count) ON campaign_launch TO leo_eraser;
GRANT SELECT (removed_count) ON campaign_launch TO leo_dispatch;

-- Counts first, by indexes alone; only a launch whose counts differ is gone through. Who was erased
-- has neither a profile nor a decision.
CREATE OR REPLACE FUNCTION ledger_launches_v1()
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
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
$$;

CREATE FUNCTION tenant_tables_v1() RETURNS TABLE (table_name text, removal_order int)
LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION tenant_tables_v1() IS
    'The tables that are empty of a removed tenant, in an order that foreign keys allow: all that '
    'have a tenant, but for its own row, its audit, and the watermark up to which that is sealed.';

CREATE FUNCTION leaf_ranges_v1(p_entry_ids uuid[], p_leaf_nos int[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION leaf_ranges_v1(uuid[], int[]) IS
    'Recorded rows by their audit entries: [entry_id, first leaf_no, last leaf_no], in order.';

CREATE FUNCTION record_removal_v1(p_entry_id uuid, p_details jsonb) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
SELECT audit_append_v1(
    p_entry_id, 'rows_removed', 'ingest', '', NULL, 0, decode(repeat('00', 32), 'hex'), p_details
)
$$;

COMMENT ON FUNCTION record_removal_v1(uuid, jsonb) IS 'Appends the audit entry of one batch.';

CREATE FUNCTION check_age_v1(p_before timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    -- As long as the longest time_to_live of a rule: an event that is told again after it was removed
    -- is one that nothing acts on any more.
    IF p_before IS NULL OR p_before > leo_now() - interval '30 days' THEN
        RAISE EXCEPTION 'nothing younger than 30 days is removed for its age'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

COMMENT ON FUNCTION check_age_v1(timestamptz) IS 'Refuses a time that is too near.';

CREATE FUNCTION first_id_v1(p_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp
RETURN (
    lpad(to_hex(floor(extract(EPOCH FROM p_at) * 1000)::bigint), 12, '0') || repeat('0', 20)
)::uuid;

COMMENT ON FUNCTION first_id_v1(timestamptz) IS 'A UUID before every UUIDv7 of this time and later.';

CREATE FUNCTION count_tenant_rows_v1(p_count_max bigint)
RETURNS TABLE (table_name text, row_count bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION count_tenant_rows_v1(bigint) IS
    'How many rows the tenant has in each table that a removal empties; counting ends at the maximum.';

CREATE FUNCTION remove_tenant_rows_v1(p_entry_id uuid, p_count_max int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_tenant_rows_v1(uuid, int) IS
    'Removes one batch of a tenant that is being removed, from one table, with its audit entry; 0 '
    'where nothing is left.';

CREATE FUNCTION remove_stories_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_stories_v1(uuid, timestamptz, uuid, int) IS
    'Removes events older than a time with all that was decided about them and came of it, with the '
    'audit entry. Looks at so many decisions behind one; tells the last one, and what was removed.';

CREATE FUNCTION remove_launches_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_launches_v1(uuid, timestamptz, uuid, int) IS
    'Removes launches that ended before a time and of which no decision is left; otherwise as '
    'remove_stories_v1.';

CREATE FUNCTION remove_snapshots_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_snapshots_v1(uuid, timestamptz, uuid, int) IS
    'Removes snapshots that were taken before a time and that no launch went out to; otherwise as '
    'remove_stories_v1.';

CREATE FUNCTION remove_receipts_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_receipts_v1(uuid, timestamptz, uuid, int) IS
    'Removes receipts older than a time that belong to no delivery; otherwise as remove_stories_v1.';

CREATE FUNCTION remove_profile_versions_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_profile_versions_v1(uuid, timestamptz, uuid, int) IS
    'Removes versions of profiles that were superseded before a time and that nothing names; looks '
    'at so many people, otherwise as remove_stories_v1.';

CREATE FUNCTION remove_consent_versions_v1(
    p_entry_id uuid, p_before timestamptz, p_after uuid, p_count_max int
) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION remove_consent_versions_v1(uuid, timestamptz, uuid, int) IS
    'Removes versions of consents that were superseded before a time; looks at so many people, '
    'otherwise as remove_stories_v1.';

CREATE FUNCTION removed_v1(p_table text, p_row_count int, p_more jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp
RETURN CASE
    WHEN p_row_count = 0 THEN '{}'
    ELSE jsonb_build_object(p_table, jsonb_build_object('row_count', p_row_count) || p_more)
END;

COMMENT ON FUNCTION removed_v1(text, int, jsonb) IS
    'What an entry says of one table; nothing where nothing was removed.';

CREATE FUNCTION end_batch_v1(
    p_entry_id uuid, p_before timestamptz, p_tables jsonb, p_last uuid
) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION end_batch_v1(uuid, timestamptz, jsonb, uuid) IS
    'Appends the audit entry of a batch that removed something, and tells the caller.';

-- What the door itself calls.
GRANT EXECUTE ON FUNCTION
    tenant_tables_v1(),
    leaf_ranges_v1(uuid[], int[]),
    record_removal_v1(uuid, jsonb),
    check_age_v1(timestamptz),
    first_id_v1(timestamptz),
    removed_v1(text, int, jsonb),
    end_batch_v1(uuid, timestamptz, jsonb, uuid)
TO leo_eraser;
GRANT EXECUTE ON FUNCTION
    count_tenant_rows_v1(bigint),
    remove_tenant_rows_v1(uuid, int),
    remove_stories_v1(uuid, timestamptz, uuid, int),
    remove_launches_v1(uuid, timestamptz, uuid, int),
    remove_snapshots_v1(uuid, timestamptz, uuid, int),
    remove_receipts_v1(uuid, timestamptz, uuid, int),
    remove_profile_versions_v1(uuid, timestamptz, uuid, int),
    remove_consent_versions_v1(uuid, timestamptz, uuid, int)
TO leo_ingest;

-- An owner must be allowed to create what it gets; the eraser is, for as long as this takes.
GRANT CREATE ON SCHEMA public TO leo_eraser;
SET LOCAL ROLE leo_migrate;
ALTER FUNCTION count_tenant_rows_v1(bigint) OWNER TO leo_eraser;
ALTER FUNCTION remove_tenant_rows_v1(uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_stories_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_launches_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_snapshots_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_receipts_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_profile_versions_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
ALTER FUNCTION remove_consent_versions_v1(uuid, timestamptz, uuid, int) OWNER TO leo_eraser;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM leo_eraser;

-- migrate:down

DROP FUNCTION remove_consent_versions_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_profile_versions_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_receipts_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_snapshots_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_launches_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_stories_v1(uuid, timestamptz, uuid, int);
DROP FUNCTION remove_tenant_rows_v1(uuid, int);
DROP FUNCTION count_tenant_rows_v1(bigint);
DROP FUNCTION end_batch_v1(uuid, timestamptz, jsonb, uuid);
DROP FUNCTION removed_v1(text, int, jsonb);
DROP FUNCTION first_id_v1(timestamptz);
DROP FUNCTION check_age_v1(timestamptz);
DROP FUNCTION record_removal_v1(uuid, jsonb);
DROP FUNCTION leaf_ranges_v1(uuid[], int[]);
DROP FUNCTION tenant_tables_v1();
GRANT DELETE ON relay_watermark TO leo_eraser;
REVOKE DELETE ON profile_consent_version FROM leo_eraser;

CREATE OR REPLACE FUNCTION ledger_launches_v1()
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
SELECT 'A17', p.tenant_id, p.launch_id, b.detail
FROM (
    SELECT
        coalesce(n.tenant_id, d.tenant_id) AS tenant_id,
        coalesce(n.launch_id, d.trigger_id) AS launch_id,
        n.snapshot_id,
        n.state,
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
    SELECT format('%s decisions about %s members', p.decision_count, p.member_count)
    WHERE p.decision_count > p.member_count
    UNION ALL
    SELECT format('succeeded, and nothing is decided about %s members', m.missing_count)
    FROM (
        SELECT count(*) AS missing_count
        FROM segment_snapshot_member AS m
        CROSS JOIN LATERAL unnest(m.profile_nos) AS u (profile_no)
        JOIN cdp_profiles AS f ON f.tenant_id = m.tenant_id AND f.profile_no = u.profile_no
        LEFT JOIN decision AS d
            ON d.tenant_id = p.tenant_id AND d.trigger_kind = 'launch'
            AND d.trigger_id = p.launch_id AND d.profile_id = f.profile_id
        WHERE p.state = 'succeeded' AND p.decision_count < p.member_count
            AND m.tenant_id = p.tenant_id AND m.snapshot_id = p.snapshot_id
            AND d.decision_id IS NULL
    ) AS m
    WHERE m.missing_count > 0
) AS b
$$;

REVOKE SELECT (removed_count) ON campaign_launch FROM leo_dispatch;
DROP TRIGGER update_timestamp ON campaign_launch;
CREATE TRIGGER update_timestamp BEFORE UPDATE ON campaign_launch
FOR EACH ROW EXECUTE FUNCTION update_timestamp();
COMMENT ON COLUMN campaign_launch.updated_at IS NULL;
-- squawk-ignore ban-drop-column
ALTER TABLE campaign_launch DROP COLUMN removed_count;
