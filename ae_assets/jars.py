"""Sets of Java's jars in exact versions: fetched once by Maven, and held against the digests of what was tested."""

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ae_assets.errors import ConfigError

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class JarSet:
    """Some jars in one folder.

    Attributes:
        who: that needs them, e.g. ``Spark``.
        pinned: folder with ``pom.xml``, which says which they are, and ``jars.sha256``.
        folder: where they lie.
        fetch: what a user does about missing ones, e.g. ``run `ae-assets spark-jars` ``.
        variable: environment variable by which another folder is named.
    """

    who: str
    pinned: Path
    folder: Path
    fetch: str
    variable: str

    def require(self) -> list[Path]:
        """The jars.

        Raises:
            ConfigError: one is missing, or is another than the one that was tested.
        """
        digests = self._digests()
        if missing := [name for name in digests if not (self.folder / name).is_file()]:
            more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
            raise ConfigError(
                f"{self.who} needs {', '.join(missing[:4])}{more} in {self.folder}: run `{self.fetch}` once, where "
                f"Maven reaches a repository, or name the folder that holds the jars in {self.variable}"
            )
        if others := [
            f"{name} ({found})" for name in digests if (found := _digest(self.folder / name)) != digests[name]
        ]:
            raise ConfigError(
                f"{', '.join(others)} in {self.folder} is not what was tested, by the digests of "
                f"{self.pinned / 'jars.sha256'}: delete it and run `{self.fetch}`"
            )
        return [self.folder / name for name in digests]

    def fetched(self) -> list[Path]:
        """The jars, after those that are missing were fetched; those that lie there are left as they are.

        Raises:
            ConfigError: there is no Maven, it reaches no repository, or a jar is another than the one that was tested.
        """
        if all((self.folder / name).is_file() for name in self._digests()):
            return self.require()
        maven = shutil.which("mvn")
        if maven is None:
            raise ConfigError(
                "the jars are fetched by Maven, and there is no mvn on PATH; on Debian: apt install maven"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                self._copy_dependencies(maven, Path(scratch))
                for jar in (Path(scratch) / "jars").iterdir():
                    jar.replace(self.folder / jar.name)
        except OSError as error:
            raise ConfigError(
                f"{self.folder} cannot be written ({error.strerror}); name another in {self.variable}"
            ) from error
        return self.require()

    def _copy_dependencies(self, maven: str, scratch: Path) -> None:
        options = [f"-Dmaven.repo.local={scratch / 'repository'}", f"-DoutputDirectory={scratch / 'jars'}"]
        run = subprocess.run(  # noqa: S603 - Maven, with the pom of this package
            [maven, "-q", "-B", "-C", *options, "-f", str(self.pinned / "pom.xml"), _COPY],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            said = (run.stdout + run.stderr).strip().splitlines()
            raise ConfigError(f"Maven could not fetch the jars of {self.pinned / 'pom.xml'}: {' '.join(said[:3])}")

    def _digests(self) -> dict[str, str]:
        lines = (self.pinned / "jars.sha256").read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in map(str.split, lines)}


def _digest(jar: Path) -> str:
    with jar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
