"""Puts the providers, what they share and the admin's addresses together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

from libs.rpc.errors import StartError
from libs.simulator.admin import Admin
from libs.simulator.clock import RuleClock
from libs.simulator.problems import tell_problems
from libs.simulator.provider import World
from libs.simulator.providers import find_providers
from libs.simulator.settings import read_accounts
from libs.simulator.webhooks import WebhookSender
from libs.simulator.witness import WitnessLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from libs.simulator.provider import Provider
    from libs.simulator.settings import SimulatorSettings


def build_application(settings: SimulatorSettings) -> web.Application:
    """Make the simulator.

    Raises:
        StartError: the accounts' file, the witness log or a provider's name cannot be used.
    """
    accounts = read_accounts(settings.accounts_file) if settings.accounts_file else {}
    try:
        witness = WitnessLog(settings.witness_file, settings.recipient_key)
    except OSError as error:
        raise StartError(
            f"the witness log {settings.witness_file} cannot be written: {error.strerror}"
        ) from error
    clock = RuleClock(settings.clock_offset)
    world = World(clock, witness, WebhookSender(settings.webhook_retry_scale))
    providers = {name: provider(world) for name, provider in find_providers().items()}
    _check_names("LEO_SIMULATOR_BASE_PATHS", settings.base_paths, providers)
    _check_names(f"the accounts' file {settings.accounts_file}", accounts, providers)

    def restart() -> None:
        clock.offset = settings.clock_offset
        world.faults.clear()
        world.webhooks.reset()
        world.counts.clear()
        for name, provider in providers.items():
            provider.forget_accounts()
            for account_id, document in accounts.get(name, {}).items():
                provider.set_account(account_id, document)

    try:
        restart()
    except ValidationError as error:
        problems = "; ".join(tell_problems(error))
        raise StartError(f"the accounts' file {settings.accounts_file}: {problems}") from None

    async def live(_application: web.Application) -> AsyncIterator[None]:
        sending = asyncio.create_task(world.webhooks.run())
        async with contextlib.AsyncExitStack() as listening:
            for provider in providers.values():
                await listening.enter_async_context(provider.listening(settings))
            yield
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        witness.close()

    async def stop(_application: web.Application) -> None:
        world.stopping.set()

    application = web.Application()
    application.add_routes(Admin(world, providers, restart).routes())
    for name, provider in providers.items():
        application.add_routes(provider.routes(settings.base_paths.get(name, provider.base_path)))
    application.cleanup_ctx.append(live)
    application.on_shutdown.append(stop)
    return application


def _check_names(
    place: str, names: Mapping[str, object], providers: Mapping[str, Provider]
) -> None:
    for name in names:
        if name not in providers:
            known = ", ".join(providers)
            raise StartError(f'{place}: there is no provider "{name}"; there are: {known}')
