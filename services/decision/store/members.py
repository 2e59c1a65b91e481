"""The members of launches: what would become of them, and the decisions about them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from libs.rpc.requests import Origin
from services.decision.domain.launching import Launch, Member, Tally
from services.decision.domain.record import decision_row
from services.decision.store.decisions import insert_decisions
from services.decision.store.people import lock_people, note_last_acted, people_of
from services.decision.store.prepared import prepared_launch, snapshot_of
from services.decision.store.rule_sets import rule_of
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime, timedelta
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from services.decision.domain.deciding import Verdict
    from services.decision.domain.launching import Estimate
    from services.decision.domain.rule import Rule
    from services.decision.store.rule_sets import RuleSets

# Of a larger snapshot, evenly spread members are asked for an estimate: about a second's work.
ESTIMATE_MEMBER_COUNT_MAX: Final = 20_000
ESTIMATE_BATCH_COUNT: Final = 500
# A launch waits while so many messages of its accounts should be on their way: so the message of an
# event never waits behind a whole launch, only behind some seconds of it.
WAITING_COUNT_MAX: Final = 2000


class Judge(Protocol):
    """Launch.decide, or Launch.give_up."""

    def __call__(
        self, launch: Launch, member: Member, /, *, time_zone: str, now: datetime
    ) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What came of one batch of a launch.

    Attributes:
        next_position: every member before it is decided about.
        acting: the decisions that act now.
        is_over: nobody is left.
    """

    next_position: int
    acting: list[UUID]
    is_over: bool


