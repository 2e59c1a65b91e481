"""What no task of an agent can be, whoever writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from uuid import UUID

# In words of fill.sql: an activation that a person said yes to.
PLAN = "kind = 'plan', instruction = 'win them back', profile_id = NULL, profile_version = NULL"
OPEN = "proposal = NULL, reviewer = '', reviewed_at = NULL"
POSSIBLE = (
    PLAN,
    "state = 'rejected'",
    "state = 'awaiting_approval', reviewer = '', reviewed_at = NULL",
    "approval_required = false, reviewer = '', reviewed_at = NULL",
    f"{OPEN}, state = 'pending', attempt_count = 0, backend = '', reasoning_summary = ''",
    f"{OPEN}, state = 'running', attempt_count = 3",
    f"{OPEN}, state = 'failed'",
    "model_hash = NULL",
    "rule_id = NULL, rule_version = NULL",
)
IMPOSSIBLE = (
    ("attempt_count = 4", "agent_task_attempt_count_check"),
    ("model_hash = 'short'", "agent_task_model_hash_check"),
    (f"{OPEN}, state = 'done'", "agent_task_state_check"),
    ("kind = 'guess'", "agent_task_kind_check"),
    ("instruction = 'win them back'", "agent_task_subject_check"),
    ("profile_id = NULL, profile_version = NULL", "agent_task_subject_check"),
    ("profile_version = NULL", "agent_task_subject_check"),
    ("rule_version = NULL", "agent_task_subject_check"),
    ("proposal = NULL", "agent_task_proposal_check"),
    ("attempt_count = 0", "agent_task_proposal_check"),
    ("backend = ''", "agent_task_proposal_check"),
    ("reasoning_trace = NULL", "agent_task_proposal_check"),
    ("reasoning_summary = ''", "agent_task_proposal_check"),
    (f"{PLAN}, approval_required = false", "agent_task_approval_check"),
    ("reviewer = '', reviewed_at = NULL", "agent_task_approval_check"),
    ("reviewer = ''", "agent_task_approval_check"),
    ("state = 'awaiting_approval'", "agent_task_approval_check"),
    ("approval_required = false", "agent_task_approval_check"),
    (
        "approval_required = false, state = 'rejected', reviewer = '', reviewed_at = NULL",
        "agent_task_approval_check",
    ),
)


@pytest.mark.parametrize("change", POSSIBLE)
async def test_task_may_be(superuser: Any, two_tenants: tuple[UUID, UUID], change: str) -> None:
    assert await _change(superuser, two_tenants[0], change) == "UPDATE 1"


@pytest.mark.parametrize(("change", "constraint"), IMPOSSIBLE)
async def test_task_is_never(
    superuser: Any, two_tenants: tuple[UUID, UUID], change: str, constraint: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await _change(superuser, two_tenants[0], change)
    assert refused.value.constraint_name == constraint


async def _change(superuser: Any, tenant_id: UUID, change: str) -> str:
    """Change the tenant's task, and back."""
    transaction = superuser.transaction()
    await transaction.start()
    try:
        answer: str = await superuser.execute(
            f"UPDATE agent_task SET {change} WHERE tenant_id = $1", tenant_id
        )
        return answer
    finally:
        await transaction.rollback()
