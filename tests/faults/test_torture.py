"""`leo torture` as a person runs it."""

from __future__ import annotations

import asyncio
import re
import subprocess

from libs.torture.plan import EVENT_COUNT, plan_of
from tests.faults.stack import LEO

SEED = 5


async def test_a_schedule_is_told_in_words_and_leaves_nothing_behind() -> None:
    process = await asyncio.create_subprocess_exec(
        LEO, "torture", "--seed", str(SEED), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    lines = output.splitlines()
    assert f"seed {SEED}  {plan_of(SEED)}" in lines
    (told,) = [line for line in lines if line.startswith(f"  {EVENT_COUNT} events, ")]
    assert re.fullmatch(r"  80 events, \d+ deliveries: [0-9a-z_, ]+; [\d.]+ s", told)
    assert any(re.fullmatch(r"1 schedule in \d+ s; the books balance\.", line) for line in lines)
