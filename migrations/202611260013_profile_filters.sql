-- migrate:up

-- What segments ask of people, so that a tenant's question does not read the people of the others
-- (docs/decisions/0012). Equality and membership go through the first: of typed columns, of lists, and
-- of whatever a tenant keeps in attributes (@>). With tenant_id inside, what the tenants have in common
-- costs no one. Without fastupdate, because a search would read the whole list of what waits to be
-- filed, and now and then one insert would have to file it. Upserts wait while the indexes are made:
-- no version was released, so no table is large yet.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_filter_v1 ON cdp_profiles USING gin (
    tenant_id, city, funnel_stage, labels, source_segment_ids, attributes jsonb_path_ops
) WITH (fastupdate = off);
-- Ranges. None of updated_at: an update that changes nothing else touches no index.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_lifetime_value_v1 ON cdp_profiles (tenant_id, lifetime_value_vnd);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_churn_score_v1 ON cdp_profiles (tenant_id, churn_score);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_created_v1 ON cdp_profiles (tenant_id, created_at);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_birthday_v1 ON cdp_profiles (tenant_id, birth_month, birth_day);

-- migrate:down

-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_birthday_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_created_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_churn_score_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_lifetime_value_v1;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_filter_v1;
