"""The schema as SQL that people read."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libs.schema.catalogue import Catalogue, Column, Grant, Policy, Relation, Routine

_HEAD: Final = """\
-- The schema that the migrations build, made from its catalogue by `make schema`. To be read: what
-- builds a database are the migrations, which also say why. A test compares the two.
--
-- First what tables call, then tables in the order of their making, functions, views, partitions.
-- It can be run, as superuser, in a database after bootstrap_database.sql."""


def render_script(catalogue: Catalogue) -> str:
    """The text of migrations/schema.sql."""
    called = [r for r in catalogue.routines if r.needed_by_tables]
    others = [r for r in catalogue.routines if not r.needed_by_tables]
    parts = [
        _HEAD,
        # Functions name tables and views that come after them.
        f"SET ROLE {roles.OWNER};\nSET check_function_bodies = off;",
        *map(_routine, called),
        *map(_table, catalogue.tables),
        *map(_routine, others),
        *map(_view, catalogue.views),
        *map(_partition, catalogue.partitions),
        "RESET check_function_bodies;\nRESET ROLE;",
        *_owners(catalogue),
    ]
    return "\n\n".join(parts) + "\n"


def _table(table: Relation) -> str:
    lines = [*map(_column, table.columns)]
    lines += [f"    CONSTRAINT {c.name} {c.definition}" for c in table.constraints]
    partitioned = f" PARTITION BY {table.partition_key}" if table.partition_key else ""
    return "\n".join(
        [
            f"CREATE TABLE {table.name} (",
            ",\n".join(lines),
            f"){partitioned}{_options(table)};",
            *_details(table),
        ]
    )


def _partition(partition: Relation) -> str:
    of = f"PARTITION OF {partition.partition_of} {partition.partition_bound}"
    return "\n".join(
        [f"CREATE TABLE {partition.name} {of}{_options(partition)};", *_details(partition)]
    )


def _view(view: Relation) -> str:
    return "\n".join(
        [
            f"CREATE VIEW {view.name}{_options(view)} AS",
            # As PostgreSQL writes it, but for the column where it starts.
            (view.view or "").strip(),
            *_details(view),
        ]
    )


def _column(column: Column) -> str:
    text = f"    {column.name} {column.type}"
    if column.generated:
        text += f" GENERATED ALWAYS AS ({column.default}) STORED"
    elif column.default is not None:
        text += f" DEFAULT {column.default}"
    if column.identity:
        text += f" GENERATED {'ALWAYS' if column.identity == 'a' else 'BY DEFAULT'} AS IDENTITY"
    return text + (" NOT NULL" if column.not_null else "")


def _options(relation: Relation) -> str:
    return f" WITH ({', '.join(relation.options)})" if relation.options else ""


def _details(relation: Relation) -> Iterator[str]:
    """What is said of a relation after it is made."""
    name = relation.name
    if relation.comment:
        kind = relation.kind.upper()
        yield f"COMMENT ON {kind} {name} IS\n    {_quoted(relation.comment)};"
    for column in relation.columns:
        # A partition has the comments of its parent.
        if column.comment and not relation.partition_of:
            yield f"COMMENT ON COLUMN {name}.{column.name} IS\n    {_quoted(column.comment)};"
    for column in relation.columns:
        if column.statistics is not None:
            target = f"SET STATISTICS {column.statistics}"
            yield f"ALTER TABLE {name} ALTER COLUMN {column.name} {target};"
    yield from (f"{index};" for index in relation.indexes)
    yield from (f"{trigger.definition};" for trigger in relation.triggers)
    if relation.secured:
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"
    if relation.forced:
        yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY;"
    yield from (f"{policy_statement(policy, name)};" for policy in relation.policies)
    yield from _grants(relation)


def policy_statement(policy: Policy, table: str) -> str:
    """The statement that makes a policy, without its semicolon."""
    restrictive = "" if policy.permissive else " AS RESTRICTIVE"
    text = f"CREATE POLICY {policy.name} ON {table}{restrictive}"
    if policy.command != "ALL":
        text += f" FOR {policy.command}"
    text += f" TO {', '.join(policy.roles)}"
    if policy.using is not None:
        text += f"\n    USING ({policy.using})"
    if policy.check is not None:
        text += f"\n    WITH CHECK ({policy.check})"
    return text


def _grants(relation: Relation) -> Iterator[str]:
    for role, grants in groupby(relation.grants, key=lambda grant: grant.role):
        yield f"GRANT {', '.join(map(privilege, grants))} ON {relation.name} TO {role};"


def privilege(grant: Grant) -> str:
    """A privilege as GRANT names it."""
    return grant.privilege + (f" ({', '.join(grant.columns)})" if grant.columns else "")


def _routine(routine: Routine) -> str:
    lines = [f"{routine.definition};"]
    if routine.comment:
        lines.append(
            f"COMMENT ON {routine.kind} {routine.signature} IS\n    {_quoted(routine.comment)};"
        )
    if routine.roles:
        lines.append(
            f"GRANT EXECUTE ON {routine.kind} {routine.signature} TO {', '.join(routine.roles)};"
        )
    return "\n".join(lines)


def _owners(catalogue: Catalogue) -> Iterator[str]:
    """What does not belong to the owner of everything else; what takes it over has its grants."""
    given = [
        *((r.kind, r.signature, r.owner) for r in catalogue.routines),
        *((r.kind.upper(), r.name, r.owner) for r in catalogue.relations),
    ]
    lines = [
        f"ALTER {kind} {name} OWNER TO {owner};"
        for kind, name, owner in given
        if owner != roles.OWNER
    ]
    if lines:
        yield "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
