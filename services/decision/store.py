"""Everything that decision reads and writes; the statements stand in queries.sql."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from libs import audit
from libs.postgres.queries import load_queries
from services.decision.domain.campaign import Campaign, may_become
from services.decision.domain.deciding import Event, Person, RuleSet, Segment
from services.decision.domain.record import (
    JourneyStep,
    StoredDecision,
    decision_row,
    leaf_of,
    new_salt,
)
from services.decision.domain.rule import Rule, document_of, terms_of
from services.decision.errors import (
    CampaignExistsError,
    CampaignMissingError,
    CampaignStateError,
    EtagMismatchError,
    EventMissingError,
    ReferenceMissingError,
    RequestIdReusedError,
    RuleExistsError,
    RuleMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin
    from services.decision.domain.campaign import NewCampaign, State
    from services.decision.domain.deciding import Verdict
    from services.decision.domain.rule import RuleTerms

_QUERIES = load_queries(__file__)


class DecidedElsewhereError(Exception):
    """Somebody else decided one of the events at the same time; nothing was written."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which a batch is decided, and what decides then."""

    now: datetime
    rules: RuleSet


class DecisionStore:
    """The tables of decision: campaign, activation_rule and its versions, rule_set, decision."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Of each tenant, as long as rule_set.version stays the same.
        self._rule_sets: dict[UUID, RuleSet] = {}

    async def create_campaign(
        self, tenant_id: UUID, campaign_id: UUID, campaign: NewCampaign, origin: Origin
    ) -> Campaign:
        """Store a campaign as a draft; a repeated request gets its first answer.

        Raises:
            CampaignExistsError: the name is taken.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            try:
                rows = [
                    row
                    async for row in _QUERIES.insert_campaign(
                        connection,
                        tenant_id=tenant_id,
                        campaign_id=campaign_id,
                        name=campaign.name,
                        display_name=campaign.display_name,
                        request_id=request.request_id if request else None,
                        request_digest=request.digest if request else None,
                    )
                ]
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name != "campaign_name_key":
                    raise
                # A repeated request meets its own name first.
                if request is None:
                    raise CampaignExistsError(campaign.name) from error
                rows = []
            if rows:
                return Campaign(**rows[0])
        assert request is not None
        async with self._database.tenant(tenant_id) as connection:
            first = await _QUERIES.select_campaign_of_request(
                connection, tenant_id=tenant_id, request_id=request.request_id
            )
        if first is None:
            raise CampaignExistsError(campaign.name)
        values = dict(first)
        if values.pop("request_digest") != request.digest:
            raise RequestIdReusedError(request.request_id)
        return Campaign(**values)

    async def set_campaign_state(
        self, tenant_id: UUID, campaign_id: UUID, state: State, origin: Origin
    ) -> Campaign:
        """Let a campaign act, pause or end.

        Raises:
            CampaignMissingError: the tenant has none with this id.
            CampaignStateError: it cannot get there from where it is.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await _QUERIES.lock_campaign(
                connection, tenant_id=tenant_id, campaign_id=campaign_id
            )
            if row is None:
                raise CampaignMissingError(campaign_id)
            if not may_become(row["state"], state):
                raise CampaignStateError(campaign_id, row["state"])
            if row["state"] != state:
                await _QUERIES.update_campaign_state(
                    connection, tenant_id=tenant_id, campaign_id=campaign_id, state=state
                )
                await self._changed(
                    connection,
                    tenant_id,
                    origin,
                    kind="campaign_state_changed",
                    details={"campaign_id": str(campaign_id), "state": state},
                )
        return Campaign(**(dict(row) | {"state": state}))

    async def create_rule(
        self, tenant_id: UUID, rule_id: UUID, campaign_id: UUID, terms: RuleTerms, origin: Origin
    ) -> Rule:
        """Store a rule in its first version; a repeated request gets its first answer.

        Raises:
            CampaignMissingError, ReferenceMissingError, RuleExistsError, RequestIdReusedError.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            if request is not None:
                first = await _QUERIES.select_rule_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    return _first_rule(first, request.request_id, request.digest)
            campaign = await _QUERIES.lock_campaign(
                connection, tenant_id=tenant_id, campaign_id=campaign_id
            )
            if campaign is None:
                raise CampaignMissingError(campaign_id)
            await _check_references(connection, tenant_id, terms)
            try:
                created = [
                    row
                    async for row in _QUERIES.insert_rule(
                        connection,
                        tenant_id=tenant_id,
                        rule_id=rule_id,
                        campaign_id=campaign_id,
                        name=terms.name,
                        request_id=request.request_id if request else None,
                        request_digest=request.digest if request else None,
                    )
                ]
            except asyncpg.UniqueViolationError as error:
                raise _rule_error(error, terms) from error
            if not created:
                # The same request at the same moment, of another campaign: the first one stands.
                assert request is not None
                first = await _QUERIES.select_rule_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                return _first_rule(first, request.request_id, request.digest)
            return await self._write_version(
                connection, tenant_id, (rule_id, campaign_id, 1), terms, origin
            )

    async def update_rule(
        self,
        tenant_id: UUID,
        rule_id: UUID,
        *,
        etag: str,
        change: Callable[[Rule], RuleTerms],
        origin: Origin,
    ) -> Rule:
        """Store a rule's next version.

        Args:
            tenant_id, rule_id: which rule.
            etag: the version that may be changed; any if empty.
            change: gives the new terms, or raises what is wrong with them.
            origin: who asks.

        Raises:
            RuleMissingError, EtagMismatchError, ReferenceMissingError, RuleExistsError.
        """
        async with self._database.tenant(tenant_id) as connection:
            if not await _QUERIES.lock_rule(connection, tenant_id=tenant_id, rule_id=rule_id):
                raise RuleMissingError(rule_id)
            current = _rule(
                await _QUERIES.select_rule(connection, tenant_id=tenant_id, rule_id=rule_id)
            )
            if etag and etag != current.etag:
                raise EtagMismatchError(rule_id)
            terms = change(current)
            await _check_references(connection, tenant_id, terms)
            version = current.version + 1
            try:
                await _QUERIES.update_rule(
                    connection,
                    tenant_id=tenant_id,
                    rule_id=rule_id,
                    name=terms.name,
                    version=version,
                )
            except asyncpg.UniqueViolationError as error:
                raise _rule_error(error, terms) from error
            return await self._write_version(
                connection, tenant_id, (rule_id, current.campaign_id, version), terms, origin
            )

    async def list_rules(
        self,
        tenant_id: UUID,
        campaign_id: UUID | None,
        *,
        after: tuple[int, str, UUID] | None,
        count_max: int,
    ) -> list[Rule]:
        """Rules by priority, the highest first, then name; those behind `after` only."""
        priority, name, rule_id = after or (None, None, None)
        async with self._database.tenant(tenant_id) as connection:
            return [
                _rule(row)
                async for row in _QUERIES.list_rules(
                    connection,
                    tenant_id=tenant_id,
                    campaign_id=campaign_id,
                    after_priority=priority,
                    after_name=name,
                    after_rule_id=rule_id,
                    count_max=count_max,
                )
            ]

    async def decide_events(
        self,
        tenant_id: UUID,
        event_ids: Sequence[UUID],
        decide: Callable[[Event, Person | None, RuleSet, datetime], list[Verdict] | None],
        origin: Origin,
    ) -> tuple[dict[UUID, list[StoredDecision]], set[UUID], list[UUID]]:
        """Decide events in one transaction.

        Args:
            tenant_id, event_ids: which events.
            decide: gives the verdicts about one event, or None to leave it undecided.
            origin: who asks.

        Returns:
            The decisions by event; the events that had been decided before; and the ids of the
            decisions that act now.

        Raises:
            DecidedElsewhereError: do it again.
        """
        async with self._database.tenant(tenant_id) as connection:
            decisions = await _stored(connection, tenant_id, event_ids)
            before = set(decisions)
            events = await _events(
                connection,
                tenant_id,
                [event_id for event_id in event_ids if event_id not in before],
            )
            if not events:
                return decisions, before, []
            moment = await self._moment(connection, tenant_id)
            people = await _people(connection, tenant_id, events, moment.rules)
            rows = []
            for event in events:
                person = people.get(event.profile_ext_id)
                verdicts = decide(event, person, moment.rules, moment.now) or ()
                if person is not None:
                    person.note(verdicts, moment.now)
                rows += [
                    decision_row(
                        event.event_id,
                        ordinal,
                        verdict,
                        person=person,
                        rule_set_version=moment.rules.version,
                        now=moment.now,
                    )
                    for ordinal, verdict in enumerate(verdicts)
                ]
            # Everybody inserts in the order of the ids, so that two batches cannot deadlock.
            rows.sort(key=lambda row: (row["trigger_id"].int, row["ordinal"]))
            if rows:
                await _insert(connection, tenant_id, rows, origin)
        for row in rows:
            decisions.setdefault(row["trigger_id"], []).append(_decision(row))
        acting = [row["decision_id"] for row in rows if row["outcome"] == "acted"]
        return decisions, before, acting

    async def get_journey(self, tenant_id: UUID, event_id: UUID) -> list[JourneyStep]:
        """Everything that happened on the way of an event, in order. Raises EventMissingError."""
        async with self._database.tenant(tenant_id) as connection:
            if not await _QUERIES.has_event(connection, tenant_id=tenant_id, event_id=event_id):
                raise EventMissingError(event_id)
            return [
                JourneyStep(**row)
                async for row in _QUERIES.select_journey(
                    connection, tenant_id=tenant_id, event_id=event_id
                )
            ]

    async def _moment(self, connection: Connection, tenant_id: UUID) -> Moment:
        row = await _QUERIES.select_moment(connection, tenant_id=tenant_id)
        rules = self._rule_sets.get(tenant_id)
        while rules is None or rules.version != row["rule_set_version"]:
            rules = await _rule_set(connection, tenant_id, row)
            self._rule_sets[tenant_id] = rules
            # They may have changed between the two statements: what was read must be this version.
            row = await _QUERIES.select_moment(connection, tenant_id=tenant_id)
        return Moment(row["now"], rules)

    async def _write_version(
        self,
        connection: Connection,
        tenant_id: UUID,
        key: tuple[UUID, UUID, int],
        terms: RuleTerms,
        origin: Origin,
    ) -> Rule:
        rule_id, campaign_id, version = key
        created_at = await _QUERIES.insert_rule_version(
            connection,
            tenant_id=tenant_id,
            rule_id=rule_id,
            version=version,
            document=orjson.dumps(document_of(terms)).decode(),
        )
        await self._changed(
            connection,
            tenant_id,
            origin,
            kind="rule_changed",
            details={"rule_id": str(rule_id), "version": version},
        )
        return Rule(
            rule_id=rule_id,
            campaign_id=campaign_id,
            version=version,
            terms=terms,
            updated_at=created_at,
        )

    async def _changed(
        self,
        connection: Connection,
        tenant_id: UUID,
        origin: Origin,
        *,
        kind: str,
        details: Mapping[str, object],
    ) -> None:
        version = await _QUERIES.bump_rule_set(connection, tenant_id=tenant_id)
        await audit.append(
            connection,
            kind=kind,
            actor=origin.actor,
            call_id=origin.call_id,
            recorded_table=None,
            leaves=[],
            details=dict(details) | {"rule_set_version": version},
        )


