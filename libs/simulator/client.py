"""The simulator's admin addresses as calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_SECONDS = 10


class SimulatorClient:
    """Scripts a running simulator and looks into it; docs/guides/simulator.md says what there is.

    Every method raises an httpx.HTTPError where the simulator is away or refuses.
    """

    def __init__(self, address: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=f"http://{address}/_simulator", timeout=TIMEOUT_SECONDS, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def set_account(
        self, provider: str, account_id: str, document: Mapping[str, Any]
    ) -> None:
        """Let it know an account, in place of the one of this id."""
        await self._send("PUT", f"/accounts/{provider}/{account_id}", document)

    async def set_faults(self, faults: Sequence[Mapping[str, Any]], *, seed: int = 0) -> None:
        """Put these faults into force, and no others."""
        await self._send("DELETE", "/faults")
        if faults:
            await self._send("POST", "/faults", {"seed": seed, "faults": faults})

    async def state(self) -> dict[str, Any]:
        """What it counted."""
        state: dict[str, Any] = (await self._send("GET", "/state")).json()
        return state

    async def smtp_address(self) -> str:
        """Where its mail server listens."""
        address: str = (await self.state())["addresses"]["smtp"]
        return address

    async def waiting_webhook_count(self) -> int:
        """Webhooks that were not taken yet."""
        count: int = (await self.state())["webhooks"]["waiting"]
        return count

    async def _send(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        response = await self._client.request(method, path, json=document)
        return response.raise_for_status()
