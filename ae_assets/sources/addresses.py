"""Locations of servers, ``scheme://HOST[:PORT],.../NAME?setting=value``; secrets stand in the environment."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError

from ae_assets.errors import SourceError
from ae_assets.sources.printable import quoted, without_secrets

_HOST = re.compile(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII)


class ServerSettings(BaseModel):
    """What a location may say behind its question mark."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_Settings = TypeVar("_Settings", bound=ServerSettings)


def address_of(
    location: str, name: re.Pattern[str], settings: type[_Settings], environment: str, expected: str
) -> tuple[list[tuple[str, int | None]], str, _Settings]:
    """Hosts with their ports, the name behind them and the settings of a location.

    Args:
        location: as the YAML has it.
        name: what the name must be.
        settings: those that are known.
        environment: how the variables begin that hold user and password.
        expected: the form of the location, and an example.

    Raises:
        SourceError: it has another form, or a setting that is not known, stands twice or has a value that it cannot
            have; the value of one that is not known is not told, since it may be a password.
    """
    shown = without_secrets(location)
    rest, _, query = location.partition("://")[2].partition("?")
    hosts, _, named = rest.partition("/")
    if "@" in hosts:
        raise SourceError(
            f"{shown}: a user and a password stand in {environment}USERNAME and {environment}PASSWORD, not here."
        )
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if not all(found) or not name.fullmatch(named):
        raise SourceError(f"{shown}: expected {expected}")
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise SourceError(f"{shown}: a setting behind the ? stands there twice.")
    try:
        read = settings.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        value = f"={quoted(str(first['input']))}" if key in settings.model_fields else ""
        raise SourceError(
            f"{shown}: {key}{value}: {first['msg']}. Settings are {', '.join(settings.model_fields)}. "
            f"Expected {expected}"
        ) from None
    return [(one[1].strip("[]"), int(one[2]) if one[2] else None) for one in found if one], named, read
