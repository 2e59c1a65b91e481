"""`make schema`: build the schema on a server of its own and write down what it is."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from libs.embedded import EmbeddedPostgres
from libs.embedded.credentials import load_credentials
from libs.embedded.errors import EmbeddedError
from libs.postgres import roles
from libs.postgres.migrations import MigrationError, bootstrap, migrate_up
from libs.schema import PAGE, SCRIPT, read_catalogue, render_page, render_script

if TYPE_CHECKING:
    from libs.schema.catalogue import Catalogue

DATABASE: Final = "leo_schema"


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory(prefix="leo-schema-") as name:
        folder = Path(name)
        # Under root the server runs as another user, who must reach it.
        folder.chmod(0o711)
        try:
            catalogue = asyncio.run(_build(folder))
        except (EmbeddedError, MigrationError) as error:
            sys.exit(str(error))
    SCRIPT.write_text(render_script(catalogue), encoding="utf-8")
    PAGE.write_text(render_page(catalogue), encoding="utf-8")


async def _build(folder: Path) -> Catalogue:
    """What the migrations make of an empty server."""
    server = EmbeddedPostgres(folder)
    await server.start()
    try:
        credentials = load_credentials(folder)
        passwords = {role: credentials[role] for role in roles.LOGIN_ROLES}
        await bootstrap(server.superuser_dsn("postgres"), passwords, DATABASE)
        await migrate_up(server.dsn(roles.MIGRATE, DATABASE))
        connection = await asyncpg.connect(server.dsn(roles.AUDITOR, DATABASE))
        try:
            return await read_catalogue(connection)
        finally:
            await connection.close()
    finally:
        # Nothing in it is worth writing down.
        await server.kill()


if __name__ == "__main__":
    main()
