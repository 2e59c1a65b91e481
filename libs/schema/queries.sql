-- What the catalogue says of our schema, one JSON object an object of the database, in the order in
-- which the migrations made them.

-- name: read_relations
-- Tables, partitions and views. Names are written as short as the search path allows.
SELECT jsonb_build_object(
    'name', c.relname,
    'kind', CASE WHEN c.relkind = 'v' THEN 'view' ELSE 'table' END,
    'comment', obj_description(c.oid, 'pg_class'),
    'owner', c.relowner::regrole,
    'options', coalesce(c.reloptions, '{}'),
    'partition_key', pg_get_partkeydef(c.oid),
    'partition_of', (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid),
    'partition_bound', pg_get_expr(c.relpartbound, c.oid),
    'view', CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid, true) END,
    -- What must be there before it: whom its foreign keys lead to, and what a view reads.
    'needs', ARRAY(
        SELECT n.relname
        FROM pg_class AS n
        WHERE n.oid <> c.oid AND n.relkind IN ('r', 'p', 'v') AND n.oid IN (
            SELECT confrelid FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f'
            UNION
            SELECT d.refobjid
            FROM pg_rewrite AS w
            JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
            WHERE w.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass
        )
        ORDER BY n.relname
    ),
    'secured', c.relrowsecurity,
    'forced', c.relforcerowsecurity,
    'columns', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod) || coalesce((
                SELECT ' COLLATE ' || quote_ident(l.collname)
                FROM pg_type AS y
                JOIN pg_collation AS l ON l.oid = a.attcollation
                WHERE y.oid = a.atttypid AND y.typcollation <> a.attcollation
            ), ''),
            'not_null', a.attnotnull,
            'default', pg_get_expr(d.adbin, d.adrelid, true),
            'identity', a.attidentity,
            'generated', a.attgenerated,
            'statistics', nullif(a.attstattarget, -1),
            'comment', col_description(c.oid, a.attnum)
        ) ORDER BY a.attnum)
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ), '[]'),
    -- Not those that a partition has from its parent, and not NOT NULL, which columns say.
    'constraints', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', k.conname,
            'kind', k.contype,
            'definition', pg_get_constraintdef(k.oid, true),
            'parent', (SELECT relname FROM pg_class WHERE oid = k.confrelid),
            'columns', ARRAY(
                SELECT a.attname
                FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
                JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.attnum
                ORDER BY u.place
            )
        ) ORDER BY strpos('pufcx', k.contype::text), k.conname)
        FROM pg_constraint AS k
        WHERE k.conrelid = c.oid AND k.conislocal AND k.conparentid = 0 AND k.contype <> 'n'
    ), '[]'),
    'indexes', coalesce((
        SELECT jsonb_agg(
            replace(pg_get_indexdef(i.indexrelid, 0, true), ' ON ONLY ', ' ON ') ORDER BY n.relname
        )
        FROM pg_index AS i
        JOIN pg_class AS n ON n.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND NOT n.relispartition
            AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
    ), '[]'),
    'triggers', coalesce((
        SELECT jsonb_agg(
            jsonb_build_object('name', t.tgname, 'definition', pg_get_triggerdef(t.oid, true))
            ORDER BY t.tgname
        )
        FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0
    ), '[]'),
    'policies', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', p.polname,
            'permissive', p.polpermissive,
            'command', CASE p.polcmd
                WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
            END,
            'roles', ARRAY(
                SELECT CASE u.role WHEN 0 THEN 'PUBLIC' ELSE u.role::regrole::text END
                FROM unnest(p.polroles) AS u (role)
                ORDER BY 1
            ),
            'using', pg_get_expr(p.polqual, p.polrelid, true),
            'check', pg_get_expr(p.polwithcheck, p.polrelid, true)
        ) ORDER BY p.polname)
        FROM pg_policy AS p
        WHERE p.polrelid = c.oid
    ), '[]'),
    'grants', coalesce((
        SELECT jsonb_agg(
            jsonb_build_object('role', g.role, 'privilege', g.privilege, 'columns', g.columns)
            ORDER BY g.role, strpos('SELECT INSERT UPDATE DELETE', g.privilege), g.privilege
        )
        FROM (
            SELECT
                CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS role,
                x.privilege_type AS privilege,
                coalesce(array_agg(s.attname ORDER BY s.attnum) FILTER (
                    WHERE s.attname IS NOT NULL
                ), '{}') AS columns
            FROM (
                SELECT c.relacl AS acl, NULL::name AS attname, 0 AS attnum
                UNION ALL
                SELECT attacl, attname, attnum FROM pg_attribute
                WHERE attrelid = c.oid AND attacl IS NOT NULL AND NOT attisdropped
            ) AS s
            CROSS JOIN LATERAL aclexplode(s.acl) AS x
            WHERE x.grantee <> c.relowner
            -- A privilege on the whole table and one on columns of it are two grants.
            GROUP BY x.grantee, x.privilege_type, s.attname IS NULL
        ) AS g
    ), '[]')
)
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace
    AND c.relkind IN ('r', 'p', 'v')
    -- The bookkeeping of dbmate.
    AND c.relname <> 'schema_migrations'
ORDER BY c.oid;

-- name: read_routines
-- Functions and procedures, but for those of extensions.
SELECT jsonb_build_object(
    'name', p.proname,
    'arguments', pg_get_function_identity_arguments(p.oid),
    'kind', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
    'definition', regexp_replace(
        rtrim(pg_get_functiondef(p.oid), E'\n'), '^CREATE OR REPLACE (\w+) public\.', 'CREATE \1 '
    ),
    'comment', obj_description(p.oid, 'pg_proc'),
    'owner', p.proowner::regrole,
    'as_owner', p.prosecdef,
    'needed_by_tables', EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
            AND d.classid IN ('pg_attrdef'::regclass, 'pg_trigger'::regclass)
    ),
    'roles', ARRAY(
        SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
        FROM aclexplode(p.proacl) AS x
        WHERE x.grantee <> p.proowner
        ORDER BY 1
    )
)
FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend AS d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
)
ORDER BY p.oid;
