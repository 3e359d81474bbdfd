"""Reads deploy/compose.yaml as Docker Compose does, and says how its services run without containers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ae_assets_tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SECRETS = {
    "DATABASE_ADMIN_PASSWORD": "adminSecretNeverInALog1",
    "DATABASE_PASSWORD": "databaseSecretNeverInALog2",
    "S3_ACCESS_KEY": "accessKey3",
    "S3_SECRET_KEY": "storageSecretNeverInALog4",
}
SETTINGS = {**SECRETS, "DRIVE_STATS_LOCATION": "simulated://?drives=60&days=60&seed=7"}
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:\?|:-)(?P<word>[^}]*))?\}")


class UnsetVariableError(Exception):
    """What Docker Compose says, and ends with, where a variable is required and not set or empty."""


def load(settings: Mapping[str, str] = SETTINGS) -> dict[str, Any]:
    """The file with anchors merged and variables filled in."""
    return _filled_in(yaml.safe_load((DEPLOY / "compose.yaml").read_text()), settings)


def _filled_in(value: Any, settings: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled_in(entry, settings) for key, entry in value.items()}
    if isinstance(value, list):
        return [_filled_in(entry, settings) for entry in value]
    if not isinstance(value, str):
        return value

    def word(found: re.Match[str]) -> str:
        given = settings.get(found["name"], "")
        if given or not found["kind"]:
            return given
        if found["kind"] == ":?":
            raise UnsetVariableError(f"{found['name']}: {found['word']}")
        return found["word"]

    return VARIABLE.sub(word, value)


@dataclass(frozen=True)
class Native:
    """Places and ports of this machine instead of those of the containers."""

    folder: str
    database_port: int
    storage_port: int
    code_port: int
    ui_port: int

    def translated(self, text: str) -> str:
        """An argument, an environment variable or a settings file as it reads outside of containers."""
        whole = {
            "4000": str(self.code_port),
            "3000": str(self.ui_port),
            "5432": str(self.database_port),
            "code": LOOPBACK,
        }
        if text in whole:
            return whole[text]
        for inside, outside in (
            ("@database:5432", f"@{LOOPBACK}:{self.database_port}"),
            ("storage:8333", f"{LOOPBACK}:{self.storage_port}"),
            ("127.0.0.1:8333", f"{LOOPBACK}:{self.storage_port}"),
            ("127.0.0.1:3000", f"{LOOPBACK}:{self.ui_port}"),
            ("-ip=storage", f"-ip={LOOPBACK}"),
            ("-s3.port=8333", f"-s3.port={self.storage_port}"),
            ("0.0.0.0", LOOPBACK),  # noqa: S104 - what is replaced
            ("/var/lib/ae_assets", f"{self.folder}/home"),
            ("/opt/dagster", f"{self.folder}/instance"),
            ("-dir=/data", f"-dir={self.folder}/storage"),
        ):
            text = text.replace(inside, outside)
        return text

    def command(self, arguments: list[str]) -> list[str]:
        return [self.translated(argument) for argument in arguments]

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        return {name: self.translated(value) for name, value in service["environment"].items()}


LOOPBACK = "127.0.0.1"
