-- What a database needs before its first migration. Runs as superuser, inside it, at every start.

-- Not a trusted extension: only a superuser may create it.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
-- So that an index on what people have in common can lead with the tenant.
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- Row level security lets only functions that tell nothing of their arguments, but for their result,
-- look through an index before the policy has. Neither of these raises an error that depends on a
-- value, and text is compared by texteq, which is such a function by itself; PostgreSQL does not say
-- so of them. docs/decisions/0012 has the reasons, and what it costs without.
ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF;
ALTER FUNCTION pg_catalog.arraycontains(anyarray, anyarray) LEAKPROOF;

DO $$
BEGIN
    -- TEMPORARY too: a temporary table could stand in for one that a privileged function names.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO leo_migrate, leo_ingest, leo_segment, leo_decision,'
        ' leo_dispatch, leo_finder, leo_auditor',
        current_database()
    );
END
$$;

ALTER SCHEMA public OWNER TO leo_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO
    leo_ingest, leo_segment, leo_decision, leo_dispatch, leo_finder, leo_auditor, leo_eraser;

-- A new function may be called by whom a migration names, not by everybody.
ALTER DEFAULT PRIVILEGES FOR ROLE leo_owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE leo_eraser REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
