"""`python -m services.dispatch work`, with its doorbell and without."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from redis.asyncio import Redis

from libs.embedded import EmbeddedValkey
from libs.postgres import roles
from services.dispatch.doorbell import QUEUE_NAME, RING_COUNT_MAX, Doorbell
from tests.contract.auth.processes import free_address
from tests.contract.dispatch.machines import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import DsnOf
    from tests.contract.dispatch.machines import Site

# So that whatever is sent was found by the doorbell.
NEVER = "PT1H"


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    yield valkey
    await valkey.kill()


@pytest.fixture
def environment(dsn_of: DsnOf) -> dict[str, str]:
    keys = {"k1": b"1" * 32, "k2": b"2" * 32}
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
    return os.environ | {
        "LEO_POSTGRES_DSN": dsn_of(roles.DISPATCH),
        "LEO_POSTGRES_FINDER_DSN": dsn_of(roles.FINDER),
        "LEO_DISPATCH_CREDENTIAL_KEYS": orjson.dumps(encoded).decode(),
        "LEO_DISPATCH_CREDENTIAL_KEY_ID": "k2",
        "LEO_MACHINE_PRIVATE_ADDRESSES": "true",
        "LEO_MACHINE_POLL_INTERVAL": "PT0.05S",
        "LEO_LOG_FORMAT": "json",
        "LEO_LOG_LEVEL": "DEBUG",
    }


@asynccontextmanager
async def working(environment: dict[str, str], log: Path) -> AsyncIterator[Any]:
    """A worker, which is killed at the end of the block unless it ended before."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.dispatch", "work"),
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def wait_for_log(log: Path, text: str, *, count: int = 1) -> None:
    while log.read_text().count(text) < count:  # noqa: ASYNC110, ASYNC240 - another process writes
        await asyncio.sleep(0.02)


async def ring_until(site: Site, doorbell: Doorbell, **counts: int) -> None:
    """Ring again and again: what rings before the worker is connected may be lost."""
    while await site.states() != counts:
        doorbell.ring()
        await asyncio.sleep(0.05)