class Members:
    """Who is in the snapshots of launches, and the table decision."""

    _database: Database
    _rule_sets: RuleSets

    async def estimate_launch(
        self,
        tenant_id: UUID,
        *,
        rule_id: UUID,
        snapshot_id: UUID,
        check: Callable[[Rule], None],
        timeout: timedelta,
        origin: Origin,
    ) -> Estimate:
        """What a launch would come to now; nothing is written.

        Shapes: asks ESTIMATE_MEMBER_COUNT_MAX members at most, evenly spread over the snapshot.

        Raises:
            RuleMissingError, RuleTriggerError, RuleNotValidError, SnapshotMissingError.
        """
        async with self._database.tenant(tenant_id, timeout=timeout, one_moment=True) as connection:
            launch = await prepared_launch(connection, tenant_id, rule_id, snapshot_id, origin)
            check(launch.rule)
            moment = await self._rule_sets.moment(connection, tenant_id)
            member_count = launch.snapshot.member_count
            stride = -(-member_count // ESTIMATE_MEMBER_COUNT_MAX) or 1
            tally = Tally()
            for first in range(0, member_count, ESTIMATE_BATCH_COUNT * stride):
                members = await _members(
                    connection,
                    tenant_id,
                    launch,
                    first=first,
                    count_max=ESTIMATE_BATCH_COUNT * stride,
                    stride=stride,
                )
                await _note_last_acted(connection, tenant_id, launch, members)
                for member in members:
                    tally.add(
                        launch.decide(member, time_zone=moment.rules.time_zone, now=moment.now)
                    )
        return tally.estimate(member_count)

    async def running_launches(self, tenant_id: UUID) -> list[UUID]:
        """The launches that have members left, but those of paused campaigns; in a fixed order."""
        async with self._database.tenant(tenant_id) as connection:
            return [
                row["launch_id"]
                async for row in QUERIES.select_running_launches(connection, tenant_id=tenant_id)
            ]

    async def decide_members(
        self, tenant_id: UUID, launch_id: UUID, *, first: int, count_max: int, judge: Judge
    ) -> Progress | None:
        """Decide about the members at some positions in one transaction, but who is decided about.

        Args:
            tenant_id, launch_id: which launch.
            first, count_max: from which position on, and how many.
            judge: gives the verdict about one of them.

        Returns:
            None if it is not the time: the launch is over, paused, or far ahead of its messages.

        Raises:
            DecidedElsewhereError: do it again.
        """
        async with self._database.tenant(tenant_id) as connection:
            launch = await _launch_to_decide(connection, tenant_id, launch_id)
            if launch is None:
                return None
            members = await _members(
                connection, tenant_id, launch, first=first, count_max=count_max
            )
            people = [member.person for member in members]
            await lock_people(connection, tenant_id, people)
            # Behind the locks: whoever decided about one of them before us has committed.
            moment = await self._rule_sets.moment(connection, tenant_id)
            await _note_last_acted(connection, tenant_id, launch, members)
            rows = [
                decision_row(
                    "launch",
                    launch_id,
                    0,
                    judge(launch, member, time_zone=moment.rules.time_zone, now=moment.now),
                    person=member.person,
                    rule_set_version=moment.rules.version,
                    now=moment.now,
                )
                for member in members
            ]
            if rows:
                # On behalf of who launched it; the launch finds the call that did.
                origin = Origin(actor=launch.actor, call_id=str(launch_id), request=None)
                await insert_decisions(connection, tenant_id, rows, origin)
            next_position = first + count_max
            is_over = next_position >= launch.snapshot.member_count
            if is_over:
                await QUERIES.finish_launch(connection, tenant_id=tenant_id, launch_id=launch_id)
        acting = [row["decision_id"] for row in rows if row["outcome"] == "acted"]
        return Progress(next_position, acting, is_over)


class LaunchFinder:
    """Across tenants, as leo_finder: who has launches to work on."""

    def __init__(self, finder: Database) -> None:
        self._finder = finder

    async def tenants(self) -> list[UUID]:
        """The tenants with launches that have members left."""
        async with self._finder.across_tenants() as connection:
            return [row["tenant_id"] async for row in QUERIES.find_tenants_to_launch(connection)]

    @asynccontextmanager
    async def turn(self, tenant_id: UUID, *, timeout: timedelta) -> AsyncIterator[bool]:
        """Whether this process alone works on the launches of a tenant, until the block ends."""
        async with self._finder.across_tenants(timeout=timeout) as connection:
            yield await QUERIES.try_lock(connection, tenant_id=str(tenant_id))


async def _launch_to_decide(
    connection: Connection, tenant_id: UUID, launch_id: UUID
) -> Launch | None:
    """A launch whose turn it is; None if it is over, paused, or far ahead of its messages."""
    row = await QUERIES.select_launch_to_decide(
        connection, tenant_id=tenant_id, launch_id=launch_id
    )
    if row is None or row["state"] != "running" or row["campaign_state"] == "paused":
        return None
    launch = Launch(
        launch_id=launch_id,
        rule=rule_of(row),
        snapshot=await snapshot_of(connection, tenant_id, row["snapshot_id"]),
        campaign_state=row["campaign_state"],
        began_at=row["began_at"],
        actor=row["actor"],
    )
    if launch.may_act_at(row["now"]):
        waiting_count = await QUERIES.count_waiting(
            connection,
            tenant_id=tenant_id,
            account_ids=[choice.account_id for choice in launch.rule.terms.choices],
            count_max=WAITING_COUNT_MAX,
        )
        if waiting_count >= WAITING_COUNT_MAX:
            return None
    return launch


async def _members(
    connection: Connection,
    tenant_id: UUID,
    launch: Launch,
    *,
    first: int,
    count_max: int,
    stride: int = 1,
) -> list[Member]:
    """Those at some positions who still have a profile, and about whom nothing is decided."""
    rows = [
        row
        async for row in QUERIES.select_members(
            connection,
            tenant_id=tenant_id,
            launch_id=launch.launch_id,
            snapshot_id=launch.snapshot.snapshot_id,
            first=first,
            last=first + count_max - 1,
            stride=stride,
        )
    ]
    people = await people_of(connection, tenant_id, rows)
    return [Member(row["member_version"], person) for row, person in zip(rows, people, strict=True)]


async def _note_last_acted(
    connection: Connection, tenant_id: UUID, launch: Launch, members: list[Member]
) -> None:
    rule = launch.rule
    cooling = [rule.rule_id] if rule.terms.cooldown is not None else []
    await note_last_acted(connection, tenant_id, [member.person for member in members], cooling)
