"""Types of failure as people read them: whether there are any, what tells each apart, and a map of the alarms."""

from dataclasses import asdict
from string import ascii_uppercase
from typing import Any

import numpy as np
import polars as pl

from ae_assets.evaluation.failure_types import (
    CLOUDS,
    DISSOLVED,
    LEAST_ALARMS,
    RESAMPLES,
    STABLE,
    FailureType,
    FailureTypes,
    Grouping,
    Trait,
)
from ae_assets.features.wording import Wording
from ae_assets.reports.canvas import COLOURS, MUTED, drawing
from ae_assets.reports.parts import Part, percent, with_interval

HEADING = "Types of failure"
MARKS = "osD^vPX*"
"""A type is told by its mark as well as by its colour."""


def failure_type_parts(told: FailureTypes, wording: Wording) -> list[Part]:
    """The answer in words, the types, and the features that tell each apart from the other alarms."""
    if told.grouping is None or not told.types:
        return [f"{HEADING}: {answer(told)}"]
    names = type_names(told)
    types = [
        _row(name, one, told.grouping, place) for place, (name, one) in enumerate(zip(names, told.types, strict=True))
    ]
    features = [
        {"type": name, **_trait(trait, wording)}
        for name, one in zip(names, told.types, strict=True)
        for trait in one.traits
    ]
    of_types = (
        f"Types of {len(told.places):,} of {told.alarms:,} alarms, grouped by {told.space}. Similarity is that of a "
        f"type to its nearest one when the alarms are drawn again ({RESAMPLES} times), with a 95% interval; it is "
        f"taken for stable from {STABLE:g} on where hardly any draw has less than {DISSOLVED:g}"
    )
    of_features = (
        "What tells each type apart: the median of a feature among its alarms, among the other alarms and among "
        f"{told.healthy:,} records without an alarm, and in which share of all pairs it is higher in the type"
    )
    return [f"{HEADING}: {answer(told)}", (of_types, pl.DataFrame(types)), (of_features, pl.DataFrame(features))]


def answer(told: FailureTypes) -> str:
    """Whether there are types of failure, in a few sentences."""
    found = told.grouping
    if found is None:
        return (
            f"{told.alarms:,} alarms are too few to tell types apart, or nearly all are alike; at least "
            f"{LEAST_ALARMS} are needed."
        )
    drawn = (
        f"Drawn again, the alarms agree with this grouping by an adjusted Rand index of {found.agreement:.2f} "
        f"[{found.agreement_low:.2f}, {found.agreement_high:.2f}] and have as many groups in "
        f"{percent(found.same_number)} of the draws."
    )
    gap = f"silhouette {found.silhouette:.2f}, the highest of {CLOUDS} clouds without groups {found.of_clouds:.2f}"
    if not found.beyond_a_cloud:
        return f"No types: the alarms are no more grouped than one cloud of them would be ({gap}). {drawn}"
    stable = [name for name, holds in zip(type_names(told), found.stable, strict=True) if holds]
    if not stable:
        return f"No stable types: the groups change with the sample ({gap}). {drawn}"
    which = "all stable" if len(stable) == found.count else f"stable {_are(len(stable))} {', '.join(stable)}"
    return f"{found.count} types, {which} ({gap}). {drawn}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def types_record(told: FailureTypes) -> dict[str, Any]:
    """The same as plain values."""
    return {"answer": answer(told), "types": [asdict(one) for one in told.types]}


def type_names(told: FailureTypes) -> list[str]:
    """A letter for each type, the largest first."""
    return list(ascii_uppercase[: len(told.types)])


def _row(name: str, one: FailureType, grouping: Grouping, place: int) -> dict[str, str]:
    similarity = f"{grouping.similarity[place]:.2f}"
    interval = f" [{grouping.similarity_low[place]:.2f}, {grouping.similarity_high[place]:.2f}]"
    kinds = "; ".join(f"{kind} {count}" for kind, count in list(one.kinds.items())[:3])
    abnormal = {} if one.abnormal is None else {"known to have gone wrong": _counted(one)}
    return {
        "type": name,
        "alarms": f"{one.alarms:,}",
        "devices": f"{one.entities:,}",
        **abnormal,
        **({"labelled": kinds} if kinds else {}),
        "similarity": similarity + interval,
        "stable": "yes" if grouping.stable[place] else "no",
    }


def _counted(one: FailureType) -> str:
    return (
        "" if one.abnormal is None else f"{one.abnormal.count} of {one.abnormal.total}, {with_interval(one.abnormal)}"
    )


def _trait(trait: Trait, wording: Wording) -> dict[str, str]:
    here, elsewhere, healthy = (
        wording(trait.feature, value, None) for value in (trait.here, trait.elsewhere, trait.healthy)
    )
    return {
        "its alarms": here,
        "others": _shortened(elsewhere, here),
        "healthy": _shortened(healthy, here),
        "above others, healthy": f"{trait.beside_others:.0%}, {trait.beside_healthy:.0%}",
    }


def _shortened(words: str, beside: str) -> str:
    """Words without those that they begin with as others do."""
    own, others = words.split(), beside.split()
    same = next((place for place, pair in enumerate(zip(own, others, strict=False)) if pair[0] != pair[1]), 0)
    return " ".join(own[same:]) if words != beside else "the same"


def latent_map(told: FailureTypes) -> bytes:
    """The alarms along the two axes of their largest variance.

    Colours and marks tell types, rings that something is known to have gone wrong.
    """
    with drawing(4.6) as canvas:
        axes = canvas.axes()
        labels = (
            np.zeros(len(told.places), np.int64) if told.grouping is None or not told.types else told.grouping.labels
        )
        for place, name in enumerate(type_names(told) or ["alarms"]):
            own = told.places[labels == place]
            stable = told.grouping is not None and told.grouping.stable[place]
            axes.plot(
                *own.T,
                MARKS[place % len(MARKS)],
                color=COLOURS[place % len(COLOURS)] if told.types else MUTED,
                markersize=5,
                alpha=0.65,
                markeredgewidth=0,
                label=f"{name} ({len(own):,}{'' if stable or not told.types else ', not stable'})",
            )
        if told.abnormal is not None and told.abnormal.any():
            rings = told.places[told.abnormal]
            axes.plot(*rings.T, "o", color="black", fillstyle="none", markersize=9, markeredgewidth=0.9,
                      label=f"known to have gone wrong ({len(rings):,})")  # fmt: skip
        axes.set_xlabel(f"first principal axis of {told.space}")
        axes.set_ylabel("second principal axis")
        axes.set_title(
            f"{_in_short(told)}. Each point is an alarm: near ones resemble each other\n"
            f"(as far as two axes with {told.shown:.0%} of the variance show)",
            fontsize=11,
        )
        canvas.figure.legend(loc="outside lower left", ncols=4, fontsize=9, columnspacing=1.2, borderpad=0.1)
    return canvas.png


def _in_short(told: FailureTypes) -> str:
    if told.grouping is None:
        return "Too few alarms for types"
    if not told.grouping.beyond_a_cloud:
        return "No types: one cloud of alarms"
    stable = sum(told.grouping.stable)
    return f"{told.grouping.count} types, {stable} of them stable"
