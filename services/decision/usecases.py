"""What decision does, one function for each RPC; nothing here knows gRPC."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from uuid_utils.compat import uuid7

from libs.rpc.errors import LeoError
from services.decision.domain.deciding import Verdict, decide
from services.decision.domain.rule import check_condition
from services.decision.errors import EventMissingError
from services.decision.store import DecidedElsewhereError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from libs.fields.paging import Page
    from libs.rpc.requests import Origin
    from services.decision.domain.audit_entry import AuditEntry, AuditFilter
    from services.decision.domain.campaign import Campaign, NewCampaign, State
    from services.decision.domain.deciding import Event, Person
    from services.decision.domain.launching import CampaignLaunch, Estimate
    from services.decision.domain.record import JourneyStep, StoredDecision
    from services.decision.domain.rule import Rule, RuleTerms
    from services.decision.domain.rule_set import RuleSet
    from services.decision.store import DecisionStore

# An event that fails so often in a process gets a decision that says so, and blocks nothing.
FAILURE_COUNT_MAX = 5
# Two processes that decide the same events: the second finds them decided the next time.
ATTEMPT_COUNT_MAX = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Activation:
    """The decisions about one event; duplicate if they had been made before."""

    event_id: UUID
    decisions: list[StoredDecision]
    duplicate: bool


class Undecided(Exception):  # noqa: N818 - not raised: it stands for an event in a batch's answer
    """Deciding about one event failed; it is tried again."""


async def create_campaign(
    store: DecisionStore, tenant_id: UUID, campaign: NewCampaign, origin: Origin
) -> Campaign:
    """Make a campaign as a draft. Raises what the store raises."""
    return await store.create_campaign(tenant_id, uuid7(), campaign, origin)


async def set_campaign_state(
    store: DecisionStore, tenant_id: UUID, campaign_id: UUID, state: State, origin: Origin
) -> Campaign:
    """Let a campaign act, pause or end. Raises what the store raises."""
    return await store.set_campaign_state(tenant_id, campaign_id, state, origin)


async def create_rule(
    store: DecisionStore, tenant_id: UUID, campaign_id: UUID, terms: RuleTerms, origin: Origin
) -> Rule:
    """Add a rule to a campaign. Raises ConditionInvalidError, and what the store raises."""
    check_condition(terms.condition, terms.scope)
    return await store.create_rule(tenant_id, uuid7(), campaign_id, terms, origin)


async def update_rule(
    store: DecisionStore,
    tenant_id: UUID,
    rule_id: UUID,
    *,
    etag: str,
    change: Callable[[Rule], RuleTerms],
    origin: Origin,
) -> Rule:
    """Make a rule's next version. Raises ConditionInvalidError, and what the store raises."""

    def checked(rule: Rule) -> RuleTerms:
        terms = change(rule)
        check_condition(terms.condition, terms.scope)
        return terms

    return await store.update_rule(tenant_id, rule_id, etag=etag, change=checked, origin=origin)


async def list_rules(
    store: DecisionStore,
    tenant_id: UUID,
    campaign_id: UUID | None,
    page: Page,
    after: tuple[int, str, UUID] | None,
) -> tuple[list[Rule], bool]:
    """One page of rules, and whether there are more."""
    rules = await store.list_rules(tenant_id, campaign_id, after=after, count_max=page.size + 1)
    return rules[: page.size], len(rules) > page.size


async def launch_campaign(
    store: DecisionStore, tenant_id: UUID, rule_id: UUID, snapshot_id: UUID, origin: Origin
) -> CampaignLaunch:
    """Store a launch; whoever works on launches decides about its members.

    Raises ConditionInvalidError, and what the store raises.
    """
    return await store.create_launch(
        tenant_id,
        uuid7(),
        rule_id=rule_id,
        snapshot_id=snapshot_id,
        check=_can_be_asked,
        origin=origin,
    )


async def estimate_launch(
    store: DecisionStore,
    tenant_id: UUID,
    rule_id: UUID,
    snapshot_id: UUID,
    *,
    timeout: timedelta,
    origin: Origin,
) -> Estimate:
    """What would come of a launch now. Raises ConditionInvalidError, and what the store raises."""
    return await store.estimate_launch(
        tenant_id,
        rule_id=rule_id,
        snapshot_id=snapshot_id,
        check=_can_be_asked,
        timeout=timeout,
        origin=origin,
    )


def _can_be_asked(rule: Rule) -> None:
    check_condition(rule.terms.condition, rule.terms.scope)


async def get_campaign_launch(
    store: DecisionStore, tenant_id: UUID, launch_id: UUID
) -> tuple[CampaignLaunch, dict[str, int]]:
    """One launch, and its decisions by outcome. Raises LaunchMissingError."""
    return await store.get_launch(tenant_id, launch_id)


