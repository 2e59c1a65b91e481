-- name: append_entry$
-- The tenant is the transaction's own. $ because the function's one (empty) value is the answer.
SELECT audit_append_v1(
    :entry_id, :kind, :actor, :call_id, :recorded_table, :member_count, :root, :details
);
