"""Trials one after the other: a round writes the other version of every day, and each asset's write is killed once."""

import random
from collections.abc import Callable, Collection, Iterator

from ae_assets_tests.integration.kills.findings import Found, Models, inspect, run_again
from ae_assets_tests.integration.kills.processes import kill, measure
from ae_assets_tests.integration.kills.work import WORK, Place, committing_often

ASSETS = tuple(WORK)


def rounds(place: Place, trials: int, chance: random.Random, assets: Collection[str] = ASSETS) -> Iterator[Found]:
    """Kills the write of one asset after the other; each is mended by a run to its end before the next.

    Args:
        place: an empty one.
        trials: how many kills.
        chance: draws the moments.
        assets: which are killed; the others run undisturbed.
    """
    with committing_often():
        for work in WORK.values():
            work(place.space(1))
        usual = {asset: measure(place, asset, 2) for asset in ASSETS}
        old, new, done = 2, 1, 0
        while done < trials:
            for asset in ASSETS:
                found = Found(asset)
                if asset in assets and done < trials:
                    before = Models.of(place.space(new))
                    found.phase = kill(place, asset, new, usual[asset], chance)
                    inspect(place, found, old, new, before)
                    run_again(place, found, old, new)
                    done += 1
                    yield found
                else:
                    run_again(place, found, old, new)
                    assert not found.faults, found
            old, new = new, old


def first_writes(empty: Callable[[], Place], trials: int, chance: random.Random) -> Iterator[Found]:
    """Kills the first write of all, which makes catalog, namespace and table, in a new place each time."""
    usual = measure(empty(), "raw", 1)
    with committing_often():
        for _ in range(trials):
            place, found = empty(), Found("raw")
            found.phase = kill(place, "raw", 1, usual, chance)
            before = Models(None, 0)
            inspect(place, found, 0, 1, before)
            run_again(place, found, 0, 1)
            found.asset = "raw, new catalog"
            yield found
