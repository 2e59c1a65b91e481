"""Where the simulator listens, whom it knows, and where it keeps its witness log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from libs.rpc.errors import StartError
from libs.simulator.problems import tell_problems


class SimulatorSettings(BaseSettings):
    """Settings of the simulator, from LEO_SIMULATOR_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_SIMULATOR_")

    # Loopback only.
    address: str = "127.0.0.1:7090"
    # Of the mail server, loopback only as well; with port 0 a free one, which the state tells.
    smtp_address: str = "127.0.0.1:7025"
    # The accounts that it knows at its start; the others are told to it while it runs.
    accounts_file: Path | None = None
    # Appended to, by one simulator at a time; never rewritten.
    witness_file: Path = Path(".leo/simulator/witness.jsonl")
    # Makes the hashes that stand for recipients in the witness log.
    recipient_key: SecretStr = SecretStr("simulator")
    # Where a provider's addresses begin, by its name; the others keep their own.
    base_paths: dict[str, Annotated[str, Field(pattern=r"^(/[\w.-]+)+$")]] = {}
    # How far the clock that judges nights and quotas is ahead of the true one.
    clock_offset: timedelta = timedelta(0)
    # Shortens the waits between two tries of a webhook, which are minutes with real providers.
    webhook_retry_scale: float = Field(default=1.0, gt=0)


def read_settings() -> SimulatorSettings:
    """Read the settings from the environment.

    Raises:
        StartError: a value cannot be used; the text names its variable.
    """
    try:
        return SimulatorSettings()
    except ValidationError as error:
        problems = [problem.partition(": ") for problem in tell_problems(error)]
        raise StartError(
            "; ".join(
                f"LEO_SIMULATOR_{place.split('.')[0].upper()}: {text}"
                for place, _, text in problems
            )
        ) from None
    except SettingsError:
        raise StartError("LEO_SIMULATOR_BASE_PATHS is no JSON") from None


def read_accounts(path: Path) -> dict[str, dict[str, JsonValue]]:
    """Read the accounts of each provider by their ids.

    Raises:
        StartError: the file is missing, or it is not an object of objects.
    """
    try:
        return TypeAdapter(dict[str, dict[str, JsonValue]]).validate_json(path.read_bytes())
    except OSError as error:
        raise StartError(f"the accounts' file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StartError(f"the accounts' file {path}: {'; '.join(tell_problems(error))}") from None
