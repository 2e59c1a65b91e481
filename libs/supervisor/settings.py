"""What the supervisor runs, and how much it keeps of what its processes say."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.rpc.errors import StartError
from libs.supervisor.table import SERVICES


def _known(name: str) -> str:
    names = {row.name for row in SERVICES}
    if name not in names:
        raise ValueError(f"there is no {name!r}; there are {', '.join(sorted(names))}")
    return name


ServiceName: TypeAlias = Annotated[str, AfterValidator(_known)]
KIB = 1024
MIB = 1024 * KIB
_PREFIX = "LEO_SUPERVISOR_"


class SupervisorSettings(BaseSettings):
    """Settings of the supervisor, from LEO_SUPERVISOR_… in the environment."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX)

    # Of each log that is being written, and of each older piece.
    log_bytes_max: int = Field(default=8 * MIB, ge=4 * KIB)
    # Older pieces that are kept of each log.
    log_count_max: int = Field(default=3, ge=1)
    # Services that somebody else runs, or nobody: in a debugger, or to measure the others alone.
    leave_out: frozenset[ServiceName] = frozenset()


def read_settings() -> SupervisorSettings:
    """Read the settings from the environment.

    Raises:
        StartError: a value cannot be used; the text names its variable.
    """
    try:
        return SupervisorSettings()
    except ValidationError as error:
        raise StartError(
            "; ".join(
                f"{_PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
        ) from None
