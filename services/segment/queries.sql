-- Every statement of segment. Each runs inside one tenant's context (libs/postgres).

-- name: insert_segment^
-- No row comes back if the name is taken, or the request was answered before.
INSERT INTO segment (
    tenant_id, segment_id, name, display_name, condition, version, request_id, request_digest
)
VALUES (
    :tenant_id, :segment_id, :name, :display_name, :condition, 1, :request_id, :request_digest
)
ON CONFLICT DO NOTHING
RETURNING segment_id, name, display_name, condition, version, created_at;

-- name: select_segment_of_request^
SELECT segment_id, name, display_name, condition, version, created_at, request_digest
FROM segment
WHERE tenant_id = :tenant_id AND request_id = :request_id;

-- name: select_segment^
SELECT segment_id, name, display_name, condition, version, created_at
FROM segment
WHERE tenant_id = :tenant_id AND segment_id = :segment_id;

-- name: select_segments
-- Names are never empty: the first page comes after ''.
SELECT segment_id, name, display_name, condition, version, created_at
FROM segment
WHERE tenant_id = :tenant_id AND name > :after_name
ORDER BY name
LIMIT :count_max;
