"""`Health`: what was looked at, each with its number, its thresholds and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cluscomp.vocabulary import HEALTH_STATES, HealthState

THRESHOLDS: Mapping[str, tuple[float, float]] = {
    "cost": (1.10, 1.25),
    "occupancy": (0.2, 0.5),
    "code error": (1.10, 1.25),
    "growth": (4, 16),
    "list sizes": (1.5, 2.5),
    "deleted": (0.2, 0.5),
    "segments": (16, 64),
    "probe": (0.02, 0.05),
    "gain": (0.05, 0.15),
}
"""Item -> beyond what its value is to be watched, and beyond what to be acted upon."""


@dataclass(frozen=True)
class HealthItem:
    """One thing that was looked at.

    value: larger is worse; None where it is not known, and the state is "not recorded". watch, retrain:
    thresholds. sentence: what the number says, and what helps.
    """

    name: str
    value: float | None
    watch: float
    retrain: float
    state: HealthState
    sentence: str


@dataclass(frozen=True)
class Health:
    """What `health` found. state: the worst of the items. rows: that can be found. training_rows: of the
    index when it was trained, None where that is not recorded. segments: figures of each, oldest first, as
    `statistics` of the folder has them, with the number of its stored rows.
    """

    key: str
    state: HealthState
    rows: int
    training_rows: int | None
    items: tuple[HealthItem, ...]
    segments: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)

    def reaches(self, state: HealthState) -> bool:
        """Whether the state is this one or a worse one."""
        return HEALTH_STATES.index(self.state) >= HEALTH_STATES.index(state)


def judged(
    name: str, value: float, sentence: str, remedy: str, *, most: HealthState = "retrain"
) -> HealthItem:
    """An item by its thresholds. remedy: follows the sentence where the value is beyond one. most: state that
    is not exceeded.
    """
    watch, retrain = THRESHOLDS[name]
    state: HealthState = "retrain" if value > retrain else "watch" if value > watch else "ok"
    state = min(state, most, key=HEALTH_STATES.index)
    text = sentence if state == "ok" else f"{sentence}; {remedy}"
    return HealthItem(name, value, watch, retrain, state, text)


def unknown(name: str, why: str) -> HealthItem:
    """An item that cannot be judged."""
    return HealthItem(name, None, *THRESHOLDS[name], "not recorded", why)


def worst(items: tuple[HealthItem, ...]) -> HealthState:
    """The worst state of some items; "ok" where none of them is known."""
    return max((item.state for item in items), key=HEALTH_STATES.index, default="ok") if items else "ok"
