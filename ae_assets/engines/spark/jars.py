"""The jars that Spark reads tables with: which ones, fetching them once by Maven, and that they are what was tested."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ae_assets.errors import ConfigError

FETCH = "ae-assets spark-jars"
_PINNED = Path(__file__).parent / "jars"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def jar_folder() -> Path:
    """Where the jars lie: AE_ASSETS_SPARK_JARS, else in the Python environment whose PySpark they fit."""
    return Path(os.environ.get("AE_ASSETS_SPARK_JARS") or Path(sys.prefix) / "share" / "ae_assets" / "spark-jars")


def jars() -> list[Path]:
    """The jars of `jar_folder`.

    Raises:
        ConfigError: one is missing, or is another than the one that was tested.
    """
    folder = jar_folder()
    digests = _pinned_digests()
    if missing := [name for name in digests if not (folder / name).is_file()]:
        raise ConfigError(
            f"Spark needs {', '.join(missing)} in {folder}: run `{FETCH}` once, where Maven reaches a repository, or "
            "name the folder that holds the jars in AE_ASSETS_SPARK_JARS"
        )
    if others := [f"{name} ({found})" for name in digests if (found := _digest(folder / name)) != digests[name]]:
        raise ConfigError(
            f"{', '.join(others)} in {folder} is not what was tested, by the digests of {_PINNED / 'jars.sha256'}: "
            f"delete it and run `{FETCH}`"
        )
    return [folder / name for name in digests]


def fetch_jars() -> list[Path]:
    """Makes `jar_folder` hold the jars; those that lie there are left as they are.

    Raises:
        ConfigError: there is no Maven, it reaches no repository, or a jar is another than the one that was tested.
    """
    folder = jar_folder()
    if all((folder / name).is_file() for name in _pinned_digests()):
        return jars()
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("the jars are fetched by Maven, and there is no mvn on PATH; on Debian: apt install maven")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _copy_dependencies(maven, Path(scratch))
            for jar in (Path(scratch) / "jars").iterdir():
                jar.replace(folder / jar.name)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}); name another in AE_ASSETS_SPARK_JARS"
        ) from error
    return jars()


def _copy_dependencies(maven: str, scratch: Path) -> None:
    options = [f"-Dmaven.repo.local={scratch / 'repository'}", f"-DoutputDirectory={scratch / 'jars'}"]
    run = subprocess.run(  # noqa: S603 - Maven, with the pom of this package
        [maven, "-q", "-B", "-C", *options, "-f", str(_PINNED / "pom.xml"), _COPY],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        said = (run.stdout + run.stderr).strip().splitlines()
        raise ConfigError(f"Maven could not fetch the jars of {_PINNED / 'pom.xml'}: {' '.join(said[:3])}")


def _pinned_digests() -> dict[str, str]:
    lines = (_PINNED / "jars.sha256").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


def _digest(jar: Path) -> str:
    with jar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
