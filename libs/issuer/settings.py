"""Where the development issuer listens and whom it knows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.rpc.errors import StartError


class IssuerSettings(BaseSettings):
    """Settings of the issuer, from LEO_ISSUER_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_ISSUER_")

    # Loopback only.
    address: str = "127.0.0.1:7070"
    # A JSON list of clients.
    clients_file: Path = Path(".leo/issuer/clients.json")
    # Made at the first start, readable by its owner alone.
    key_file: Path = Path(".leo/issuer/keys.json")
    token_lifetime: timedelta = timedelta(minutes=5)
    audience: str = "leo-activation"

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens, and the base of its addresses."""
        return f"http://{self.address}/realms/leo"


class Client(BaseModel):
    """Who may ask for tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str
    client_secret: SecretStr
    scopes: list[str]
    # The tenant in each of its tokens.
    tenant_id: UUID | None = None
    # It may pick the tenant in each request, which a real Keycloak does not offer.
    any_tenant: bool = False


def read_clients(path: Path) -> dict[str, Client]:
    """Read the clients by their ids.

    Raises:
        StartError: the file is missing or not a list of clients.
    """
    try:
        clients = TypeAdapter(list[Client]).validate_json(path.read_bytes())
    except OSError as error:
        raise StartError(f"the clients' file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        # Its own text would repeat the secrets.
        places = ", ".join(
            ".".join(map(str, problem["loc"])) or "document"
            for problem in error.errors(include_input=False)
        )
        raise StartError(f"the clients' file {path} is wrong at: {places}") from None
    return {client.client_id: client for client in clients}
