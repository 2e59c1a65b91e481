-- What a backup is made of, and what a restore holds back. As leo_migrate and as the auditor, who
-- see every tenant.

-- name: look^
-- As leo_migrate. The versions are dbmate's own table.
SELECT
    current_setting('server_version') AS server_version,
    ARRAY(SELECT version FROM schema_migrations ORDER BY version) AS schema_versions,
    (SELECT sum(pg_database_size(datname)) FROM pg_database)::bigint AS byte_count;

-- name: select_held
-- As the auditor: each tenant, whether a restore has suspended it and nobody has decided about it
-- since, and what of it waits or is in doubt.
SELECT
    t.tenant_id,
    t.name,
    t.state = 'suspended' AND coalesce(change.cause = 'restored', false) AS is_held,
    open.in_doubt_count,
    open.waiting_count,
    open.expired_count
FROM tenant AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE l.state = 'outcome_unknown') AS in_doubt_count,
        count(*) FILTER (WHERE l.state <> 'outcome_unknown') AS waiting_count,
        count(*) FILTER (WHERE l.state <> 'outcome_unknown' AND l.expires_at <= leo_now())
            AS expired_count
    FROM delivery_log AS l
    WHERE l.tenant_id = t.tenant_id
        AND l.state IN ('pending', 'retry_wait', 'outcome_unknown')
) AS open
LEFT JOIN LATERAL (
    SELECT e.details ->> 'cause' AS cause
    FROM audit_entry AS e
    WHERE e.tenant_id = t.tenant_id AND e.kind = 'tenant_state_changed' AND t.state = 'suspended'
    ORDER BY e.created_at DESC, e.entry_id DESC
    LIMIT 1
) AS change ON true
ORDER BY t.name;
