-- name: enter_tenant$
-- The state of the tenant, or NULL where there is none.
SELECT enter_tenant_v1(:tenant_id, :statement_timeout_ms);

-- name: limit_statements$
-- How long a statement may take, until the transaction ends.
SELECT set_config('statement_timeout', :statement_timeout_ms, true);

-- name: plan_along_indexes#
-- libs/postgres/plans.py says why.
SET LOCAL plan_cache_mode = 'force_custom_plan';
SET LOCAL enable_sort = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;

-- name: lock_bootstrap$
-- Two starts at once would trip over each other's half-made roles. Any constant would do.
SELECT pg_advisory_lock(5360001);

-- name: keep_passwords_out_of_the_log#
-- For the rest of the transaction; and passwords are stored as SCRAM, whatever the server's default.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL password_encryption = 'scram-sha-256';

-- name: alter_password$
-- The statement that sets a password, quoted by the server: a utility statement takes no parameters.
SELECT format('ALTER ROLE %I PASSWORD %L', :role::text, :password::text);

-- name: database_exists$
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :database);

-- name: create_database$
-- The statement that creates it.
SELECT format('CREATE DATABASE %I OWNER %I', :database::text, :owner::text);
