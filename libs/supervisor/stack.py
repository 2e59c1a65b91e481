"""The process table: what a stack consists of, in the order of its start."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from leo.ingest.v1 import ingest_service_pb2
from leo.options.v1 import access_pb2
from libs.embedded import EmbeddedPostgres, EmbeddedValkey
from libs.embedded.credentials import DEVELOPER, load_credentials
from libs.embedded.errors import EmbeddedError
from libs.embedded.process import free_port
from libs.postgres import roles
from libs.postgres.migrations import bootstrap, migrate_up
from libs.supervisor.service import ServiceProcess
from libs.supervisor.state import DATABASE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_SERVICES: Final = (ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"],)
# Every scope that an RPC asks for: what a development token may carry.
SCOPES: Final = tuple(
    sorted(
        {
            method.GetOptions().Extensions[access_pb2.scope]
            for service in _SERVICES
            for method in service.methods
        }
    )
)


class Managed(Protocol):
    """What the supervisor can start, watch and stop."""

    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...
    @property
    def address(self) -> str: ...
    @property
    def log(self) -> Path: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...
    async def answers(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Service:
    """A row of the table of our own processes.

    Attributes:
        setting: the variable of its address; it names others' addresses as "{name}".
        role: the database role whose DSN it gets.
    """

    name: str
    module: str
    probe: str
    setting: str
    address: str
    settings: tuple[tuple[str, str], ...] = ()
    role: str | None = None


_REALM = "http://{issuer}/realms/leo"
_TABLE: Final = (
    _Service(
        "issuer",
        "libs.issuer",
        "/realms/leo/.well-known/openid-configuration",
        "LEO_ISSUER_ADDRESS",
        "127.0.0.1:7070",
        (
            ("LEO_ISSUER_CLIENTS_FILE", "{data}/issuer/clients.json"),
            ("LEO_ISSUER_KEY_FILE", "{data}/issuer/keys.json"),
        ),
    ),
    _Service(
        "ingest",
        "services.ingest",
        "grpc",
        "LEO_INGEST_ADDRESS",
        "127.0.0.1:7051",
        (
            ("LEO_AUTH_ISSUER", _REALM),
            ("LEO_AUTH_JWKS_URL", f"{_REALM}/protocol/openid-connect/certs"),
            ("LEO_RPC_REFLECTION", "true"),
        ),
        roles.INGEST,
    ),
    _Service(
        "edge",
        "services.edge",
        "/healthz",
        "LEO_EDGE_ADDRESS",
        "127.0.0.1:7080",
        (("LEO_EDGE_INGEST_ADDRESS", "{ingest}"),),
    ),
)


class Stack:
    """Everything that runs on one data folder, in the order of its start.

    Attributes:
        processes: by name.
    """

    def __init__(self, folder: Path, *, free_ports: bool) -> None:
        """Lay out the stack.

        Args:
            folder: the data folder.
            free_ports: take free ports in place of the settings' addresses.
        """
        self._folder = folder
        self._postgres = EmbeddedPostgres(folder)
        valkey = EmbeddedValkey(folder)
        self.processes: dict[str, Managed] = {"postgres": self._postgres, "valkey": valkey}
        addresses = {
            service.name: f"127.0.0.1:{free_port()}"
            if free_ports
            else os.environ.get(service.setting, service.address)
            for service in _TABLE
        }
        self._settings = {service.setting: addresses[service.name] for service in _TABLE}
        for service in _TABLE:
            environment = {service.setting: addresses[service.name]}
            for name, value in service.settings:
                environment[name] = value.format(data=folder, **addresses)
            if service.role is not None:
                environment["LEO_POSTGRES_DSN"] = self._postgres.dsn(service.role, DATABASE)
            self.processes[service.name] = ServiceProcess(
                service.module,
                address=addresses[service.name],
                probe=service.probe,
                environment=environment,
                log=folder / "logs" / f"{service.name}.log",
            )

    def check_ports(self) -> None:
        """Refuse to start where another program holds one of our addresses.

        Raises:
            EmbeddedError: it names the address and its setting.
        """
        for setting, address in self._settings.items():
            host, _, port = address.rpartition(":")
            with closing(socket.socket()) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, int(port)))
                except (OSError, ValueError) as error:
                    raise EmbeddedError(
                        f"{address} cannot be used: another program holds it, or it is no address "
                        f"of this machine. Set {setting} to another one, or use --free-ports"
                    ) from error

    async def migrate(self) -> None:
        """Make roles, database and schema what this version needs; PostgreSQL must run."""
        credentials = load_credentials(self._folder)
        await bootstrap(
            self._postgres.superuser_dsn("postgres"),
            {role: credentials[role] for role in roles.LOGIN_ROLES},
            DATABASE,
        )
        await migrate_up(self._postgres.dsn(roles.MIGRATE, DATABASE))

    def write_issuer_clients(self) -> None:
        """Tell the development issuer who may ask for tokens: the developer, for any tenant."""
        folder = self._folder / "issuer"
        folder.mkdir(parents=True, exist_ok=True)
        client = {
            "client_id": DEVELOPER,
            "client_secret": load_credentials(self._folder)[DEVELOPER],
            "scopes": SCOPES,
            "any_tenant": True,
        }
        descriptor = os.open(folder / "clients.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([client], file, indent=2)
