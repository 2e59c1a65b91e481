"""What decides in a tenant: its active rules and their segments."""

from __future__ import annotations

from collections import OrderedDict
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


# A compiled condition takes about 5 KiB: with twenty rules each, 100 MB.
TENANT_COUNT_MAX = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which a batch is decided, and what decides then."""

    now: datetime
    rules: RuleSet


class RuleSets:
    """The rule sets of tenants, each in memory as long as nothing that it was made of has changed.

    Of at most TENANT_COUNT_MAX tenants: those that were asked for last.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, RuleSet] = OrderedDict()

    async def moment(self, connection: Connection, tenant_id: UUID) -> Moment:
        """The time, and what decides now in a tenant."""
        rules = self._known.get(tenant_id)
        # What was read in several statements counts only if nothing changed meanwhile, and only
        # then may others see it.
        while True:
            row = await QUERIES.select_moment(
                connection, tenant_id=tenant_id, segment_ids=list(rules.segments) if rules else []
            )
            if rules is not None and _is_current(rules, row):
                break
            rules = await _rule_set(connection, tenant_id, row)
        if rules is not self._known.get(tenant_id):
            _tell_of_broken(tenant_id, rules)
            self._known[tenant_id] = rules
        self._known.move_to_end(tenant_id)
        if len(self._known) > TENANT_COUNT_MAX:
            self._known.popitem(last=False)
        return Moment(row["now"], rules)


def _is_current(rules: RuleSet, moment: asyncpg.Record) -> bool:
    """Whether a rule set is what decides now.

    Rules and the states of campaigns have one version together. Segments are another service's:
    their versions only grow, so that the sum over the same segments tells of any change.
    """
    segment_version_sum = sum(segment.version for segment in rules.segments.values())
    return (rules.version, rules.time_zone, segment_version_sum) == (
        moment["rule_set_version"],
        moment["time_zone"],
        moment["segment_version_sum"],
    )


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
