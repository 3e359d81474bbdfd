"""A real ``dagster dev`` on a fresh home with a small simulated fleet, and a Chromium page that looks at it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ae_assets_tests.conftest import REPOSITORY

FLEET = "simulated://?drives=60&days=60&seed=7"
PREPARED_DAYS = ("2013-04-10", "2013-05-31")
TRAINING_DAYS = ("2013-04-10", "2013-04-30")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 300
STOP_SECONDS = 30

report_of = pytest.StashKey[pytest.TestReport]()


@dataclass(frozen=True)
class Ui:
    """The running UI: its address, the home it works on, and where it logs."""

    url: str
    home: Path
    log: Path


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Keeps the report of the test itself, so that the page fixture knows whether to keep a screenshot."""
    report = yield
    if report.when == "call":
        item.stash[report_of] = report
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        reason = f"no Chromium: none of {', '.join(CHROMIUM_NAMES)} is on PATH"
        if os.environ.get("AE_ASSETS_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def ui(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    home = folder / "home"
    log = folder / "dagster_dev.log"
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "AE_ASSETS_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DRIVE_STATS_LOCATION": FLEET,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
    }
    train_a_model(scripts / "ae-assets", environment)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        server = subprocess.Popen(
            [scripts / "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_served(server, port, log)
        yield Ui(f"http://127.0.0.1:{port}", home, log)
    finally:
        stop(server)


def train_a_model(ae_assets: Path, environment: dict[str, str]) -> None:
    """Runs the chain once, so that a champion and the history of the days under test are there."""
    start, end = PREPARED_DAYS
    train_start, train_end = TRAINING_DAYS
    days = ["--start", start, "--end", end, "--train-start", train_start, "--train-end", train_end]
    done = subprocess.run(
        [ae_assets, "run", "drive_stats", *days],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    checks_failed = 3  # a fleet of 60 drives is too small for the rate checks
    assert done.returncode in {0, checks_failed}, done.stdout[-4000:] + done.stderr[-4000:]


def wait_until_served(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"dagster dev served nothing within {START_SECONDS} s:\n{log.read_text()[-4000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stops the server and everything it started, as Ctrl-C in a terminal does, and by force what stays."""
    members = [process for process in psutil.process_iter() if group_of(process) == server.pid]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in members:
            if process.is_running():
                process.send_signal(number)
        server.poll()
        _, members = psutil.wait_procs(members, timeout=STOP_SECONDS)
        if not members:
            break
    server.wait(timeout=STOP_SECONDS)


def group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def page(ui: Ui, chromium: str, request: pytest.FixtureRequest):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        invitation = page.get_by_text("Join the Dagster community")
        page.add_locator_handler(invitation, lambda: page.get_by_role("button", name="Skip").click())
        try:
            yield page
        finally:
            report = request.node.stash.get(report_of, None)
            if report is None or report.failed:
                screenshot = request.config.cache.mkdir("browser") / f"{request.node.name}.png"
                page.screenshot(path=screenshot)
                print(f"screenshot of the failure: {screenshot}\n{ui.log.read_text()[-4000:]}", file=sys.stderr)
            browser.close()
