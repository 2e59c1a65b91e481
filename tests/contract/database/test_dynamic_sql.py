"""What services may call in the database makes no statement of their text (decision 0014)."""

from __future__ import annotations

import re
from typing import Any

from libs.postgres import roles

# Each names the table by %I from a list of the schema's own, and takes every value by USING.
DYNAMIC = {"count_tenant_rows_v1", "remove_tenant_rows_v1"}


async def test_functions_that_make_statements_quote_names_and_pass_values(superuser: Any) -> None:
    rows = await superuser.fetch(
        "SELECT proname, prosrc FROM pg_proc AS p"
        " WHERE pronamespace = 'public'::regnamespace"
        " AND prosrc ~* '\\mEXECUTE\\M|query_to_xml|dblink' AND EXISTS ("
        "     SELECT FROM unnest($1::text[]) AS role"
        "     WHERE has_function_privilege(role, p.oid, 'EXECUTE')"
        " )",
        [*roles.SERVICE_ROLES, roles.FINDER],
    )
    assert {row["proname"] for row in rows} == DYNAMIC
    for row in rows:
        made = re.findall(r"EXECUTE\s+(\w+)", row["prosrc"])
        assert made
        assert set(made) == {"format"}
        assert set(re.findall(r"%.", row["prosrc"])) == {"%I"}
        assert "||" not in row["prosrc"]
        assert row["prosrc"].count("USING v_tenant_id") == len(made)
