"""A tenant with every healthy history, in a database of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.postgres import roles
from tests.contract.journey.stories import Teller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.conftest import Connect


@pytest.fixture
async def teller(connect: Connect) -> AsyncIterator[Teller]:
    async with connect(roles.MIGRATE) as connection:
        yield await Teller(connection).open()


@pytest.fixture
async def tenant_id(teller: Teller) -> UUID:
    return await teller.tenant()