async def ring(doorbell: Doorbell) -> None:
    """Ring, and wait until it hangs."""
    count = doorbell.ring_count
    doorbell.ring()
    while doorbell.ring_count == count:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def failure(doorbell: Doorbell) -> None:
    """Wait until the first ring has failed."""
    while not doorbell.failure_count:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def test_it_works_without_valkey_and_stops_when_told(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    deliveries = await site.deliveries(10)
    environment["LEO_REDIS_URL"] = f"redis://{free_address()}"
    async with working(environment, tmp_path / "log") as worker:
        await site.wait_for(accepted=10)
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0
    assert site.acceptances(deliveries) == [1] * 10
    # One line says that the doorbell is away, not one for each try.
    assert (tmp_path / "log").read_text().count('"what": "doorbell"') == 1
    assert await site.breaches() == []


async def test_without_any_address_of_valkey_it_polls(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    await site.deliveries(2)
    async with working(environment, tmp_path / "log"):
        await site.wait_for(accepted=2)


async def test_the_doorbell_wakes_it_also_after_valkey_was_flushed_and_restarted(
    site: Site, environment: dict[str, str], tmp_path: Path, valkey: EmbeddedValkey
) -> None:
    environment |= {"LEO_REDIS_URL": valkey.url, "LEO_MACHINE_POLL_INTERVAL": NEVER}
    async with (
        working(environment, tmp_path / "log"),
        Doorbell(valkey.url) as doorbell,
        Redis.from_url(valkey.url) as redis,
    ):
        await wait_for_log(tmp_path / "log", '"working"')
        await site.delivery()
        await ring_until(site, doorbell, accepted=1)
        await redis.flushall()
        await site.delivery()
        await ring_until(site, doorbell, accepted=2)
        await valkey.kill()
        await wait_for_log(tmp_path / "log", '"what": "doorbell"')
        await valkey.start()
        await site.delivery()
        await ring_until(site, doorbell, accepted=3)
    assert await site.breaches() == []


async def test_a_kill_in_the_middle_loses_nothing_and_sends_nothing_twice(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["LEO_MACHINE_LEASE"] = "PT1S"
    await site.simulator.add_faults({"kind": "reply_slow", "delay_seconds": 0.1})
    deliveries = await site.deliveries(150)
    async with working(environment, tmp_path / "log") as worker:
        await until(lambda: site.count("accepted"))
        worker.kill()
    async with working(environment, tmp_path / "log"):
        states = await site.states()
        while states["accepted"] + states["outcome_unknown"] < 150:
            await asyncio.sleep(0.02)
            states = await site.states()
    witnessed = site.acceptances(deliveries)
    assert max(witnessed) == 1
    assert states["accepted"] <= sum(witnessed) <= 150
    assert await site.breaches() == []


async def test_two_workers_at_once_send_nothing_twice(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["LEO_MACHINE_CLAIM_COUNT_MAX"] = "7"
    deliveries = await site.deliveries(300)
    async with working(environment, tmp_path / "one"), working(environment, tmp_path / "two"):
        await site.wait_for(accepted=300)
    assert site.acceptances(deliveries) == [1] * 300
    assert await site.breaches() == []


async def test_a_worker_that_slept_longer_than_its_leases_sends_nothing_twice(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["LEO_MACHINE_LEASE"] = "PT1S"
    await site.simulator.add_faults({"kind": "reply_slow", "delay_seconds": 0.1})
    deliveries = await site.deliveries(150)
    async with working(environment, tmp_path / "sleeper") as sleeper:
        await until(lambda: site.count("accepted"))
        sleeper.send_signal(signal.SIGSTOP)
        async with working(environment, tmp_path / "other"):
            # What it held is in doubt, and the others are sent.
            while not await no_more_under_way(site):  # noqa: ASYNC110 - in other processes
                await asyncio.sleep(0.02)
            in_doubt = (await site.states())["outcome_unknown"]
            sleeper.send_signal(signal.SIGCONT)
            sleeper.send_signal(signal.SIGTERM)
            assert await sleeper.wait() == 0
    states = await site.states()
    witnessed = site.acceptances(deliveries)
    assert in_doubt > 0
    assert max(witnessed) == 1
    assert states["accepted"] <= sum(witnessed) <= states["accepted"] + states["outcome_unknown"]
    assert await site.breaches() == []


async def no_more_under_way(site: Site) -> bool:
    return not (await site.states()).keys() & {"pending", "sending", "retry_wait"}


async def test_nothing_personal_is_told_of_what_goes_wrong(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    """Drivers and parsers quote what they refuse."""
    environment |= {"LEO_MACHINE_FAILURE_COUNT_MAX": "2", "LEO_MACHINE_LEASE": "PT1S"}
    environment["LEO_MACHINE_BACKOFF_MIN"] = "PT0.05S"
    unread = await site.delivery(await site.person(lifetime_value_vnd="Canary"))
    poison, unwritten = await site.deliveries(2)
    await site.world.superuser.execute(
        "CREATE FUNCTION refuse_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.phase = 'intent' AND NEW.delivery_id = '{poison}'"
        f" OR NEW.kind = 'accepted' AND NEW.delivery_id = '{unwritten}'"
        " THEN RAISE EXCEPTION 'Canary' USING DETAIL = '+84903777666'; END IF;"
        " RETURN NEW; END $$"
    )
    await site.world.superuser.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON delivery_attempt"
        " FOR EACH ROW EXECUTE FUNCTION refuse_v1()"
    )
    async with working(environment, tmp_path / "log"):
        await site.wait_for(dead_letter=2, outcome_unknown=1)
    told = (tmp_path / "log").read_text()
    # It tells of each, by its id or its batch.
    for told_of in (str(unread), "batch failed", "writing results failed"):
        assert told_of in told
    for word in ("Canary", "903777666", site.oa.token, site.oa.secret):
        assert word not in told
    reasons = await site.world.superuser.fetch(
        "SELECT reason FROM delivery_log UNION ALL SELECT reason FROM delivery_attempt"
    )
    assert "Canary" not in str(reasons)


async def test_nothing_secret_or_personal_is_told(
    site: Site, environment: dict[str, str], tmp_path: Path, valkey: EmbeddedValkey
) -> None:
    environment["LEO_REDIS_URL"] = valkey.url
    await site.simulator.add_faults({"kind": "reply_lost", "every": 2})
    person = await site.person(given_name="Canary", phones=["+84903777666"])
    for _ in range(4):
        await site.delivery(person)
    async with working(environment, tmp_path / "log"), Doorbell(valkey.url) as doorbell:
        while (await site.states()).keys() & {"pending", "sending"}:
            await ring(doorbell)
    stored = (valkey.folder / "appendonlydir").glob("*")
    told = [tmp_path / "log", *stored]
    assert len(told) > 1
    for file in told:
        text = file.read_bytes()
        for word in (b"Canary", b"903777666", site.oa.token.encode(), site.oa.secret.encode()):
            assert word not in text
        assert str(site.world.tenant_id).encode() not in text or file == tmp_path / "log"


async def test_a_ring_that_nobody_hears_costs_little_and_never_raises() -> None:
    async with Doorbell(f"redis://{free_address()}") as doorbell:
        doorbell.ring()
        await failure(doorbell)
        doorbell.ring()
        await asyncio.sleep(0.1)
        # The second one waits.
        assert doorbell.failure_count == 1


async def test_a_ring_waits_no_longer_than_it_may_and_nobody_waits_for_it(
    valkey: EmbeddedValkey,
) -> None:
    async with Doorbell(valkey.url) as doorbell:
        await ring(doorbell)
        assert valkey.process is not None
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            doorbell.ring()
            await failure(doorbell)
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        # It is heard once Valkey is back.
        await ring(doorbell)


async def test_rings_do_not_pile_up_while_no_worker_runs_and_are_heard_by_the_next(
    site: Site, environment: dict[str, str], tmp_path: Path, valkey: EmbeddedValkey
) -> None:
    environment |= {"LEO_REDIS_URL": valkey.url, "LEO_MACHINE_POLL_INTERVAL": NEVER}
    async with Doorbell(valkey.url) as doorbell, Redis.from_url(valkey.url) as redis:
        for _ in range(3 * RING_COUNT_MAX):
            await ring(doorbell)
        assert await redis.zcard(QUEUE_NAME) == RING_COUNT_MAX
        assert len(await redis.keys("arq:job:*")) == RING_COUNT_MAX
        async with working(environment, tmp_path / "log"):
            while await redis.zcard(QUEUE_NAME):  # noqa: ASYNC110 - another process hears them
                await asyncio.sleep(0.01)
            await site.delivery()
            await ring_until(site, doorbell, accepted=1)


async def test_a_job_says_nothing(valkey: EmbeddedValkey) -> None:
    async with Doorbell(valkey.url) as doorbell, Redis.from_url(valkey.url) as redis:
        await ring(doorbell)
        # Much at once is one ring more.
        doorbell.ring()
        await ring(doorbell)
        jobs = await redis.zrange(QUEUE_NAME, 0, -1)
        assert len(jobs) == 2
        for job in jobs:
            stored = orjson.loads(await redis.get(b"arq:job:" + job))
            assert (stored["f"], stored["a"], stored["k"]) == ("ring", [0], {})
