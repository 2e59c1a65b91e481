"""The addresses by which tests and demonstrations script the simulator and look into it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from libs.simulator.faults import FaultScript
from libs.simulator.problems import tell_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from libs.simulator.provider import Provider, World

PREFIX = "/_simulator"
OFFSET_SECONDS_MAX = 366 * 86_400

JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)

Model = TypeVar("Model", bound=BaseModel)


class ClockSetting(BaseModel):
    """How far the clock that judges nights and quotas is ahead of the true one."""

    model_config = ConfigDict(extra="forbid")

    offset_seconds: float = Field(ge=-OFFSET_SECONDS_MAX, le=OFFSET_SECONDS_MAX)


class Admin:
    """Scripts a world; `restart` brings back how it was at the start of the process."""

    def __init__(
        self, world: World, providers: Mapping[str, Provider], restart: Callable[[], None]
    ) -> None:
        self._world = world
        self._providers = providers
        self._restart = restart

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its addresses."""
        return [
            web.get(f"{PREFIX}/state", self._state),
            web.post(f"{PREFIX}/reset", self._reset),
            web.post(f"{PREFIX}/faults", self._add_faults),
            web.delete(f"{PREFIX}/faults", self._clear_faults),
            web.put(f"{PREFIX}/clock", self._set_clock),
            web.put(f"{PREFIX}/accounts/{{provider}}/{{account_id}}", self._set_account),
        ]

    async def _state(self, _request: web.Request) -> web.Response:
        state = {
            "providers": {name: self._world.counts[name] for name in self._providers},
            "addresses": {
                speaks: address
                for provider in self._providers.values()
                for speaks, address in provider.addresses().items()
            },
            "webhooks": self._world.webhooks.report(),
            "faults": self._world.faults.report(),
            "clock_offset_seconds": self._world.clock.offset.total_seconds(),
        }
        return web.Response(body=orjson.dumps(state), content_type="application/json")

    async def _reset(self, _request: web.Request) -> web.Response:
        self._restart()
        return web.Response(status=204)

    async def _add_faults(self, request: web.Request) -> web.Response:
        self._world.faults.add(await _read(request, FaultScript))
        return web.Response(status=204)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._world.faults.clear()
        return web.Response(status=204)

    async def _set_clock(self, request: web.Request) -> web.Response:
        setting = await _read(request, ClockSetting)
        self._world.clock.offset = timedelta(seconds=setting.offset_seconds)
        return web.Response(status=204)

    async def _set_account(self, request: web.Request) -> web.Response:
        provider = self._providers.get(request.match_info["provider"])
        if provider is None:
            raise _refusal(web.HTTPNotFound, [f"provider: one of {', '.join(self._providers)}"])
        try:
            document = JSON.validate_json(await request.read())
            provider.set_account(request.match_info["account_id"], document)
        except ValidationError as error:
            raise _refusal(web.HTTPBadRequest, tell_problems(error)) from None
        return web.Response(status=204)


async def _read(request: web.Request, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise _refusal(web.HTTPBadRequest, tell_problems(error)) from None


def _refusal(kind: type[web.HTTPClientError], problems: list[str]) -> web.HTTPClientError:
    return kind(text=orjson.dumps({"problems": problems}).decode(), content_type="application/json")
