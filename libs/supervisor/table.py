"""The process table: our own processes as data, so that one more is one more row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.embedded.credentials import DECISION_CLIENT, EDGE_CLIENT, INGEST_CLIENT
from libs.postgres import roles

NO_ADDRESS: Final = "-"


@dataclass(frozen=True, slots=True)
class Door:
    """An address beside a process's own: its name among all addresses, its variable, its value."""

    name: str
    setting: str
    address: str


@dataclass(frozen=True, slots=True)
class Row:
    """One process: `python -m <module> <command>`.

    Attributes:
        probe: how it is asked whether it can serve (libs.supervisor.service); None for a process
            without a door, which is healthy while it lives.
        setting: the variable of its address, which is `address` unless the environment says else.
        doors: further addresses that it listens on.
        settings: further variables; a value names what it needs as "{name}": a file of the
            data folder, "{redis}", or the address of another process.
        role: the database role whose DSN it gets.
        finder: whether it also gets the DSN of leo_finder.
        client: the issuer's client as which it calls other services.
    """

    name: str
    module: str
    command: str = "serve"
    probe: str | None = None
    setting: str | None = None
    address: str = NO_ADDRESS
    doors: tuple[Door, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    role: str | None = None
    finder: bool = False
    client: str | None = None

    def all_doors(self) -> tuple[Door, ...]:
        """Every address that it listens on."""
        if self.setting is None:
            return self.doors
        return (Door(self.name, self.setting, self.address), *self.doors)


REALM: Final = "http://{issuer}/realms/leo"
TOKEN_URL: Final = f"{REALM}/protocol/openid-connect/token"
_GRPC: Final = (
    ("LEO_AUTH_ISSUER", REALM),
    ("LEO_AUTH_JWKS_URL", f"{REALM}/protocol/openid-connect/certs"),
    ("LEO_RPC_REFLECTION", "true"),
)
_TO_DECISION: Final = (("LEO_INGEST_DECISION_ADDRESS", "{decision}"),)
_TO_DISPATCH: Final = (("LEO_DECISION_DISPATCH_ADDRESS", "{dispatch}"),)
_SEALING: Final = (
    ("LEO_AUDIT_CHECKPOINT_FILE", "{checkpoints}"),
    ("LEO_AUDIT_CHECKPOINT_KEY_FILE", "{checkpoint_key}"),
)
_SENDING: Final = (
    ("LEO_REDIS_URL", "{redis}"),
    ("LEO_DISPATCH_CREDENTIAL_KEYS_FILE", "{credential_keys}"),
)
# Who sends links to unsubscribe and who takes them have the same keys.
_UNSUBSCRIBE: Final = (
    ("LEO_UNSUBSCRIBE_URL", "http://{edge}/unsubscribe"),
    ("LEO_UNSUBSCRIBE_KEYS_FILE", "{unsubscribe_keys}"),
)

# What the services lean on; it starts beside the two servers.
GROUND: Final = (
    Row(
        "issuer",
        "libs.issuer",
        probe="/realms/leo/.well-known/openid-configuration",
        setting="LEO_ISSUER_ADDRESS",
        address="127.0.0.1:7070",
        settings=(
            ("LEO_ISSUER_CLIENTS_FILE", "{data}/issuer/clients.json"),
            ("LEO_ISSUER_KEY_FILE", "{data}/issuer/keys.json"),
        ),
    ),
    Row(
        "simulator",
        "libs.simulator",
        probe="/_simulator/state",
        setting="LEO_SIMULATOR_ADDRESS",
        address="127.0.0.1:7090",
        doors=(Door("simulator-smtp", "LEO_SIMULATOR_SMTP_ADDRESS", "127.0.0.1:7025"),),
        settings=(
            ("LEO_SIMULATOR_ACCOUNTS_FILE", "{simulator_accounts}"),
            ("LEO_SIMULATOR_WITNESS_FILE", "{witness}"),
            # A provider tries again after half a minute to an hour; here nobody waits that long.
            ("LEO_SIMULATOR_WEBHOOK_RETRY_SCALE", "0.02"),
        ),
    ),
)

# None waits for another one, so all of them start at once.
SERVICES: Final = (
    Row(
        "ingest",
        "services.ingest",
        probe="grpc",
        setting="LEO_INGEST_ADDRESS",
        address="127.0.0.1:7051",
        settings=_GRPC + _TO_DECISION,
        role=roles.INGEST,
        client=INGEST_CLIENT,
    ),
    Row(
        "ingest-work",
        "services.ingest",
        "work",
        settings=_TO_DECISION,
        role=roles.INGEST,
        finder=True,
        client=INGEST_CLIENT,
    ),
    Row(
        "segment",
        "services.segment",
        probe="grpc",
        setting="LEO_SEGMENT_ADDRESS",
        address="127.0.0.1:7052",
        settings=_GRPC,
        role=roles.SEGMENT,
    ),
    Row(
        "decision",
        "services.decision",
        probe="grpc",
        setting="LEO_DECISION_ADDRESS",
        address="127.0.0.1:7053",
        settings=_GRPC + _TO_DISPATCH,
        role=roles.DECISION,
        client=DECISION_CLIENT,
    ),
    Row(
        "decision-work",
        "services.decision",
        "work",
        settings=_TO_DISPATCH + _SEALING,
        role=roles.DECISION,
        finder=True,
        client=DECISION_CLIENT,
    ),
    Row(
        "dispatch",
        "services.dispatch",
        probe="grpc",
        setting="LEO_DISPATCH_ADDRESS",
        address="127.0.0.1:7054",
        settings=_GRPC + _SENDING,
        role=roles.DISPATCH,
    ),
    Row(
        "dispatch-work",
        "services.dispatch",
        "work",
        # The simulated providers listen on this machine, whither a tenant's settings never lead.
        settings=(*_SENDING, *_UNSUBSCRIBE, ("LEO_MACHINE_PRIVATE_ADDRESSES", "true")),
        role=roles.DISPATCH,
        finder=True,
    ),
    Row(
        "edge",
        "services.edge",
        probe="/healthz",
        setting="LEO_EDGE_ADDRESS",
        address="127.0.0.1:7080",
        settings=(
            ("LEO_EDGE_INGEST_ADDRESS", "{ingest}"),
            ("LEO_EDGE_DISPATCH_ADDRESS", "{dispatch}"),
            *_UNSUBSCRIBE,
        ),
        client=EDGE_CLIENT,
    ),
)
