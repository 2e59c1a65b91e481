"""What the catalogue of a database says of its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_QUERIES = load_queries(__file__)


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Read):
    """A column of a table or view.

    Attributes:
        identity: as pg_attribute has it: `a` always, `d` by default, empty for none.
        generated: `s` if `default` is the expression that it is computed from.
        statistics: the target of ANALYZE, if it is not the server's own.
    """

    name: str
    type: str
    not_null: bool
    default: str | None
    identity: str
    generated: str
    statistics: int | None
    comment: str | None


class Constraint(_Read):
    """A key, a foreign key or a check; `parent` is the table that a foreign key leads to."""

    name: str
    kind: Literal["p", "u", "f", "c", "x"]
    definition: str
    parent: str | None
    columns: tuple[str, ...]


class Trigger(_Read):
    """A trigger of a table."""

    name: str
    definition: str


class Policy(_Read):
    """A policy of row level security."""

    name: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


class Grant(_Read):
    """One privilege of one role: on the whole relation, or on `columns` if there are any."""

    role: str
    privilege: str
    columns: tuple[str, ...]


class Relation(_Read):
    """A table, a partition or a view.

    Attributes:
        view: its query.
        needs: the relations that must be there before it.
    """

    name: str
    kind: Literal["table", "view"]
    comment: str | None
    owner: str
    options: tuple[str, ...]
    partition_key: str | None
    partition_of: str | None
    partition_bound: str | None
    view: str | None
    needs: tuple[str, ...]
    secured: bool
    forced: bool
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[str, ...]
    triggers: tuple[Trigger, ...]
    policies: tuple[Policy, ...]
    grants: tuple[Grant, ...]


class Routine(_Read):
    """A function or procedure.

    Attributes:
        as_owner: SECURITY DEFINER.
        needed_by_tables: a default or a trigger calls it.
        roles: who may execute it beside its owner.
    """

    name: str
    arguments: str
    kind: Literal["FUNCTION", "PROCEDURE"]
    definition: str
    comment: str | None
    owner: str
    as_owner: bool
    needed_by_tables: bool
    roles: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Its name and the types of what it takes, as GRANT and COMMENT name it."""
        return f"{self.name}({self.arguments})"


class Catalogue(_Read):
    """Everything in the schema, each kind in an order in which it can be created."""

    relations: tuple[Relation, ...]
    routines: tuple[Routine, ...]

    @property
    def tables(self) -> Sequence[Relation]:
        """The tables that are not partitions of another."""
        return [r for r in self.relations if r.kind == "table" and r.partition_of is None]

    @property
    def partitions(self) -> Sequence[Relation]:
        """The partitions."""
        return [r for r in self.relations if r.partition_of is not None]

    @property
    def views(self) -> Sequence[Relation]:
        """The views."""
        return [r for r in self.relations if r.kind == "view"]


async def read_catalogue(connection: Any) -> Catalogue:
    """What there is in the database of an asyncpg connection, whose search path is the default."""
    relations = [
        Relation.model_validate_json(row[0]) async for row in _QUERIES.read_relations(connection)
    ]
    routines = [
        Routine.model_validate_json(row[0]) async for row in _QUERIES.read_routines(connection)
    ]
    return Catalogue(relations=tuple(_in_order(relations)), routines=tuple(routines))


def _in_order(relations: Sequence[Relation]) -> Iterator[Relation]:
    """As they were made, but for what was given a need of something younger later on."""
    waiting = {relation.name: relation for relation in relations}

    def with_needs(name: str) -> Iterator[Relation]:
        # Nothing comes twice, and no circle goes on for ever.
        if relation := waiting.pop(name, None):
            for need in relation.needs:
                yield from with_needs(need)
            yield relation

    for relation in relations:
        yield from with_needs(relation.name)
