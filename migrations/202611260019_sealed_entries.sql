-- migrate:up

CREATE VIEW v_sealed_entry WITH (security_invoker = true) AS
SELECT e.tenant_id, e.entry_id, e.kind, e.actor, e.created_at, e.details, s.seq
FROM audit_entry AS e
-- With a limit, so that it is looked up by the key.
CROSS JOIN LATERAL (
    SELECT s.seq
    FROM audit_seal AS s
    WHERE s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id
    LIMIT 1
) AS s;
COMMENT ON VIEW v_sealed_entry IS
    'Audit entries that are sealed. What is not sealed counts for nothing where a row is missing.';

CREATE VIEW v_removed_rows WITH (security_invoker = true) AS
SELECT e.tenant_id, t.key AS recorded_table, r.value AS leaves
FROM v_sealed_entry AS e
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(e.details -> 'tables') WHEN 'object' THEN e.details -> 'tables' ELSE '{}' END
) AS t
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(t.value -> 'rows') WHEN 'array' THEN t.value -> 'rows' ELSE '[]' END
) AS r
WHERE e.kind = 'rows_removed';
COMMENT ON VIEW v_removed_rows IS
    'Recorded rows that sealed removals took away: each time an entry, and its first and last leaf.';

GRANT SELECT ON v_sealed_entry, v_removed_rows TO leo_auditor;

-- migrate:down

DROP VIEW v_removed_rows;
DROP VIEW v_sealed_entry;
