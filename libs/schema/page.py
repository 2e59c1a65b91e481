"""The schema as a page of the reference, with a diagram."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from libs.postgres import roles
from libs.schema.script import policy_statement, privilege

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from libs.schema.catalogue import Catalogue, Column, Constraint, Grant, Relation, Routine

_HEAD: Final = """\
# The database

<!-- Made by `make schema` from the database that the migrations build: a migration mends it. -->

Every table, view and function, what it is for, and what each role may do with it. A test makes \
this page again and compares: no role may do more than stands here. How it works together \
(tenants, the one door and what it leaves in the audit, hops, the clock, migrations) is told in \
[Data](data.md). \
[`schema.sql`](../../migrations/schema.sql) says the same in SQL.

Every table has a `tenant_id`, and [policies](#policies) forced on everybody. A table has one \
writing service, which its description names. States are text with a CHECK, money is `bigint` in \
đồng, times end in `_at`."""
_DIAGRAM: Final = """\
## Diagram

A line is a foreign key, with its columns beside `tenant_id`. Those to `tenant` are left out."""
_MATRIX: Final = """\
## Roles

r reads, a adds, w changes, d deletes rows; in brackets: some columns only, which stand with the \
table. [What each role is](data.md#roles)."""
_TABLES: Final = """\
## Tables

Columns that mean the same in every table have no meaning beside them, and neither have those that \
are the key of the table of their name."""
_VIEWS: Final = """\
## Views

`security_invoker`: the view runs as whoever asks. The auditor sees every tenant, a service its \
own."""
_FUNCTIONS: Final = """\
## Functions

Nobody may execute one but its owner and whom it names. **As owner**: it runs with the rights of \
its owner (SECURITY DEFINER); all others run with those of the caller."""
# What a column of this name means in every table; in a comment it would be said forty times.
COMMON_COLUMNS: Final = {
    "tenant_id": "Whose row it is; each key leads with it.",
    "name": "Kebab-case, and unique where it stands.",
    "display_name": "For people.",
    "channel": "A way to reach people, such as `email`.",
    "purpose": "What a message is for, such as `marketing`.",
    "request_id": "The client's name for the request that made the row: a repeat finds the row.",
    "request_digest": "SHA-256 of that request: the same name with another body is refused.",
    "provider_message_id": "What the provider calls the message; empty where it did not say.",
    "actor": "Who asked for it: the subject of a token, or a process.",
    "audit_entry_id": "The audit entry that records the row.",
    "leaf_no": "The place of the row's leaf in that entry's hash tree.",
    "salt": "Of that leaf; NULL after the person was erased.",
    "transaction_id": "The transaction that wrote the row, by which sweepers find it.",
    "created_at": "When the row was made.",
    "updated_at": "When the row last changed.",
}
_ROLES: Final = (*roles.SERVICE_ROLES, roles.FINDER, roles.AUDITOR, roles.ERASER)
_LETTERS: Final = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}
_KINDS: Final = {"p": "key", "u": "key", "x": "key", "f": "foreign key", "c": "check"}


def render_page(catalogue: Catalogue) -> str:
    """The text of docs/reference/database.md."""
    tables = catalogue.tables
    common = [[_code(name), meaning] for name, meaning in COMMON_COLUMNS.items()]
    parts = [
        _HEAD,
        _DIAGRAM,
        _diagram(tables),
        _MATRIX,
        _matrix([*tables, *catalogue.views]),
        _TABLES,
        _grid(["column", "meaning"], common),
        *(_table(table, catalogue.partitions) for table in tables),
        "## Policies",
        *_policies([*tables, *catalogue.partitions]),
        _VIEWS,
        *map(_view, catalogue.views),
        _FUNCTIONS,
        _functions(catalogue.routines),
    ]
    return "\n\n".join(parts) + "\n"


def _diagram(tables: Sequence[Relation]) -> str:
    keys = [(table, key) for table in tables for key in table.constraints if key.kind == "f"]
    shown = [(table, key) for table, key in keys if key.columns != ("tenant_id",)]
    linked = {name for table, key in shown for name in (table.name, key.parent)}
    lines = [f"    {table.name}" for table in tables if table.name not in linked]
    lines += [_line(table, key) for table, key in shown]
    return "\n".join(["```mermaid", "erDiagram", *lines, "```"])


def _line(table: Relation, key: Constraint) -> str:
    """One foreign key: how many parents a child has, and how many children a parent."""
    nullable = {column.name for column in table.columns if not column.not_null}
    parents = "|o" if nullable & set(key.columns) else "||"
    unique = any(
        other.kind in {"p", "u"} and set(other.columns) <= set(key.columns)
        for other in table.constraints
    )
    children = "o|" if unique else "o{"
    label = ", ".join(column for column in key.columns if column != "tenant_id")
    return f'    {key.parent} {parents}--{children} {table.name} : "{label}"'


def _matrix(relations: Iterable[Relation]) -> str:
    rows = [
        [_code(relation.name), *(_letters(relation.grants, role) for role in _ROLES)]
        for relation in relations
    ]
    return _grid(["", *map(_code, _ROLES)], rows)


def _letters(grants: Iterable[Grant], role: str) -> str:
    mine = [grant for grant in grants if grant.role == role]
    return " ".join(
        f"({letter})" if grant.columns else letter
        for grant in mine
        for letter in [_LETTERS.get(grant.privilege, grant.privilege)]
    )


def _table(table: Relation, partitions: Sequence[Relation]) -> str:
    parts = [f"### {table.name}", table.comment or ""]
    own = [partition for partition in partitions if partition.partition_of == table.name]
    if own:
        parts.append(f"{len(own)} partitions by `{table.partition_key}`: {_names(own)}.")
    parts += [
        _grid(
            ["column", "type", "", "meaning"],
            [
                [_code(c.name), _code(c.type), _presence(c), _cell(c.comment or "")]
                for c in table.columns
            ],
        ),
        "\n".join(
            [
                *(f"- {_KINDS[c.kind]} `{c.name}`: `{c.definition}`" for c in table.constraints),
                *(f"- {_index(index)}" for index in table.indexes),
                *(
                    f"- trigger `{trigger.definition.removeprefix('CREATE TRIGGER ')}`"
                    for trigger in table.triggers
                ),
                *_triggers_of(own),
            ]
        ),
        _rights(table),
    ]
    return "\n\n".join(parts)


def _index(definition: str) -> str:
    kind, _, rest = definition.removeprefix("CREATE ").partition("INDEX ")
    return f"{kind.lower()}index `{rest}`"


def _triggers_of(partitions: Sequence[Relation]) -> Iterator[str]:
    """Those of partitions: a trigger for a statement does not reach whoever names a partition."""
    for name in sorted({trigger.name for each in partitions for trigger in each.triggers}):
        having = [
            each for each in partitions if name in {trigger.name for trigger in each.triggers}
        ]
        where = "every partition" if len(having) == len(partitions) else _names(having)
        yield f"- trigger `{name}` on {where}"


def _presence(column: Column) -> str:
    """What stands in a column that nobody fills."""
    if column.identity:
        return "counted"
    if column.default is not None:
        return f"default {_code(column.default)}"
    return "" if column.not_null else "or NULL"


def _rights(relation: Relation) -> str:
    by_role = groupby(relation.grants, key=lambda grant: grant.role)
    rows = [
        [_code(role), ", ".join(_code(privilege(grant)) for grant in grants)]
        for role, grants in by_role
    ]
    return _grid(["role", "may"], rows)


def _policies(tables: Sequence[Relation]) -> Iterator[str]:
    """Each policy once, with the tables that have it in these very words."""
    found: dict[str, list[Relation]] = {}
    for table in tables:
        for policy in table.policies:
            found.setdefault(policy_statement(policy, "…"), []).append(table)
    for statement, holders in sorted(found.items()):
        where = "Every table and partition" if len(holders) == len(tables) else _names(holders)
        yield f"```sql\n{statement};\n```\n\n{where}."
    loose = [table for table in tables if not (table.secured and table.forced)]
    if loose:
        yield f"Not forced on {_names(loose)}."


def _view(view: Relation) -> str:
    columns = ", ".join(f"{_code(column.name)} {column.type}" for column in view.columns)
    options = ", ".join(map(_code, view.options)) or "No options"
    return "\n\n".join(
        [f"### {view.name}", view.comment or "", f"{options}: {columns}", _rights(view)]
    )


def _functions(routines: Iterable[Routine]) -> str:
    return _grid(
        ["function", "what it does", "who may execute it"],
        [
            [
                _code(routine.signature),
                _cell(routine.comment or ""),
                ", ".join(
                    [
                        *([f"**as owner** `{routine.owner}`"] if routine.as_owner else []),
                        *map(_code, routine.roles),
                    ]
                ),
            ]
            for routine in sorted(routines, key=lambda routine: routine.signature)
        ],
    )


def _names(relations: Iterable[Relation]) -> str:
    return ", ".join(_code(relation.name) for relation in relations)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(
        [
            f"| {' | '.join(head)} |",
            "|" + "---|" * len(head),
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
