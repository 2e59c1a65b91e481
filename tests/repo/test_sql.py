"""Nobody builds SQL out of text: docs/decisions/0014 says what hangs on it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.repo.files import ROOT, tracked

if TYPE_CHECKING:
    from pathlib import Path

# Methods of asyncpg's connections, pools and transactions whose first argument is a statement.
RUNS = {
    *("execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval", "cursor", "prepare"),
    *("copy_from_query", "set_type_codec", "set_builtin_type_codec", "reset_type_codec"),
}
# Where a statement is more than a constant, and why that is no way in. None of them runs as a
# service.
PLACES = {
    "libs/postgres/migrations.py": "as superuser: whole files of migrations/, and two statements "
    "that the server itself has quoted, since utility statements take no parameters",
    "libs/audit/verify/reading.py": "as the auditor: statements of queries.sql for COPY, and the "
    "name of a snapshot that the server has just given",
    "libs/schema/page.py": "as nobody: it writes the schema down for people, out of the catalogue",
    "libs/schema/script.py": "as nobody: so does this one, as SQL",
    "libs/embedded/postgres.py": "as superuser of a server that nobody else reaches: a password, "
    "which no parameter can stand for",
    "libs/demo/command.py": "as nobody: it prints what people may ask by hand",
    "libs/audit/verify/verification.py": "as the auditor: a statement of queries.sql for COPY",
}
SQL = re.compile(
    r"\b(SELECT|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|WHERE|ORDER\s+BY|GROUP\s+BY|UNION"
    r"|SET\s+(LOCAL|ROLE|SESSION|TRANSACTION)|(ALTER|CREATE|DROP)\s+[A-Z]+|COPY|TRUNCATE|GRANT)\b"
)
# What may stand for a driver in a service: the types of rows and of refusals.
DRIVER = re.compile(r"Record|\w+Error")
# What makes a statement of text, inside the database.
DYNAMIC = re.compile(r"\bEXECUTE\b|\bDO\s+\$|query_to_xml|dblink|SELECT\s+format\b", re.IGNORECASE)


def code() -> list[Path]:
    return [
        path
        for path in [*tracked("services/*.py"), *tracked("libs/*.py")]
        if "protogen" not in path.parts
    ]


class Constants:
    """Which expressions of a module are made of literals alone, whatever they are called."""

    def __init__(self, tree: ast.Module) -> None:
        self._values: dict[str, list[ast.expr | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
                self._bind(node.target, node.value)
            elif isinstance(node, (ast.AugAssign, ast.For, ast.AsyncFor, ast.comprehension)):
                self._bind(node.target, None)
            elif isinstance(node, ast.arg):
                self._values.setdefault(node.arg, []).append(None)

    def _bind(self, target: ast.expr, value: ast.expr | None) -> None:
        names = [node for node in ast.walk(target) if isinstance(node, ast.Name)]
        for name in names:
            self._values.setdefault(name.id, []).append(value if target is name else None)

    def holds(self, node: ast.expr | None) -> bool:
        """Whether no value of anybody's can be in it."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.JoinedStr):
            return all(map(self.holds, node.values))
        if isinstance(node, ast.FormattedValue):
            return self.holds(node.value)
        if isinstance(node, ast.BinOp):
            return self.holds(node.left) and self.holds(node.right)
        if isinstance(node, ast.Name) and node.id in self._values:
            # Not for ever, where a name is bound to itself.
            values = self._values.pop(node.id)
            held = all(map(self.holds, values))
            self._values[node.id] = values
            return held
        return False