def _rule(row: asyncpg.Record) -> Rule:
    return Rule(
        rule_id=row["rule_id"],
        campaign_id=row["campaign_id"],
        version=row["version"],
        terms=terms_of(orjson.loads(row["document"])),
        updated_at=row["created_at"],
    )


def _first_rule(row: asyncpg.Record, request_id: UUID, digest: bytes) -> Rule:
    if row["request_digest"] != digest:
        raise RequestIdReusedError(request_id)
    return _rule(row)


def _rule_error(error: Any, terms: RuleTerms) -> BaseException:
    if error.constraint_name == "activation_rule_name_key":
        return RuleExistsError(terms.name)
    assert isinstance(error, BaseException)
    return error


async def _check_references(connection: Connection, tenant_id: UUID, terms: RuleTerms) -> None:
    found = await _QUERIES.find_references(
        connection,
        tenant_id=tenant_id,
        segment_id=terms.segment_id,
        template_ids=[choice.template_id for choice in terms.choices],
        account_ids=[choice.account_id for choice in terms.choices],
    )
    if terms.segment_id is not None and not found["has_segment"]:
        raise ReferenceMissingError("rule.segment_id", "names no segment of the tenant")
    templates = orjson.loads(found["template_channels"])
    accounts = orjson.loads(found["account_channels"])
    for index, choice in enumerate(terms.choices):
        if templates.get(str(choice.template_id)) != choice.channel:
            raise ReferenceMissingError(
                f"rule.choices[{index}].template_id", "names no template of the channel"
            )
        if accounts.get(str(choice.account_id)) != choice.channel:
            raise ReferenceMissingError(
                f"rule.choices[{index}].account_id", "names no account of the channel"
            )


