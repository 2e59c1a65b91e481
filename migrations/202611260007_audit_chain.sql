-- migrate:up

-- Which entries a sealer has still to look at is told by the transaction that wrote them, as with the
-- hops (docs/decisions/0009). Entries from before lie before every transaction.
ALTER TABLE audit_entry ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0';
ALTER TABLE audit_entry ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();

COMMENT ON COLUMN audit_entry.transaction_id IS
    'Of the transaction that wrote the entry; no hash covers it.';

-- An entry is one row for a whole batch: the table is small beside what it records.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_relay_v1 ON audit_entry (tenant_id, transaction_id);
-- Lists go by time.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_created_v1 ON audit_entry (tenant_id, created_at, entry_id);

-- So that the chain can be followed without reading what the entries say. Nothing has sealed yet.
-- squawk-ignore adding-required-field
ALTER TABLE audit_seal ADD COLUMN entry_digest bytea NOT NULL
    CONSTRAINT audit_seal_entry_digest_check CHECK (octet_length(entry_digest) = 32);

COMMENT ON COLUMN audit_seal.entry_digest IS
    'SHA-256(0x02 || root || canonical entry without its root).';
COMMENT ON COLUMN audit_seal.hash IS
    'SHA-256(0x03 || prev || entry_digest); prev is the hash of the seal before, 32 zero bytes first.';

-- The rows of one entry lie beside each other, because one statement wrote them, and ids of entries
-- rise with time: block ranges find them, at nearly no cost to whoever inserts.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX decision_audit_v1 ON decision USING brin (tenant_id, audit_entry_id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_attempt_audit_v1 ON delivery_attempt USING brin (tenant_id, audit_entry_id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX profile_consent_version_audit_v1 ON profile_consent_version
USING brin (tenant_id, audit_entry_id);

-- The sealer is a hop like the others: its watermark tells what needs no more looking at.
-- The table has a few rows a tenant: nobody waits for the check.
-- squawk-ignore ban-drop-constraint
ALTER TABLE relay_watermark DROP CONSTRAINT relay_watermark_hop_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE relay_watermark ADD CONSTRAINT relay_watermark_hop_check
CHECK (hop IN ('activate', 'dispatch', 'seal'));

GRANT SELECT ON audit_entry TO leo_decision;
GRANT SELECT, INSERT ON audit_seal TO leo_decision;
GRANT SELECT (tenant_id, transaction_id) ON audit_entry TO leo_finder;
GRANT SELECT (tenant_id, seq) ON audit_seal TO leo_finder;
CREATE POLICY finder_looks ON audit_entry FOR SELECT TO leo_finder USING (true);
CREATE POLICY finder_looks ON audit_seal FOR SELECT TO leo_finder USING (true);

CREATE FUNCTION ledger_seals_v1(grace interval)
RETURNS TABLE (equation text, tenant_id uuid, subject_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
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
$$;

COMMENT ON FUNCTION ledger_seals_v1(interval) IS
    'A10: audit entries older than the grace without a seal.';

CREATE VIEW v_audit_breach WITH (security_invoker = true) AS
SELECT * FROM ledger_seals_v1(interval '5 seconds');

COMMENT ON VIEW v_audit_breach IS 'Audit entries that nobody has sealed for five seconds; empty.';

GRANT SELECT ON v_audit_breach TO leo_decision, leo_auditor;
GRANT EXECUTE ON FUNCTION ledger_seals_v1(interval) TO leo_decision, leo_auditor;

-- migrate:down

DROP VIEW v_audit_breach;
DROP FUNCTION ledger_seals_v1(interval);
DROP POLICY finder_looks ON audit_seal;
DROP POLICY finder_looks ON audit_entry;
REVOKE SELECT (tenant_id, seq) ON audit_seal FROM leo_finder;
REVOKE SELECT (tenant_id, transaction_id) ON audit_entry FROM leo_finder;
REVOKE SELECT, INSERT ON audit_seal FROM leo_decision;
REVOKE SELECT ON audit_entry FROM leo_decision;
SET LOCAL ROLE leo_migrate;
DELETE FROM relay_watermark WHERE hop = 'seal';
RESET ROLE;
-- squawk-ignore ban-drop-constraint
ALTER TABLE relay_watermark DROP CONSTRAINT relay_watermark_hop_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE relay_watermark ADD CONSTRAINT relay_watermark_hop_check
CHECK (hop IN ('activate', 'dispatch'));
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX profile_consent_version_audit_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_attempt_audit_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX decision_audit_v1;
-- Seals without the digests of their entries say nothing: the chain ends here, and going up again
-- begins another one.
ALTER TABLE audit_seal DISABLE TRIGGER append_only;
SET LOCAL ROLE leo_migrate;
DELETE FROM audit_seal;
RESET ROLE;
ALTER TABLE audit_seal ENABLE TRIGGER append_only;
-- squawk-ignore ban-drop-column
ALTER TABLE audit_seal DROP COLUMN entry_digest;
COMMENT ON COLUMN audit_seal.hash IS NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_created_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_relay_v1;
-- squawk-ignore ban-drop-column
ALTER TABLE audit_entry DROP COLUMN transaction_id;
