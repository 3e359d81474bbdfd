"""The drives of this machine, asked by smartctl itself: fixed arguments, no shell, and no drive is woken."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

from ae_assets.errors import ConfigError, SourceError
from ae_assets.one_server.outputs import Problem, Report, reports_of, unread

SECONDS_OF_A_DRIVE = 60.0
AT_ONCE = 8
OUTSIDE_OF_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/sbin"
"""Where smartctl is and the PATH of cron is not."""

_NAME, _TYPE = re.compile(r"[A-Za-z0-9/\\][\w/\\.,:@+-]{0,200}"), re.compile(r"[A-Za-z0-9][\w,+/.-]{0,100}")


def local_reports(now: datetime, seconds: float = SECONDS_OF_A_DRIVE) -> list[Report]:
    """Asks each drive that `smartctl --scan-open` names, some at a time.

    Args:
        now: the time.
        seconds: within which each must have answered.

    Raises:
        ConfigError: smartctl is not there.
        SourceError: it lists no drives.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), OUTSIDE_OF_PATH])
    program = shutil.which("smartctl", path=path)
    if program is None:
        raise ConfigError(
            "smartctl is not installed, or not in PATH; install smartmontools 7.0 or later (apt, dnf, brew), or give "
            "files of its output: ae-assets score --smartctl FILE"
        )
    drives = _scanned(program, seconds)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = pool.map(lambda drive: _asked(program, drive, now, seconds), drives)
        return [report for reports in asked for report in reports]


def _scanned(program: str, seconds: float) -> list[tuple[object, object]]:
    text = _output([program, "--scan-open", "--json"], seconds)
    try:
        listed = json.loads(text or "")
        devices = [(one["name"], one["type"]) for one in listed.get("devices", [])]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SourceError(
            f"`smartctl --scan-open --json` answered {(text or 'nothing')[:80]!r}, expected JSON that lists devices; "
            "smartctl must be of version 7.0 or later: smartctl --version"
        ) from error
    if not devices:
        root = "" if not hasattr(os, "geteuid") or os.geteuid() == 0 else ": it must run as root (sudo)"
        raise SourceError(
            f"`smartctl --scan-open` finds no drives{root}; drives behind some controllers are named by hand: "
            "smartctl --json -a -d TYPE DEVICE | ae-assets score --smartctl -"
        )
    return devices


def _asked(program: str, drive: tuple[object, object], now: datetime, seconds: float) -> list[Report]:
    device, kind = drive
    if not (isinstance(device, str) and _NAME.fullmatch(device) and isinstance(kind, str) and _TYPE.fullmatch(kind)):
        return [unread(str(device), now, Problem.NOT_OPENED, "a name or type that no device has")]
    text = _output([program, "-a", "--json", "-n", "standby", "-d", kind, device], seconds)
    if text is None:
        return [unread(device, now, Problem.TIMED_OUT, f"none in {seconds:g} s")]
    return reports_of(text, device, now)


def _output(command: Sequence[str], seconds: float) -> str | None:
    """What it printed; None where it did not end in time. What the kernel lets nobody kill is not waited for."""
    process = subprocess.Popen(  # noqa: S603 - no shell, and each argument is fixed or held against a pattern
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.stdout is not None:
            process.stdout.close()
        return None
