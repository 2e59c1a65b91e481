"""What decides in a tenant: its active rules and their segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import structlog

from services.decision.domain.rule import Rule, terms_of
from services.decision.domain.rule_set import RuleSet, Segment
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which a batch is decided, and what decides then."""

    now: datetime
    rules: RuleSet


class RuleSets:
    """The rule sets of tenants, each in memory as long as rule_set.version stays the same."""

    def __init__(self) -> None:
        self._stored: dict[UUID, RuleSet] = {}

    async def moment(self, connection: Connection, tenant_id: UUID) -> Moment:
        """The time, and what decides now in a tenant."""
        row = await QUERIES.select_moment(connection, tenant_id=tenant_id)
        rules = self._stored.get(tenant_id)
        while rules is None or rules.version != row["rule_set_version"]:
            rules = await _rule_set(connection, tenant_id, row)
            _tell_of_broken(tenant_id, rules)
            self._stored[tenant_id] = rules
            # They may have changed between the two statements: what was read must be this version.
            row = await QUERIES.select_moment(connection, tenant_id=tenant_id)
        return Moment(row["now"], rules)


async def _rule_set(connection: Connection, tenant_id: UUID, moment: asyncpg.Record) -> RuleSet:
    rules = [
        rule_of(row) async for row in QUERIES.select_active_rules(connection, tenant_id=tenant_id)
    ]
    segments = {
        row["segment_id"]: Segment(**row)
        async for row in QUERIES.select_segments(
            connection,
            tenant_id=tenant_id,
            segment_ids=[rule.terms.segment_id for rule in rules if rule.terms.segment_id],
        )
    }
    return RuleSet(moment["rule_set_version"], tuple(rules), segments, moment["time_zone"])


def _tell_of_broken(tenant_id: UUID, rules: RuleSet) -> None:
    # Once each time that rules are read: decisions say it event by event.
    for rule, problem in rules.broken():
        log.error(
            "rule cannot be asked",
            tenant_id=str(tenant_id),
            rule_id=str(rule.rule_id),
            rule_version=rule.version,
            problem=problem,
        )


def rule_of(row: asyncpg.Record) -> Rule:
    """A rule in one version, as a statement gives it."""
    return Rule(
        rule_id=row["rule_id"],
        campaign_id=row["campaign_id"],
        version=row["version"],
        terms=terms_of(orjson.loads(row["document"])),
        updated_at=row["created_at"],
    )