async def _rule_set(connection: Connection, tenant_id: UUID, moment: asyncpg.Record) -> RuleSet:
    rules = [
        _rule(row) async for row in _QUERIES.select_active_rules(connection, tenant_id=tenant_id)
    ]
    segments = {
        row["segment_id"]: Segment(**row)
        async for row in _QUERIES.select_segments(
            connection,
            tenant_id=tenant_id,
            segment_ids=[rule.terms.segment_id for rule in rules if rule.terms.segment_id],
        )
    }
    return RuleSet(moment["rule_set_version"], tuple(rules), segments, moment["time_zone"])


async def _stored(
    connection: Connection, tenant_id: UUID, event_ids: Sequence[UUID]
) -> dict[UUID, list[StoredDecision]]:
    found: dict[UUID, list[StoredDecision]] = {}
    async for row in _QUERIES.select_decisions(
        connection, tenant_id=tenant_id, event_ids=event_ids
    ):
        found.setdefault(row["trigger_id"], []).append(_decision(row))
    return found


async def _events(
    connection: Connection, tenant_id: UUID, event_ids: Sequence[UUID]
) -> list[Event]:
    """The events in the order in which they happened: the first one begins a cooldown."""
    if not event_ids:
        return []
    found = [
        Event(**(dict(row) | {"properties": orjson.loads(row["properties"])}))
        async for row in _QUERIES.select_events(
            connection, tenant_id=tenant_id, event_ids=event_ids
        )
    ]
    return sorted(found, key=lambda event: (event.occurred_at, event.event_id.int))


