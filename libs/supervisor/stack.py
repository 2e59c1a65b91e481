"""What a stack consists of on one data folder, and what its processes are told."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from leo.decision.v1 import decision_service_pb2
from leo.dispatch.v1 import dispatch_service_pb2
from leo.ingest.v1 import ingest_service_pb2
from leo.options.v1 import access_pb2
from leo.segment.v1 import segment_service_pb2
from libs.auth.caller import INTERNAL_SCOPE
from libs.embedded import EmbeddedPostgres, EmbeddedValkey
from libs.embedded.credentials import (
    DEVELOPER,
    INTERNAL_CLIENTS,
    credential_keys_file,
    load_credentials,
    unsubscribe_keys_file,
    write_secret,
)
from libs.embedded.errors import EmbeddedError
from libs.embedded.process import Server, free_ports, last_words
from libs.postgres import roles
from libs.postgres.migrations import bootstrap, migrate_up
from libs.rpc.address import split_address
from libs.rpc.errors import StartError
from libs.supervisor import table
from libs.supervisor.audit import checkpoint_file, checkpoint_key_file
from libs.supervisor.service import ServiceProcess
from libs.supervisor.state import DATABASE, simulator_accounts_file, witness_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_DESCRIPTORS: Final = (
    ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"],
    segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"],
    decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    dispatch_service_pb2.DESCRIPTOR.services_by_name["DispatchService"],
)
# Every scope that an RPC asks for: what a development token may carry. Only our own services may
# name a tenant in metadata.
SCOPES: Final = tuple(
    sorted(
        {
            method.GetOptions().Extensions[access_pb2.scope]
            for service in _DESCRIPTORS
            for method in service.methods
        }
        - {INTERNAL_SCOPE}
    )
)


PORT_INTERVAL_SECONDS: Final = 0.1


class Managed(Server, Protocol):
    """What the supervisor can start, watch and stop."""

    @property
    def address(self) -> str: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Stack:
    """Everything that runs on one data folder.

    Attributes:
        processes: by name, in the order of their start.
        stages: their names; those of one stage start at the same time, and stop so.
    """

    def __init__(self, folder: Path, *, free_ports: bool, leave_out: Collection[str] = ()) -> None:
        """Lay out the stack.

        Args:
            folder: the data folder.
            free_ports: take free ports in place of the settings' addresses.
            leave_out: services that are not started; the others call them at their addresses.
        """
        self._folder = folder
        self._rows = (*table.GROUND, *(r for r in table.SERVICES if r.name not in leave_out))
        self._postgres = EmbeddedPostgres(folder)
        self._valkey = EmbeddedValkey(folder)
        self._addresses = {
            door.name: os.environ.get(door.setting, door.address)
            for row in (*table.GROUND, *table.SERVICES)
            for door in row.all_doors()
        }
        if free_ports:
            self._addresses = self._free_addresses()
        ground: dict[str, Managed] = {"postgres": self._postgres, "valkey": self._valkey}
        ground |= {row.name: self._process(row) for row in table.GROUND}
        services = {row.name: self._process(row) for row in self._rows if row not in table.GROUND}
        self.processes: dict[str, Managed] = {**ground, **services}
        self.stages = (tuple(ground), tuple(services))

    def _free_addresses(self) -> dict[str, str]:
        """Addresses that nobody holds, for each of ours, and that no server of ours will hold."""
        taken = {self._postgres.port, self._valkey.port}
        ports = free_ports(len(self._addresses) + len(taken))
        usable = (port for port in ports if port not in taken)
        return {
            name: f"127.0.0.1:{port}" for name, port in zip(self._addresses, usable, strict=False)
        }

    def _process(self, row: table.Row) -> ServiceProcess:
        credentials = load_credentials(self._folder)
        values = {
            "data": self._folder,
            "redis": self._valkey.url,
            "credential_keys": credential_keys_file(self._folder),
            "unsubscribe_keys": unsubscribe_keys_file(self._folder),
            "simulator_accounts": simulator_accounts_file(self._folder),
            "witness": witness_file(self._folder),
            "checkpoints": checkpoint_file(self._folder),
            "checkpoint_key": checkpoint_key_file(self._folder),
            **self._addresses,
        }
        environment = {name: value.format_map(values) for name, value in row.settings}
        environment |= {door.setting: self._addresses[door.name] for door in row.all_doors()}
        if row.role is not None:
            environment["LEO_POSTGRES_DSN"] = self._postgres.dsn(row.role, DATABASE)
        if row.finder:
            environment["LEO_POSTGRES_FINDER_DSN"] = self._postgres.dsn(roles.FINDER, DATABASE)
        if row.client is not None:
            environment["LEO_INTERNAL_CLIENT_ID"] = row.client
            environment["LEO_INTERNAL_CLIENT_SECRET"] = credentials[row.client]
            environment["LEO_INTERNAL_TOKEN_URL"] = table.TOKEN_URL.format_map(values)
        return ServiceProcess(
            row.module,
            row.command,
            address=self._addresses.get(row.name, row.address),
            probe=row.probe,
            environment=environment,
            log=self._folder / "logs" / f"{row.name}.log",
        )

    async def check_ports(self, timeout_seconds: float) -> None:
        """Refuse to start where somebody else holds one of our addresses.

        Args:
            timeout_seconds: how long they may still be held, as by processes of a supervisor that
                was killed, which need a moment to follow it.

        Raises:
            EmbeddedError: it names the address and its setting.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                return self._hold_ports()
            except EmbeddedError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(PORT_INTERVAL_SECONDS)

    def _hold_ports(self) -> None:
        problems = []
        with ExitStack() as held:
            # All at once, or two of our own could be given the same one.
            for row in self._rows:
                for door in row.all_doors():
                    try:
                        held.enter_context(_listen(self._addresses[door.name]))
                    except (OSError, OverflowError, StartError):
                        problems.append(f"{self._addresses[door.name]} ({door.setting})")
        if problems:
            raise EmbeddedError(
                f"nobody can listen at {', '.join(problems)}: another program, or another stack, "
                "does already, or it is no host:port of this machine. Set the variable to another "
                "address, or use --free-ports"
            )

    def notes(self) -> list[str]:
        """What the operator would not expect of this stack."""
        database = self._postgres.folder
        if database.is_relative_to(self._folder.resolve()):
            return []
        text = (
            f"The database is in {database}, because the user as whom it runs cannot reach "
            f"{self._folder}; removing the data folder leaves it there."
        )
        return [text]

    async def migrate(self) -> None:
        """Make roles, database and schema what this version needs; PostgreSQL must run.

        Raises:
            EmbeddedError: PostgreSQL refused or went away.
            MigrationError: a migration failed.
        """
        await set_up_database(self._postgres, self._folder)

    async def prepare(self) -> None:
        """Prepare the database and write the files that processes want to find at their start.

        Raises:
            EmbeddedError: this machine lacks something; the message says what.
        """
        await self._postgres.prepare()
        self.write_files()

    def write_files(self) -> None:
        """Write the files that processes want to find at their start."""
        self._write_issuer_clients()
        # Grows while the stack runs (libs.supervisor.zalo), and is kept.
        accounts = simulator_accounts_file(self._folder)
        if not accounts.exists():
            write_secret(accounts, "{}")

    def _write_issuer_clients(self) -> None:
        """Tell the development issuer who may ask for tokens.

        That is the developer, for any tenant, and our own services, which name the tenant in each
        call.
        """
        credentials = load_credentials(self._folder)
        clients = [
            {
                "client_id": client_id,
                "client_secret": credentials[client_id],
                "scopes": SCOPES if client_id == DEVELOPER else [INTERNAL_SCOPE],
                "any_tenant": client_id == DEVELOPER,
            }
            for client_id in (DEVELOPER, *INTERNAL_CLIENTS)
        ]
        write_secret(self._folder / "issuer" / "clients.json", json.dumps(clients, indent=2))


async def set_up_database(postgres: EmbeddedPostgres, folder: Path) -> None:
    """Make roles, database and schema of a running server what this version needs.

    Args:
        postgres: the server.
        folder: the data folder, whose passwords the roles get.

    Raises:
        EmbeddedError: PostgreSQL refused or went away.
        MigrationError: a migration failed.
    """
    credentials = load_credentials(folder)
    try:
        await bootstrap(
            postgres.superuser_dsn("postgres"),
            {role: credentials[role] for role in roles.LOGIN_ROLES},
            DATABASE,
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise EmbeddedError(f"the database cannot be set up: {last_words(postgres.log)}") from error
    await migrate_up(postgres.dsn(roles.MIGRATE, DATABASE))


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()
    except (OSError, OverflowError):
        server.close()
        raise
    return server
