-- The demo checks its own books, as the auditor, who sees every tenant and changes nothing.

-- name: count_tenant^
-- What the tenant has now: one statement, so that the counts belong together.
SELECT
    (
        SELECT count(*) FROM marketing_event
        WHERE tenant_id = :tenant_id AND source = :source
    ) AS marketing_event,
    (SELECT count(*) FROM cdp_profiles WHERE tenant_id = :tenant_id) AS cdp_profiles,
    (SELECT count(*) FROM profile_consent WHERE tenant_id = :tenant_id) AS profile_consent,
    (SELECT count(*) FROM audit_entry WHERE tenant_id = :tenant_id) AS audit_entry;