def _text(node: ast.AST) -> str:
    return " ".join(
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def built(source: str) -> list[str]:
    """The statements that a module makes of more than constants, or runs without knowing them."""
    tree = ast.parse(source)
    constants = Constants(tree)
    found = []
    for node in ast.walk(tree):
        runs = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in RUNS
            and node.args
        )
        if runs and not constants.holds(node.args[0]):  # type: ignore[attr-defined]
            found.append(ast.unparse(node))
        composes = (
            isinstance(node, ast.JoinedStr)
            or (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)))
            or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"format", "format_map", "join", "replace", "Template"}
            )
        )
        if composes and SQL.search(_text(node)) and not constants.holds(node):  # type: ignore[arg-type]
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "source",
    [
        'connection.execute(f"SELECT {column} FROM tenant")',
        'connection.fetch("SELECT 1 WHERE name = \'" + name + "\'")',
        'connection.fetch("SELECT %s" % name)',
        'connection.fetchval("SELECT {}".format(name))',
        "connection.fetchrow(statement)",
        'statement = "SELECT 1"\nstatement += f" WHERE {name}"\nconnection.fetch(statement)',
        'def run(connection, statement="SELECT 1"):\n    connection.execute(statement)',
        "for part in parts:\n    connection.execute(part)",
        "connection.execute(QUERIES.select.sql + extra)",
        'connection.prepare("".join(parts))',
        'condition = " AND ".join(["SELECT 1", *parts])',
        'text = f"SELECT * FROM marketing_event WHERE {condition}"',
        'text = "DELETE FROM tenant".replace("tenant", table)',
        "with open(name) as file:\n    connection.execute(file.read())",
    ],
)
def test_what_builds_a_statement_is_found(source: str) -> None:
    assert built(source)


@pytest.mark.parametrize(
    "source",
    [
        'connection.execute("SELECT 1")',
        'connection.fetch("SELECT $1 " "WHERE true", name)',
        'columns = "SELECT at"\nconnection.fetch(f"{columns} FROM v_journey WHERE a = $1", name)',
        '_PAGE: Final = """SELECT 1"""\nconnection.fetch(_PAGE, name)',
        "QUERIES.select_events(connection, tenant_id=tenant_id)",
        'raise LeoError(f"the event {name} is unknown")',
        "await self.prepare()",
    ],
)
def test_what_builds_none_is_let_through(source: str) -> None:
    assert not built(source)


def test_statements_are_constants_but_in_the_places_that_are_listed() -> None:
    found = {}
    for path in code():
        place = str(path.relative_to(ROOT))
        if statements := built(path.read_text()):
            found[place] = statements
    assert found.keys() == PLACES.keys(), {
        place: found[place] for place in found.keys() - PLACES.keys()
    }


def test_a_service_runs_nothing_but_the_statements_of_its_queries() -> None:
    for path in tracked("services/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            # aiosql's text of a statement, with which one could go on.
            assert node.attr not in RUNS | {"sql"}, place
            if isinstance(node.value, ast.Name) and node.value.id == "asyncpg":
                assert DRIVER.fullmatch(node.attr), place


def test_queries_are_read_from_the_file_beside_their_module() -> None:
    for path in code():
        text = path.read_text()
        if "aiosql" in text:
            assert path == ROOT / "libs/postgres/queries.py"
        else:
            assert set(re.findall(r"\bload_queries\(([^)]*)\)", text)) <= {"__file__"}, path


def test_no_query_makes_a_statement_inside_the_database() -> None:
    checked = tracked("services/*queries.sql") + tracked("libs/*queries.sql")
    assert len(checked) > 4
    for path in checked:
        # Run as superuser, to make the roles' passwords and the database itself.
        if path != ROOT / "libs/postgres/queries.sql":
            assert not DYNAMIC.search(path.read_text()), path


# What outlives a transaction: the pool gives a session to the next one as it is.
OUTLIVES = re.compile(
    r"pg_(try_)?advisory_(un)?lock|\bLISTEN\b|WITH\s+HOLD|set_config\([^)]*,\s*false\)"
    r"|(\A|;|^--[^\n]*)\s*SET\s+(?!LOCAL\b)",
    re.IGNORECASE | re.MULTILINE,
)


def test_nothing_outlives_a_transaction() -> None:
    files = [
        *tracked("services/*.sql"),
        *(ROOT / f"libs/{name}/queries.sql" for name in ("postgres", "relay", "audit")),
    ]
    found = {
        (path.relative_to(ROOT).as_posix(), match.group().split()[-1])
        for path in files
        for match in OUTLIVES.finditer(path.read_text())
    }
    # As superuser, on a connection of its own.
    assert found == {("libs/postgres/queries.sql", "pg_advisory_lock")}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pg_advisory_lock(1);",
        "-- name: a#\nSET search_path = x;",
        "SELECT set_config('a', $1, false);",
    ],
)
def test_what_outlives_a_transaction_is_found(text: str) -> None:
    assert OUTLIVES.search(text)
