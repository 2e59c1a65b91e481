-- migrate:up

-- From here on an entry defines each campaign and each template, and one that no entry defines is a
-- finding. Those that are there already are named by an entry of each tenant; what they say is not
-- proven. Rules' versions were named by entries from the start.

SET LOCAL ROLE leo_migrate;
INSERT INTO audit_entry (
    tenant_id, entry_id, kind, actor, call_id, recorded_table, member_count, root, details
)
SELECT
    t.tenant_id, gen_random_uuid(), 'definitions_found', 'leo_migrate', '', NULL, 0,
    decode(repeat('00', 32), 'hex'),
    jsonb_build_object('campaigns', t.campaigns, 'templates', t.templates)
FROM (
    SELECT
        tenant_id,
        ARRAY(
            SELECT c.campaign_id FROM campaign AS c
            WHERE c.tenant_id = tenant.tenant_id
            ORDER BY c.campaign_id
        ) AS campaigns,
        ARRAY(
            SELECT m.template_id FROM message_template AS m
            WHERE m.tenant_id = tenant.tenant_id
            ORDER BY m.template_id
        ) AS templates
    FROM tenant
) AS t
WHERE cardinality(t.campaigns) + cardinality(t.templates) > 0;
RESET ROLE;

-- migrate:down

-- Entries are for good: these say what was there when they were written.
SELECT 1;
