"""Section `stages`: where the time of one call goes, at all sizes, with the peak memory and the floor beside it.

Each size runs in a process of its own, so that its peak memory is its own. The stages are told apart by watching the
network's own methods while `Predictor.predict` runs; what lies before the encoder is `prepare`, what is left at the end
`restore`.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from measuring import Settings, active_share, build_predictor, in_child, load_example, peak_megabytes
from rates import OpCounter, measure_rates

from mask2alpha.model.config import DEFAULT_MODEL
from mask2alpha.model.mask2alpha import Mask2Alpha

SIZES = {
    "512²": (512, 512),
    "1024²": (1024, 1024),
    "2K": (1080, 1920),
    "4K": (2160, 3840),
    "8K": (4320, 7680),
    "100 MP": (8192, 12288),
}
QUICK_SIZES = ("512²", "1024²")
STAGES = ("prepare", "encode", "guide and fuse", "steps", "between steps", "detail", "restore")


def run(settings: Settings) -> dict[str, Any]:
    """The profile of `base` at every size, largest last."""
    result = {}
    for name, (height, width) in SIZES.items():
        if settings.is_quick and name not in QUICK_SIZES:
            continue
        arguments = {"height": height, "width": width, "repeats": _repeats(height * width, settings)}
        result[name] = in_child("stages.measure_size", arguments, settings)
    return result


def _repeats(pixels: int, settings: Settings) -> int:
    return settings.repeats if pixels < 2**22 else max(1, settings.repeats // 2) if pixels < 2**26 else 1


class StageWatch:
    """Wraps the stages of a network; `seconds` holds, per stage, what the last call took."""

    def __init__(self, model: Mask2Alpha) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.counter: OpCounter | None = None
        self._last_end = 0.0
        for name, stage, before in (
            ("encode", "encode", "prepare"),
            ("guide", "guide and fuse", "restore"),
            ("fuse", "guide and fuse", "guide and fuse"),
            ("step", "steps", "between steps"),
        ):
            setattr(model, name, self._watched(getattr(model, name), stage, after=before))
        model.detail.forward = self._watched(  # type: ignore[method-assign]
            model.detail.forward, "detail", after="between steps"
        )

    def time(self, call: Callable[[], object]) -> float:
        """The seconds of a call; `seconds` then says how they divide."""
        self.seconds.clear()
        start = self._last_end = time.perf_counter()
        self._enter("prepare")
        call()
        end = time.perf_counter()
        self.seconds["restore"] += end - self._last_end
        return end - start

    def _enter(self, stage: str) -> None:
        if self.counter is not None:
            self.counter.stage = stage

    def _watched(self, method: Callable[..., Any], stage: str, *, after: str) -> Callable[..., Any]:
        next_stage = {"encode": "restore", "guide and fuse": "between steps", "steps": "between steps"}

        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            self.seconds[after] += start - self._last_end
            self._enter(stage)
            result = method(*args, **kwargs)
            self._enter(next_stage.get(stage, "restore"))
            self._last_end = time.perf_counter()
            self.seconds[stage] += self._last_end - start
            return result

        return run


def measure_size(height: int, width: int, repeats: int) -> dict[str, Any]:
    """One size, in this process."""
    image, mask = load_example(height, width)
    predictor = build_predictor(DEFAULT_MODEL)
    assert isinstance(predictor.model, Mask2Alpha)
    watch = StageWatch(predictor.model)
    start_megabytes = peak_megabytes()
    totals, stages = [], defaultdict(list)
    for turn in range(repeats + (repeats > 1)):
        seconds = watch.time(lambda: predictor.predict(image, mask))
        if turn or repeats == 1:
            totals.append(seconds)
            for stage in STAGES:
                stages[stage].append(watch.seconds[stage])
    peak = peak_megabytes()
    with OpCounter(measure_rates(predictor.dtype)) as counter:
        watch.counter = counter
        matte = predictor.predict(image, mask)
    return {
        "size": [height, width],
        "dtype": str(predictor.dtype).removeprefix("torch."),
        "num_steps": predictor.model.config.decoder.num_steps,
        "active_share": active_share(predictor, matte.predicted_error),
        "repeats": repeats,
        "start_mb": start_megabytes,
        "peak_mb": peak,
        "median_s": round(statistics.median(totals), 5),
        "min_s": round(min(totals), 5),
        "stages": {
            stage: {
                "median_s": round(statistics.median(stages[stage]), 5),
                **{key: float(f"{value:.4g}") for key, value in counter.totals[stage].items()},
            }
            for stage in STAGES
        },
    }


def measure_machine() -> dict[str, Any]:
    """The rates that the floors are computed with."""
    return {str(dtype).removeprefix("torch."): measure_rates(dtype) for dtype in (torch.float32, torch.bfloat16)}
