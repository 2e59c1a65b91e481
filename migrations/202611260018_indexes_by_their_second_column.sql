-- migrate:up

-- An index that begins with tenant_id serves whoever asks for a tenant, and where statistics tell
-- nothing it costs the same as the right one; PostgreSQL then takes the youngest. Foreign keys are
-- checked by such a plan, row by row, through all that the tenant has (docs/decisions/0015). So of the
-- tables that large ones refer to, every index but the key is for those who ask for its second column:
-- each row is in it, and a comparison with that column proves the predicate.

-- Writers wait while the indexes are made: no table is large yet.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX cdp_profiles_ext_id_v1 ON cdp_profiles (tenant_id, ext_id)
WHERE ext_id IS NOT NULL;
-- The index above guarantees the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE cdp_profiles DROP CONSTRAINT cdp_profiles_ext_id_key;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX cdp_profiles_profile_no_v1 ON cdp_profiles (tenant_id, profile_no)
WHERE profile_no IS NOT NULL;
-- The index above guarantees the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE cdp_profiles DROP CONSTRAINT cdp_profiles_profile_no_key;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_lifetime_value_v2 ON cdp_profiles (tenant_id, lifetime_value_vnd)
WHERE lifetime_value_vnd IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_lifetime_value_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_churn_score_v2 ON cdp_profiles (tenant_id, churn_score)
WHERE churn_score IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_churn_score_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_created_v2 ON cdp_profiles (tenant_id, created_at)
WHERE created_at IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_created_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_birthday_v2 ON cdp_profiles (tenant_id, birth_month, birth_day)
WHERE birth_month IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_birthday_v1;

-- Writers wait while the indexes are made: no table is large yet.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX decision_trigger_v1
ON decision (tenant_id, trigger_kind, trigger_id, profile_id, ordinal) NULLS NOT DISTINCT
WHERE trigger_kind IS NOT NULL;
-- The index above guarantees the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE decision DROP CONSTRAINT decision_trigger_key;

-- Writers wait while the indexes are made: no table is large yet.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX delivery_log_dedupe_v1 ON delivery_log (tenant_id, dedupe_key)
WHERE dedupe_key IS NOT NULL;
-- The index above guarantees the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE delivery_log DROP CONSTRAINT delivery_log_dedupe_key;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_decision_v2 ON delivery_log (tenant_id, decision_id)
WHERE decision_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_decision_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_profile_v2 ON delivery_log (tenant_id, profile_id, created_at)
WHERE profile_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_profile_v1;

-- Writers wait while the indexes are made: no table is large yet.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_created_v2 ON audit_entry (tenant_id, created_at, entry_id)
WHERE created_at IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_created_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_relay_v2 ON audit_entry (tenant_id, transaction_id)
WHERE transaction_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_relay_v1;

-- migrate:down

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_relay_v1 ON audit_entry (tenant_id, transaction_id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_relay_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entry_created_v1 ON audit_entry (tenant_id, created_at, entry_id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX audit_entry_created_v2;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_profile_v1 ON delivery_log (tenant_id, profile_id, created_at);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_profile_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX delivery_log_decision_v1 ON delivery_log (tenant_id, decision_id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_decision_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX delivery_log_dedupe_key
ON delivery_log (tenant_id, dedupe_key);
ALTER TABLE delivery_log ADD CONSTRAINT delivery_log_dedupe_key UNIQUE USING INDEX delivery_log_dedupe_key;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX delivery_log_dedupe_v1;

-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX decision_trigger_key
ON decision (tenant_id, trigger_kind, trigger_id, profile_id, ordinal) NULLS NOT DISTINCT;
ALTER TABLE decision ADD CONSTRAINT decision_trigger_key UNIQUE USING INDEX decision_trigger_key;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX decision_trigger_v1;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_birthday_v1 ON cdp_profiles (tenant_id, birth_month, birth_day);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_birthday_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_created_v1 ON cdp_profiles (tenant_id, created_at);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_created_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_churn_score_v1 ON cdp_profiles (tenant_id, churn_score);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_churn_score_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX cdp_profiles_lifetime_value_v1 ON cdp_profiles (tenant_id, lifetime_value_vnd);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_lifetime_value_v2;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX cdp_profiles_profile_no_key
ON cdp_profiles (tenant_id, profile_no);
ALTER TABLE cdp_profiles ADD CONSTRAINT cdp_profiles_profile_no_key UNIQUE USING INDEX cdp_profiles_profile_no_key;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_profile_no_v1;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX cdp_profiles_ext_id_key
ON cdp_profiles (tenant_id, ext_id);
ALTER TABLE cdp_profiles ADD CONSTRAINT cdp_profiles_ext_id_key UNIQUE USING INDEX cdp_profiles_ext_id_key;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX cdp_profiles_ext_id_v1;
