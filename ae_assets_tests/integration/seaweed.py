"""SeaweedFS, an S3 server and an Iceberg REST catalog, on loopback ports of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ae_assets.cli.local_servers.java import free_ports

WEED = Path(sys.executable).with_name("weed")
START_SECONDS = 300
KEY, SECRET = "test-access-key", "test-secret-never-in-a-log"
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "admin.port",
    "admin.port.grpc",
)


@dataclass(frozen=True)
class Seaweed:
    """A running server."""

    s3_port: int
    iceberg_port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.s3_port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a process needs to use it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": endpoint or self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


@contextmanager
def running(home: Path) -> Iterator[Seaweed]:
    """Starts the server in a folder and stops it."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    log = home / "weed.log"
    # fmt: off
    command = [
        str(WEED), f"-logdir={home}", "mini", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        # Each bucket takes a volume; how many there may be depends on the free disk unless it is said.
        "-master.volumeSizeLimitMB=64", "-volume.max=1000",
        "-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-s3.port.lance=0",
        f"-s3.config={home / 's3.json'}", f"-s3.localSocket={home / 's3.sock'}",
        f"-filer.localSocket={home / 'filer.sock'}", "-bucket=warehouse", "-tableBucket=lake",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    # fmt: on
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=home)
        try:
            _wait_until_ready(process, log)
            yield Seaweed(ports["s3.port"], ports["s3.port.iceberg"])
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    # The health address answers before the buckets exist; the log says when they do.
    began = time.monotonic()
    while "running and ready" not in log.read_text():
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)
