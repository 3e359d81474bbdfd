"""Folders that are made once and stand as they were made before each test that writes to them."""

import shutil
from collections.abc import Callable
from pathlib import Path


class StandingFolder:
    """A folder that tests of one process share, one after the other; a home knows where it lies, so no copy does."""

    def __init__(self, folder: Path, make: Callable[[Path], None]) -> None:
        """Makes the folder.

        Args:
            folder: where it stands; its parent is there.
            make: fills it, and leaves nothing open in it.
        """
        self._folder, self._kept = folder, folder.with_name(f"{folder.name}.kept")
        folder.mkdir()
        make(folder)
        shutil.copytree(folder, self._kept)

    def stand(self) -> Path:
        """The folder, as it was made, whatever became of it since."""
        shutil.rmtree(self._folder)
        return Path(shutil.copytree(self._kept, self._folder))
