"""A program in the place of smartctl: it prints stored outputs, and writes down how it was called."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ae_assets_tests.one_server.outputs import FOLDER, content

PROGRAM = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case "$1" in
  --scan-open) cat "$here/scan.json" ;;
  *)
    for device; do :; done
    answer=$(cat "$here/drives/$(echo "$device" | tr / _)")
    case "$answer" in
      HANG) exec sleep 60 ;;
      NONSENSE) echo "Segmentation fault" ;;
      *) sed "s|/dev/[a-z0-9]*|$device|g" "$answer" ;;
    esac ;;
esac
"""


class FakeSmartctl:
    """The program in a folder that is the first of PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "drives").mkdir(parents=True)
        program = folder / "smartctl"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def scan(self, text: str) -> None:
        """What a scan prints."""
        (self.folder / "scan.json").write_text(text)

    def drives(self, outputs: Mapping[str, str]) -> None:
        """What each device answers: the name of an output, HANG or NONSENSE."""
        devices = []
        for device, name in outputs.items():
            answer = FOLDER / f"{name}.json"
            (self.folder / "drives" / device.replace("/", "_")).write_text(str(answer) if answer.exists() else name)
            kind = content(name)["device"]["type"] if answer.exists() else "sat"
            devices.append({"name": device, "info_name": device, "type": kind, "protocol": "ATA"})
        self.scan(json.dumps({"json_format_version": [1, 0], "devices": devices}))

    def calls(self) -> list[str]:
        """Its arguments, call by call."""
        return (self.folder / "calls").read_text().splitlines()
