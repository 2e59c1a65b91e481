"""What other services would have written: persons, events and decisions of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNEL = "zalo-template"
SETTINGS = {"base_url": "http://127.0.0.1:7090/zalo", "app_id": "1001"}
CREDENTIALS = {"access_token": "a-token", "oa_secret_key": "oasecret"}


@dataclass(frozen=True, slots=True)
class Person:
    """A profile with one version."""

    profile_id: UUID
    ext_id: str


class World:
    """Writes rows as the owner of a test's database would: nothing checks what is written."""

    def __init__(self, superuser: Any, tenant_id: UUID) -> None:
        self.superuser = superuser
        self.tenant_id = tenant_id

    async def person(self, ext_id: str = "", **document: Any) -> Person:
        """A person whose version 1 holds the document, with a phone unless it says otherwise."""
        ext_id = ext_id or uuid4().hex
        profile_id: UUID = uuid7()
        document = {"ext_id": ext_id, "phones": ["+84903111222"], **document}
        await self.superuser.execute(
            "INSERT INTO cdp_profiles (tenant_id, profile_id, ext_id, version, state, context,"
            " document_digest) VALUES ($1, $2, $3, 1, 'active', 'test', sha256('x'))",
            self.tenant_id,
            profile_id,
            ext_id,
        )
        await self.superuser.execute(
            "INSERT INTO cdp_profile_version (tenant_id, profile_id, version, document,"
            " document_digest) VALUES ($1, $2, 1, $3, sha256('x'))",
            self.tenant_id,
            profile_id,
            orjson.dumps(document).decode(),
        )
        return Person(profile_id, ext_id)

    async def consent(
        self, person: Person, *, channel: str = CHANNEL, purpose: str = "marketing"
    ) -> None:
        """The person allows messages by a channel."""
        await self.superuser.execute(
            "INSERT INTO profile_consent (tenant_id, profile_id, channel, purpose, state, version,"
            " evidence, consented_at) VALUES ($1, $2, $3, $4, 'granted', 1, 'form', now())",
            self.tenant_id,
            person.profile_id,
            channel,
            purpose,
        )

    async def event(self, person: Person, **properties: Any) -> UUID:
        """An event of the person at 20:30 UTC, which is the next day in Hà Nội."""
        event_id = uuid4()
        await self.superuser.execute(
            "INSERT INTO marketing_event (tenant_id, event_id, source, event_type, profile_ext_id,"
            " occurred_at, properties, body_digest)"
            " VALUES ($1, $2, 'shop', 'purchase', $3, $4, $5, sha256('x'))",
            self.tenant_id,
            event_id,
            person.ext_id,
            datetime(2026, 11, 25, 20, 30, tzinfo=UTC),
            orjson.dumps(properties).decode(),
        )
        return event_id

    async def decision(
        self,
        person: Person,
        *,
        outcome: str = "acted",
        choices: Sequence[dict[str, Any]] | None = None,
        not_before: datetime | None = None,
        event_id: UUID | None = None,
        account_id: UUID | None = None,
        template_id: UUID | None = None,
        worth: timedelta = timedelta(hours=1),
    ) -> UUID:
        """A decision about an event of the person, by default to act in one way."""
        decision_id: UUID = uuid7()
        if choices is None:
            choices = [
                choice(
                    account_id=str(account_id or uuid7()), template_id=str(template_id or uuid7())
                )
            ]
        entry_id = uuid7()
        await self.superuser.execute(
            "INSERT INTO audit_entry (tenant_id, entry_id, kind, actor, call_id, member_count,"
            " root, details) VALUES ($1, $2, 'decided', 'test', 'call', 1, sha256('x'), '{}')",
            self.tenant_id,
            entry_id,
        )
        await self.superuser.execute(
            "INSERT INTO decision (tenant_id, decision_id, trigger_kind, trigger_id, profile_id,"
            " profile_version, ordinal, rule_set_version, rule_id, rule_version, outcome, reason,"
            " not_before, expires_at, choices, inputs, audit_entry_id, leaf_no, salt)"
            " VALUES ($1, $2, 'event', $3, $4, 1, 0, 1, $5, 1, $6, '', $7, $8, $9, '{}', $10, 0,"
            " 'salt')",
            self.tenant_id,
            decision_id,
            event_id or uuid4(),
            person.profile_id,
            uuid4(),
            outcome,
            not_before,
            datetime.now(UTC) + worth,
            orjson.dumps(choices).decode(),
            entry_id,
        )
        return decision_id

    async def set_state(self, delivery_id: UUID | str, state: str, **columns: Any) -> None:
        """Move a delivery to a state, as the machine would."""
        values = {"state": state, "lease_until": None, **columns}
        assignments = ", ".join(
            f"{name} = ${number}" for number, name in enumerate(values, start=3)
        )
        await self.superuser.execute(
            f"UPDATE delivery_log SET {assignments} WHERE tenant_id = $1 AND delivery_id = $2",
            self.tenant_id,
            UUID(str(delivery_id)),
            *values.values(),
        )

    async def attempt(
        self, delivery_id: UUID | str, attempt: int, phase: str, kind: str | None = None
    ) -> None:
        """One phase of an attempt."""
        await self.superuser.execute(
            "INSERT INTO delivery_attempt (tenant_id, delivery_id, attempt, phase, epoch, kind,"
            " provider_class, provider_code) VALUES ($1, $2, $3, $4, $3, $5, $6, $7)",
            self.tenant_id,
            UUID(str(delivery_id)),
            attempt,
            phase,
            kind,
            "AMB" if kind == "unknown" else "",
            "",
        )


def choice(**changes: Any) -> dict[str, Any]:
    """A choice as decisions store it."""
    values = {
        "choice": 0,
        "channel": CHANNEL,
        "purpose": "marketing",
        "template_id": str(uuid7()),
        "account_id": str(uuid7()),
        "recipient_ref": "phone:0",
    }
    return values | changes
