"""A tenant whose audit holds rows of every recorded kind, written by the services' own code."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from leo.decision.v1 import decision_service_pb2 as pb
from libs.audit.verify import Verification, verify
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from libs.rpc.requests import Origin
from services.decision import messages, usecases
from services.decision.domain.campaign import NewCampaign
from services.decision.sealer import Checkpoints, Sealer
from services.decision.store import DecisionStore
from services.decision.usecases import Activation, Activator
from services.dispatch.domain.template import NewTemplate
from services.dispatch.doorbell import Doorbell
from services.dispatch.envelope import KeyRing
from services.dispatch.machine.claim import Claims
from services.dispatch.machine.results import Results
from services.dispatch.machine.settings import MachineSettings
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import Dispatched, batch_dispatch
from services.ingest.domain.consent import Statement
from services.ingest.domain.tenant import NewTenant
from services.ingest.store import IngestStore
from services.segment import usecases as segment_usecases
from services.segment.domain.segment import NewSegment
from services.segment.store import SegmentStore
from tests.contract.decision.world import CHANNEL, PURPOSE, World, hours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = Origin(actor="an-administrator", call_id="call-1", request=None)
KEY_RING = KeyRing({"k": bytes(32)}, "k")
SETTINGS = MachineSettings(failure_count_max=1)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One database, as its services, its sealer and its auditor have it."""

    dsn_of: Callable[[str], str]
    ingest: Database
    segment: Database
    decision: Database
    dispatch: Database
    finder: Database
    key: Ed25519PrivateKey
    checkpoint_file: Path

    def sealer(self) -> Sealer:
        return Sealer(self.decision, self.finder)

    async def seal(self) -> None:
        """Let a sealer look until nothing is left."""
        while await self.sealer().look():
            pass

    async def checkpoint(self) -> None:
        await self.checkpoints().write()

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.decision, self.finder, self.checkpoint_file, self.key)

    async def verify(
        self, *, process_count: int = 1, tenant_id: UUID | None = None
    ) -> Verification:
        return await verify(
            self.dsn_of(roles.AUDITOR),
            tenant_id=tenant_id,
            checkpoint_files=[self.checkpoint_file] if self.checkpoint_file.exists() else [],
            key=self.key.public_key(),
            process_count=process_count,
        )