async def list_campaign_launches(
    store: DecisionStore,
    tenant_id: UUID,
    campaign_id: UUID | None,
    page: Page,
    before: UUID | None,
) -> tuple[list[CampaignLaunch], bool]:
    """One page of launches, and whether there are more."""
    launches = await store.list_launches(
        tenant_id, campaign_id, before=before, count_max=page.size + 1
    )
    return launches[: page.size], len(launches) > page.size


async def get_journey(store: DecisionStore, tenant_id: UUID, event_id: UUID) -> list[JourneyStep]:
    """Everything that happened on the way of an event. Raises EventMissingError."""
    return await store.get_journey(tenant_id, event_id)


async def list_audit_entries(
    store: DecisionStore,
    tenant_id: UUID,
    wanted: AuditFilter,
    page: Page,
    before: tuple[datetime, UUID] | None,
) -> tuple[list[AuditEntry], bool]:
    """One page of audit entries, and whether there are more."""
    entries = await store.list_audit_entries(
        tenant_id, wanted, before=before, count_max=page.size + 1
    )
    return entries[: page.size], len(entries) > page.size


class Activator:
    """Decides about events, in batches, and tells who carries decisions out.

    It remembers in memory how often an event failed: enough, because every process that meets it
    comes to the same end.
    """

    def __init__(
        self, store: DecisionStore, ring: Callable[[UUID, list[UUID]], None] | None = None
    ) -> None:
        self._store = store
        self._ring = ring
        self._failures: Counter[tuple[UUID, UUID]] = Counter()

    async def batch_activate(
        self, tenant_id: UUID, event_ids: Sequence[UUID], origin: Origin
    ) -> list[Activation | LeoError | Undecided]:
        """Decide about events in one transaction; the answers are in their order.

        What fails with all of them is raised, so that whoever called finds out which one it is; one
        alone is counted, and given up with an ERROR decision in the end.
        """
        try:
            decisions, before = await self._decide(tenant_id, event_ids, origin, decide)
        except LeoError:
            raise
        except Exception as error:
            if len(set(event_ids)) > 1:
                raise
            self._count(tenant_id, event_ids[0], error)
            decisions, before = {}, set()
        if given_up := [
            event_id
            for event_id in event_ids
            if event_id not in decisions
            and self._failures[tenant_id, event_id] >= FAILURE_COUNT_MAX
        ]:
            more, _ = await self._decide(tenant_id, given_up, origin, _give_up)
            decisions |= more
        answers: list[Activation | LeoError | Undecided] = []
        for event_id in event_ids:
            if event_id in decisions:
                answers.append(Activation(event_id, decisions[event_id], event_id in before))
                # The same id once more in the batch; and what failed before is over.
                before.add(event_id)
                self._failures.pop((tenant_id, event_id), None)
            elif self._failures[tenant_id, event_id]:
                answers.append(Undecided())
            else:
                answers.append(EventMissingError(event_id))
        return answers

    async def _decide(
        self,
        tenant_id: UUID,
        event_ids: Sequence[UUID],
        origin: Origin,
        judge: Callable[[Event, Person | None, RuleSet, datetime], list[Verdict]],
    ) -> tuple[dict[UUID, list[StoredDecision]], set[UUID]]:
        def judged(
            event: Event, person: Person | None, rules: RuleSet, now: datetime
        ) -> list[Verdict] | None:
            try:
                return judge(event, person, rules, now)
            except Exception as error:  # noqa: BLE001 - one event must not hold back the others
                self._count(tenant_id, event.event_id, error)
                return None

        for attempt in range(1, ATTEMPT_COUNT_MAX + 1):
            try:
                decisions, before, acting = await self._store.decide_events(
                    tenant_id, event_ids, judged, origin
                )
            except DecidedElsewhereError:
                if attempt == ATTEMPT_COUNT_MAX:
                    raise
                continue
            break
        if acting and self._ring is not None:
            self._ring(tenant_id, acting)
        return decisions, before

    def _count(self, tenant_id: UUID, event_id: UUID, error: Exception) -> None:
        self._failures[tenant_id, event_id] += 1
        log.error(
            "deciding failed",
            tenant_id=str(tenant_id),
            event_id=str(event_id),
            count=self._failures[tenant_id, event_id],
            exc_info=error,
        )


def _give_up(event: Event, _person: Person | None, _rules: RuleSet, now: datetime) -> list[Verdict]:
    return [
        Verdict(
            outcome="error",
            reason=f"deciding failed {FAILURE_COUNT_MAX} times; the log says how",
            inputs={"event_id": str(event.event_id), "now": now.isoformat()},
        )
    ]


async def activate_event(
    activator: Activator, tenant_id: UUID, event_id: UUID, origin: Origin
) -> Activation | LeoError | Undecided:
    """Decide about one event, or give what was decided."""
    return (await activator.batch_activate(tenant_id, [event_id], origin))[0]


async def batch_activate(
    activator: Activator, tenant_id: UUID, event_ids: Sequence[UUID], origin: Origin
) -> list[Activation | LeoError | Undecided]:
    """Decide about events, and answer for each by itself."""
    return await activator.batch_activate(tenant_id, event_ids, origin)
