"""What a server is told by options and environment, checked once."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ae_assets.errors import ConfigError

PREFIX = "AE_ASSETS_SERVE_"
SHORTEST_TOKEN = 16
_MIB = 2**20
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseModel):
    """How a server listens, and how much it takes; each by AE_ASSETS_SERVE_ and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="The address to listen at.")
    port: int = Field(default=8080, ge=0, le=65535, description="The port; 0: any that is free.")
    token: str | None = Field(default=None, repr=False, description="The bearer token of callers.")
    token_file: Path | None = Field(default=None, description="A file of bearer tokens, one a line.")
    tls_cert: Path | None = Field(default=None, description="A certificate with its chain, as PEM; with tls_key.")
    tls_key: Path | None = Field(default=None, description="Its key, as PEM.")
    behind_proxy: bool = Field(default=False, description="A proxy in front of it speaks TLS.")
    open_metrics: bool = Field(default=False, description="/metrics asks for no token.")
    poll_seconds: _Seconds = Field(default=10, description="How often it looks for another champion.")
    stop_seconds: _Seconds = Field(default=20, description="How long a stop waits for requests in work.")
    body_bytes: _Count = Field(default=8 * _MIB, description="Most bytes of a body as it is sent.")
    unpacked_bytes: _Count = Field(default=32 * _MIB, description="Most bytes of a body after gzip.")
    memory_bytes: _Count = Field(default=256 * _MIB, description="Most bytes of the bodies of all requests in work.")
    rows: _Count = Field(default=100_000, description="Most rows of a request, those looked up included.")
    cells: _Count = Field(default=1_500_000, description="Most cells of a request in JSON.")
    entities: _Count = Field(default=10_000, description="Most devices of a request.")
    periods: _Count = Field(default=1_100, description="Most periods from the first row of a request to its last.")
    requests: _Count = Field(default=128, description="Most requests in work; further ones are shed.")
    connections: _Count = Field(default=1_024, description="Most connections; further ones are refused.")
    batch_requests: _Count = Field(default=64, description="Most requests that are scored together; 1: none is.")
    seconds: _Seconds = Field(default=30, description="Longest time of a request; it is shed then.")
    slow_seconds: _Seconds = Field(default=10, description="Longest time for a caller's headers, and for its body.")

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def tokens(self) -> tuple[str, ...]:
        """The bearer tokens that are taken; none: everybody is.

        Raises:
            ConfigError: the file cannot be read, or a token is too short.
        """
        given = [] if self.token is None else [self.token]
        if self.token_file is not None:
            try:
                lines = self.token_file.read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                reason = type(error).__name__
                raise ConfigError(f"{PREFIX}TOKEN_FILE: {self.token_file} cannot be read ({reason})") from None
            given += [line.strip() for line in lines if line.strip()]
            if not given:
                raise ConfigError(f"{PREFIX}TOKEN_FILE: {self.token_file} holds no token, expected one a line")
        if short := [token for token in given if len(token) < SHORTEST_TOKEN or not token.isascii()]:
            raise ConfigError(
                f"{len(short)} of {len(given)} tokens are shorter than {SHORTEST_TOKEN} characters or not ASCII; "
                "make one with `openssl rand -hex 32`"
            )
        return tuple(given)

    def require_safe(self) -> None:
        """Refuses to be reached from elsewhere by everybody, or to send tokens in clear text.

        Raises:
            ConfigError: the address is no loopback and there is no token, or neither TLS nor a proxy that speaks it.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key belong together; one of them is missing")
        if self.is_loopback:
            self.tokens  # noqa: B018 - a token that cannot be used is said at the start
            return
        if not self.tokens:
            raise ConfigError(
                f"{self.host} can be reached from elsewhere, which needs a token: set {PREFIX}TOKEN or "
                f"{PREFIX}TOKEN_FILE, or listen at 127.0.0.1"
            )
        if self.tls_cert is None and not self.behind_proxy:
            raise ConfigError(
                f"{self.host} can be reached from elsewhere, where a token may be overheard: give --tls-cert and "
                "--tls-key, or say --behind-proxy where a proxy in front speaks TLS"
            )


def settings_of(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the environment, with those that are given before them.

    Raises:
        ConfigError: a variable is not known, or a value is not allowed. Values are not repeated: they may be secrets.
    """
    told = {name.removeprefix(PREFIX).lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
    if unknown := sorted(told.keys() - Settings.model_fields):
        known = ", ".join(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
        raise ConfigError(f"there is no setting {PREFIX}{unknown[0].upper()}; there are {known}")
    try:
        return Settings(**{**told, **{name: value for name, value in given.items() if value is not None}})
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise ConfigError(f"{PREFIX}{str(wrong['loc'][0]).upper()}: {wrong['msg']}") from None