async def _people(
    connection: Connection, tenant_id: UUID, events: Sequence[Event], rules: RuleSet
) -> dict[str, Person]:
    """The people of the events by ext_id, locked and with their cooldowns where a rule has one."""
    ext_ids = sorted({event.profile_ext_id for event in events})
    rows = [
        row
        async for row in _QUERIES.select_people(connection, tenant_id=tenant_id, ext_ids=ext_ids)
    ]
    consents: dict[UUID, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    profile_ids = [row["profile_id"] for row in rows]
    async for row in _QUERIES.select_consents(
        connection, tenant_id=tenant_id, profile_ids=profile_ids
    ):
        consents[row["profile_id"]][row["channel"]][row["purpose"]] = row["state"]
    people = {
        row["ext_id"]: Person(
            profile_id=row["profile_id"],
            profile_no=row["profile_no"],
            version=row["version"],
            row=dict(row) | {"attributes": orjson.loads(row["attributes"])},
            consents=consents.get(row["profile_id"], {}),
        )
        for row in rows
    }
    event_types = {event.event_type for event in events}
    cooling = [
        rule.rule_id
        for rule in rules.rules
        if rule.terms.cooldown is not None and rule.terms.event_type in event_types
    ]
    if cooling and people:
        by_id = {person.profile_id: person for person in people.values()}
        numbers = sorted(person.profile_no for person in people.values())
        async for _ in _QUERIES.lock_people(connection, tenant_id=tenant_id, profile_nos=numbers):
            pass
        # A statement of its own: it sees what was committed while this waited for the locks.
        async for row in _QUERIES.select_last_acted(
            connection, tenant_id=tenant_id, rule_ids=cooling, profile_ids=profile_ids
        ):
            by_id[row["profile_id"]].last_acted[row["rule_id"]] = row["acted_at"]
    return people


async def _insert(
    connection: Connection, tenant_id: UUID, rows: list[dict[str, Any]], origin: Origin
) -> None:
    salts = [new_salt() for _ in rows]
    entry_id = await audit.append(
        connection,
        kind="decided",
        actor=origin.actor,
        call_id=origin.call_id,
        recorded_table="decision",
        leaves=[leaf_of(tenant_id, row, salt) for row, salt in zip(rows, salts, strict=True)],
        details={},
    )
    inserted = await _QUERIES.insert_decisions(
        connection,
        tenant_id=tenant_id,
        audit_entry_id=entry_id,
        decisions=orjson.dumps(
            [
                row | {"leaf_no": leaf_no, "salt": f"\\x{salt.hex()}"}
                for leaf_no, (row, salt) in enumerate(zip(rows, salts, strict=True))
            ],
            # The driver's UUIDs are of a class of its own, which orjson does not know.
            default=str,
        ).decode(),
    )
    if inserted != len(rows):
        raise DecidedElsewhereError


def _decision(row: Mapping[str, Any]) -> StoredDecision:
    return StoredDecision(
        decision_id=row["decision_id"],
        event_id=row["trigger_id"],
        ordinal=row["ordinal"],
        outcome=row["outcome"],
        reason=row["reason"],
        rule_id=row["rule_id"],
        rule_version=row["rule_version"],
        profile_id=row["profile_id"],
        profile_version=row["profile_version"],
        not_before=row["not_before"],
        decided_at=row["decided_at"],
    )
