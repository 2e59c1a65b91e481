-- What a server needs before there is a database: the roles and what each may do anywhere.
-- Runs as superuser at every start and changes nothing the second time. Passwords are set beside it.

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY[
        'leo_owner', 'leo_migrate', 'leo_ingest', 'leo_segment', 'leo_decision', 'leo_dispatch',
        'leo_finder', 'leo_auditor', 'leo_eraser'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I', v_role);
        END IF;
    END LOOP;
END
$$;

-- Owns every object and nobody logs in as it.
ALTER ROLE leo_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- Runs migrations. Its sessions start as leo_owner, so that what they create is owned by it. Every
-- table forces its policies on its owner too: a migration that changes rows says
-- SET LOCAL ROLE leo_migrate first, or it would change none and say nothing.
ALTER ROLE leo_migrate LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS;
GRANT leo_owner TO leo_migrate;
ALTER ROLE leo_migrate SET role = 'leo_owner';
-- A migration that waits for a lock makes every later call wait behind it: it gives up instead. One
-- that needs longer says SET LOCAL itself.
ALTER ROLE leo_migrate SET lock_timeout = '5s';
ALTER ROLE leo_migrate SET statement_timeout = '5min';

-- One role a service: no bypass, owns nothing.
ALTER ROLE leo_ingest LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE leo_segment LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE leo_decision LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE leo_dispatch LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- They read by key. A plan that was made while a table was nearly empty, and kept by a session as
-- foreign keys' plans are, would go on to read the whole table for each row.
ALTER ROLE leo_ingest SET enable_seqscan = off;
ALTER ROLE leo_decision SET enable_seqscan = off;
ALTER ROLE leo_dispatch SET enable_seqscan = off;

-- Finds which tenants have due work: columns for scheduling and keys only, across tenants.
-- No role may be a member of it or of the auditor: a policy also applies to whoever inherits its role.
ALTER ROLE leo_finder LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- Reads everything of every tenant, and writes nothing.
ALTER ROLE leo_auditor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE leo_auditor SET default_transaction_read_only = on;

-- Owns the procedures of the one door out of append-only tables; nobody logs in as it.
ALTER ROLE leo_eraser NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
-- A migration gives a procedure to it, and has none of its rights by itself.
GRANT leo_eraser TO leo_migrate WITH INHERIT FALSE;