@asynccontextmanager
async def opened(
    dsn_of: Callable[[str], str], key: Ed25519PrivateKey, checkpoint_file: Path
) -> AsyncIterator[Site]:
    """A site on an existing database."""
    async with AsyncExitStack() as stack:

        async def database(role: str) -> Database:
            settings = PostgresSettings(dsn=SecretStr(dsn_of(role)), pool_count_min=1)
            found = await Database.open(settings, application_name="test")
            stack.push_async_callback(found.close)
            return found

        yield Site(
            dsn_of=dsn_of,
            ingest=await database(roles.INGEST),
            segment=await database(roles.SEGMENT),
            decision=await database(roles.DECISION),
            dispatch=await database(roles.DISPATCH),
            finder=await database(roles.FINDER),
            key=key,
            checkpoint_file=checkpoint_file,
        )


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What was recorded of one tenant."""

    tenant_id: UUID
    delivery_ids: list[UUID]


async def record(site: Site, migrate: Any, tenant_id: UUID) -> Recorded:
    """Let the services record things of every kind: a tenant, consents, a rule, decisions, ends.

    Args:
        site: where.
        migrate: a connection of leo_migrate, for what other sources would have written.
        tenant_id: of the new tenant.
    """
    ingest = IngestStore(site.ingest)
    tenant = NewTenant(name=f"t-{tenant_id.hex}", display_name="", time_zone="Asia/Ho_Chi_Minh")
    await ingest.create_tenant(tenant_id, tenant, ORIGIN)
    world = World(migrate, tenant_id)
    await migrate.execute(f"SET ROLE {roles.MIGRATE}")
    template = await DispatchStore(site.dispatch).create_template(
        tenant_id,
        NewTemplate(name="tết", channel=CHANNEL, provider_template_id="7", data={"tên": "💎 b"}),
        ORIGIN,
    )
    world.choice = pb.Choice(
        channel=CHANNEL,
        template_id=str(template.template_id),
        account_id=str(await world.account()),
    )
    for ext_id in ("an", "bình", "chi"):
        await world.person(ext_id, consents=(), churn_score=0.25, lifetime_value_vnd=2**63 - 1)
        for state in ("withdrawn", "granted"):
            statement = Statement(
                channel=CHANNEL,
                purpose=PURPOSE,
                state=state,
                evidence='biểu mẫu "A", \\ dòng 2\nvà\t3',
                consented_at=datetime.now(UTC),
            )
            await ingest.set_consent(tenant_id, ext_id, statement, ORIGIN)
    store = DecisionStore(site.decision)
    campaign = await usecases.create_campaign(
        store, tenant_id, NewCampaign(name="tết", display_name=""), ORIGIN
    )
    rule = world.rule(
        str(campaign.campaign_id),
        condition="event.properties.amount > 0.5 && profile.lifetime_value_vnd > 0"
        " && profile.churn_score < 0.5",
        cooldown=hours(1),
    )
    await usecases.create_rule(
        store, tenant_id, campaign.campaign_id, messages.terms_of(rule), ORIGIN
    )
    await usecases.set_campaign_state(store, tenant_id, campaign.campaign_id, "active", ORIGIN)
    await _launch(site, store, world, campaign.campaign_id)
    delivery_ids = await _act(site, store, world, ("an", "bình", "chi"))
    await _end(site, migrate, tenant_id, delivery_ids)
    return Recorded(tenant_id=tenant_id, delivery_ids=delivery_ids)


async def _launch(site: Site, store: DecisionStore, world: World, campaign_id: UUID) -> None:
    """Freeze a segment, and launch to it."""
    segments = SegmentStore(site.segment)
    segment = await segment_usecases.create_segment(
        segments,
        world.tenant_id,
        NewSegment(name="huế", display_name="", condition='profile.city == "Huế"'),
        None,
    )
    snapshot = await segment_usecases.create_snapshot(
        segments,
        world.tenant_id,
        segment.segment_id,
        member_count_max=10,
        timeout=timedelta(seconds=10),
        origin=ORIGIN,
    )
    assert snapshot.member_count > 0
    rule = world.launched_rule(str(campaign_id))
    terms = messages.terms_of(rule)
    launched = await usecases.create_rule(store, world.tenant_id, campaign_id, terms, ORIGIN)
    await usecases.launch_campaign(
        store, world.tenant_id, launched.rule_id, snapshot.snapshot_id, ORIGIN
    )


async def _act(
    site: Site, store: DecisionStore, world: World, ext_ids: tuple[str, ...]
) -> list[UUID]:
    """Decide about events, some of which act, and make the deliveries of those."""
    activator = Activator(store)
    event_ids = [await world.event(ext_id, amount=1.5) for ext_id in ext_ids]
    event_ids += [await world.event(ext_id, amount=1e-7) for ext_id in (*ext_ids, "nobody")]
    acting = []
    for answer in await activator.batch_activate(world.tenant_id, event_ids, ORIGIN):
        assert isinstance(answer, Activation)
        acting += [row.decision_id for row in answer.decisions if row.outcome == "acted"]
    # One by itself: an entry with a single row.
    await activator.batch_activate(world.tenant_id, [await world.event("an", amount=2)], ORIGIN)
    answers = await batch_dispatch(
        DispatchStore(site.dispatch), Doorbell(""), world.tenant_id, acting
    )
    return [answer.delivery_id for answer in answers if isinstance(answer, Dispatched)]


async def _end(site: Site, migrate: Any, tenant_id: UUID, delivery_ids: list[UUID]) -> None:
    """Two end because their lease ran out, one because it cannot be claimed."""
    *sent, broken = delivery_ids
    for delivery_id in sent:
        await migrate.execute(
            "INSERT INTO delivery_attempt (tenant_id, delivery_id, attempt, phase, epoch)"
            " VALUES ($1, $2, 1, 'intent', 1)",
            tenant_id,
            delivery_id,
        )
    await migrate.execute(
        "UPDATE delivery_log SET state = 'sending', epoch = 1, attempt_count = 1, lease_until = $3"
        " WHERE tenant_id = $1 AND delivery_id = ANY($2)",
        tenant_id,
        sent,
        datetime.now(UTC) - timedelta(seconds=1),
    )
    assert await Results(site.dispatch, SETTINGS).reconcile(tenant_id) == len(sent)
    claims = Claims(site.dispatch, KEY_RING, SETTINGS)
    assert not await claims.count_failure(tenant_id, broken, "claiming it failed: ValueError")
