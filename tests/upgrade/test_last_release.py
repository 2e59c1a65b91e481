"""Expand and contract: the services of the last release work on the schema of this version."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.embedded.credentials import SUPERUSER, load_credentials
from libs.postgres import roles
from libs.postgres.migrations import bootstrap, migrate_up
from libs.supervisor.state import DATABASE, read_state
from tests.upgrade.releases import NoReleaseError, Release, last_release, this_version

if TYPE_CHECKING:
    from collections.abc import Iterator

# With time to install what an older release locked.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, to whom that is closed.
    made = Path(tempfile.mkdtemp(prefix="leo-upgrade-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def released(folder: Path) -> Release:
    try:
        return last_release(folder)
    except NoReleaseError as error:
        pytest.skip(str(error))


def main_job(release: Release, data_folder: Path) -> None:
    """Events to messages that the simulator accepted, by this release's SDK; the books balance."""
    found = json.loads(
        release.leo(
            data_folder,
            *("bench", "main-job", "--here", "--json"),
            *("--tenants", "1", "--profiles", "20", "--events", "100", "--seconds", "0.2"),
        )
    )
    assert found["accepted_per_second"] > 0


def tell_problems(data_folder: Path) -> None:
    """Print what the processes complained of last: it goes with the data folder."""
    for log in sorted((data_folder / "logs").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        for line in [line for line in lines if re.search("Error: |ERROR: |FATAL", line)][-5:]:
            print(f"{log.stem}: {line}")  # noqa: T201


async def migrate(data_folder: Path) -> None:
    """Bring a running stack's database to this version, as a deployment does before all else."""
    state = read_state(data_folder)
    assert state is not None
    passwords = load_credentials(data_folder)

    def dsn(role: str, database: str) -> str:
        return f"postgresql://{role}:{passwords[role]}@{state.address('postgres')}/{database}"

    await bootstrap(
        dsn(SUPERUSER, "postgres"), {role: passwords[role] for role in roles.LOGIN_ROLES}, DATABASE
    )
    await migrate_up(dsn(roles.MIGRATE, DATABASE))


async def test_the_last_release_works_on_this_schema_and_this_version_on_its_rows(
    released: Release, folder: Path
) -> None:
    data_folder = folder / "data"
    # Otherwise this version would be tried on itself.
    for package in ("libs", "services", "leo", "leo_sdk"):
        assert released.place_of(package).is_relative_to(released.tree)
    try:
        released.leo(data_folder, "up", "--detach", "--free-ports")
        main_job(released, data_folder)
        # Its services run on, with rows, sessions and plans from before.
        await migrate(data_folder)
        main_job(released, data_folder)
        # One that starts now, because it died or was moved, finds what it needs.
        released.leo(data_folder, "down")
        released.leo(data_folder, "up", "--detach", "--free-ports")
        main_job(released, data_folder)
        released.leo(data_folder, "down")
        this_version().leo(data_folder, "up", "--detach", "--free-ports")
        main_job(this_version(), data_folder)
    except BaseException:
        tell_problems(data_folder)
        raise
    finally:
        this_version().leo(data_folder, "down")


def test_a_release_is_the_newest_tag_before_this_commit(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)

    def commit(number: int) -> None:
        (repository / "requirements.lock").write_text(
            (this_version().tree / "requirements.lock").read_text()
        )
        (repository / "number").write_text(str(number))
        git("add", ".")
        git("commit", "--message", str(number))

    def found(name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        release = last_release(folder, repository)
        return f"{release.name} {(release.tree / 'number').read_text()}"

    with pytest.raises(NoReleaseError, match="no git history"):
        last_release(tmp_path, repository)
    git("init")
    commit(1)
    with pytest.raises(NoReleaseError, match="no release is tagged"):
        last_release(tmp_path, repository)
    git("tag", "v0.1.0")
    git("tag", "other")
    with pytest.raises(NoReleaseError, match="no release is tagged"):
        last_release(tmp_path, repository)
    commit(2)
    assert found("a") == "v0.1.0 1"
    git("tag", "v0.2.0")
    assert found("b") == "v0.1.0 1"
    commit(3)
    assert found("c") == "v0.2.0 2"
