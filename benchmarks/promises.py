"""The ratios that must hold: in a full run as stated, in a quick one, on smaller pictures, with a wide margin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One ratio and its bounds."""

    text: str
    value: Callable[[dict[str, Any]], float]
    """Reads it from the sections of a result; KeyError where it was not measured."""
    at_least: float | None = None
    at_most: float | None = None
    quick: float | None = None
    """The bound of a quick run, on the same side; None: not checked there."""
    quick_value: Callable[[dict[str, Any]], float] | None = None
    """Where a quick run has it at another place."""


def _peer(side: str, peer: str) -> Callable[[dict[str, Any]], float]:
    return lambda sections: float(sections["peers"][side][peer]["peer_over_ours"])


def _further(model: str) -> Callable[[dict[str, Any]], float]:
    return lambda sections: float(sections["masks"][model]["object at 1"]["further_over_whole"])


def _sparse(dtype: str) -> Callable[[dict[str, Any]], float]:
    return lambda sections: float(sections["sparse"][f"{dtype}, large pages"]["dense_over_sparse"])


def _size(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda sections: float(sections["sizes"]["ratios"][name])


def _peak(size: str) -> Callable[[dict[str, Any]], float]:
    return lambda sections: float(sections["stages"][size]["peak_mb"]) / 1000


PROMISES = (
    Promise(
        text="times faster than pymatting's closed form at 1024²",
        value=_peer("1024", "closed form"),
        at_least=6,
        quick=0.5,  # 704 px are matted at 3/2 of their size; 0.8 to 1.1 without bfloat16, on two cores
        quick_value=_peer("704", "closed form"),
    ),
    Promise(
        text="times faster than ViTMatte-S at 1024²",
        value=_peer("1024", "ViTMatte-S float32"),
        at_least=3,
        quick=1.5,
        quick_value=_peer("704", "ViTMatte-S float32"),
    ),
    Promise(text="times faster than ViTMatte-S at 2048²", value=_peer("2048", "ViTMatte-S float32"), at_least=8),
    Promise(text="times the time of 1024² at 4K", value=_size("4K over 1024²"), at_most=5),
    Promise(text="times the time of 1024² at 8K", value=_size("8K over 1024²"), at_most=12),
    Promise(
        text="times the time of 512² at 1024²",
        value=_size("1024² over 512²"),
        at_most=4.5,
        quick=6,
    ),
    Promise(text="GB resident at 8K", value=_peak("8K"), at_most=4),
    Promise(text="GB resident at 100 MP", value=_peak("100 MP"), at_most=6),
    Promise(text="GB resident at 1024²", value=_peak("1024²"), at_most=2, quick=2),
    Promise(text="of the first mask's time for a further one, base", value=_further("base"), at_most=0.4, quick=0.85),
    Promise(
        text="of a fresh run's time for the matte after a stroke, at 4K",
        value=lambda sections: float(sections["strokes"]["matte_over_fresh"]),
        at_most=0.45,
        quick=0.85,
    ),
    Promise(text="times faster than the dense twin, bfloat16", value=_sparse("bfloat16"), at_least=6, quick=2),
    Promise(text="times faster than the dense twin, float32", value=_sparse("float32"), at_least=10, quick=3),
)


def find_broken(result: dict[str, Any]) -> list[str]:
    """The promises that a result does not keep, in words; what was not measured is left out."""
    broken = []
    for promise in PROMISES:
        bound, is_least = (promise.at_least, True) if promise.at_least is not None else (promise.at_most, False)
        value = promise.value
        if result["is_quick"]:
            bound, value = promise.quick, promise.quick_value or promise.value
        if bound is None:
            continue
        try:
            measured = value(result["sections"])
        except KeyError:
            continue
        if measured < bound if is_least else measured > bound:
            side = "at least" if is_least else "at most"
            where = " (on the quick run's smaller pictures)" if result["is_quick"] else ""
            broken.append(f"{measured:.3g} {promise.text}{where}; {side} {bound:g} is wanted")
    return broken
