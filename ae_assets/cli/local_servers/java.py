"""A server in Java: its jars, its process, and when it answers."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ae_assets.errors import ConfigError
from ae_assets.jars import JarSet

START_SECONDS = 300.0
_POLL_SECONDS = 0.1


def jar_set(who: str) -> JarSet:
    """The jars of a server, in the folder that AE_ASSETS_<WHO>_JARS names, else in the Python environment."""
    variable = f"AE_ASSETS_{who.upper()}_JARS"
    pinned = Path(__file__).parent / f"{who.lower()}_jars"
    folder = Path(os.environ.get(variable) or Path(sys.prefix) / "share" / "ae_assets" / f"{who.lower()}-jars")
    return JarSet(who, pinned, folder, "./dev demo stream", variable)


def java() -> str:
    """The program.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which("java")
    if found is None:
        raise ConfigError("there is no java on PATH; on Debian: apt install openjdk-17-jre-headless")
    return found


@dataclass
class JavaServer:
    """A server that runs, or ran.

    Attributes:
        name: for messages, and of its log.
        port: that clients connect to.
        home: folder of its data and its log.
        command: starts it.
    """

    name: str
    port: int
    home: Path
    command: list[str]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Starts it and waits until clients can connect.

        Raises:
            ConfigError: it ends, or does not answer.
        """
        log, began = self.home / f"{self.name.lower()}.log", time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command of this package
                self.command, stdout=output, stderr=subprocess.STDOUT, cwd=self.home
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                said = log.read_text(errors="replace")[-3000:]
                self.kill()
                raise ConfigError(f"{self.name} did not start:\n{said}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """Ends it at once, as a machine does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def location(self, name: str, settings: str = "") -> str:
        """Of a table or a topic, as a source."""
        return f"{self.name.lower()}://127.0.0.1:{self.port}/{name}{settings}"

    def _answers(self) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
