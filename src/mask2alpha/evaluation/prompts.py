"""How well makers of rough masks understand clicks, boxes and scribbles that are simulated from the truth.

As in interactive segmentation (Sofiiuk et al. 2021): the next click goes to the point of the wrong region that is
farthest from its border, and NoC@90 counts the clicks up to an IoU of 0.9. The true object is alpha above one half.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.evaluation.tables import Table
from mask2alpha.extras import import_extra
from mask2alpha.ops.prompt import Point, Prompt

Answer: TypeAlias = Callable[[Prompt, NDArray[np.bool_] | None], NDArray[np.bool_]]
"""The rough mask (H, W) that a prompt over one photo gives, and the mask of all its clicks but the last, if there are
any before it; may raise `InputError` where nothing is found."""
MattePhoto: TypeAlias = Callable[[NDArray[np.bool_]], NDArray[np.float32]]
"""Alpha (H, W) of a rough mask of one photo."""
GOOD = 0.9
"""The IoU that NoC@90 waits for."""
MATTED_CLICKS = 3
"""After how many clicks the mask is matted for the SAD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScores:
    """How well one maker did on one photo."""

    photo: str
    maker: str
    clicks: tuple[float, ...]
    """IoU after each click."""
    box: float
    """IoU with the box around the true object."""
    scribble: float
    """IoU with one line through the true object."""
    seconds: float
    """Median time of an answer."""
    matte_error: float
    """Mean |alpha - truth| x 1000 of the matte of three clicks: SAD per megapixel, in thousands."""

    @property
    def num_clicks(self) -> int:
        """NoC@90: clicks up to an IoU of `GOOD`, or all where it is never reached."""
        return next((index for index, iou in enumerate(self.clicks, 1) if iou >= GOOD), len(self.clicks))


def score_maker(
    photo: str, maker: str, answer: Answer, true_alpha: NDArray[np.float64], matte: MattePhoto, *, num_clicks: int
) -> PromptScores:
    """Simulate a user of one maker on one photo.

    Args:
        photo: Its name.
        maker: Its name.
        answer: The maker, having seen the photo.
        true_alpha: (H, W), in [0, 1].
        matte: Makes the matte of a rough mask.
        num_clicks: How many clicks are simulated, at least `MATTED_CLICKS`.

    Raises:
        InputError: The truth has no object, or there are too few clicks.
    """
    truth = true_alpha > 0.5
    if not truth.any():
        raise InputError(f"{photo}: alpha is nowhere above one half, so there is nothing to select")
    if num_clicks < MATTED_CLICKS:
        raise InputError(f"number of clicks is {num_clicks}; accepted: at least {MATTED_CLICKS}")
    times: list[float] = []

    def ask(prompt: Prompt, mask: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        start = time.perf_counter()
        try:
            return answer(prompt, mask)
        except InputError:  # it finds nothing that fits
            return np.zeros_like(truth)
        finally:
            times.append(time.perf_counter() - start)

    prompt, mask, overlaps, matted = Prompt(), np.zeros_like(truth), [], mask_error(true_alpha, np.zeros(truth.shape))
    for count in range(1, num_clicks + 1):
        if not (truth ^ mask).any():
            overlaps.append(1.0)
            continue
        point, is_target = next_click(truth, mask)
        if is_target:
            prompt = replace(prompt, target=(*prompt.target, (point,)))
        else:
            prompt = replace(prompt, rest=(*prompt.rest, (point,)))
        mask = ask(prompt, mask if count > 1 else None)
        overlaps.append(overlap(mask, truth))
        if count == MATTED_CLICKS:
            matted = mask_error(true_alpha, matte(mask))
    return PromptScores(
        photo=photo,
        maker=maker,
        clicks=tuple(overlaps),
        box=overlap(ask(Prompt(box_xyxy=box_around(truth))), truth),
        scribble=overlap(ask(Prompt(target=(scribble(truth),))), truth),
        seconds=float(np.median(times)),
        matte_error=matted,
    )


def mask_error(true_alpha: NDArray[np.float64], alpha: NDArray[Any]) -> float:
    """Mean |alpha - truth| x 1000."""
    return float(np.abs(alpha - true_alpha).mean()) * 1000


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def next_click(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> tuple[Point, bool]:
    """The point (x, y) deepest inside what a mask gets wrong, and whether it is on the target."""
    missed, added = _depth(truth & ~mask), _depth(mask & ~truth)
    is_target = bool(missed.max() >= added.max())
    return _deepest(missed if is_target else added), is_target


def box_around(truth: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box that holds the object: left, top, right, bottom."""
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def scribble(truth: NDArray[np.bool_]) -> tuple[Point, ...]:
    """A straight line from the deepest point of the object towards the farthest that is half as deep, inside of it."""
    depth = _depth(truth)
    start = np.array(_deepest(depth), np.float64)
    y, x = np.nonzero(depth >= depth.max() / 2)
    far = np.hypot(x - start[0], y - start[1]).argmax()
    line = start + np.linspace(0, 1, 200)[:, None] * (np.array([x[far], y[far]]) + 0.5 - start)
    is_inside = truth[line[:, 1].astype(int), line[:, 0].astype(int)]
    last = line[: int(is_inside.argmin()) or len(line)][-1]
    return (float(start[0]), float(start[1])), (float(last[0]), float(last[1]))


def format_prompt_scores(scores: Sequence[PromptScores], lowres: Mapping[str, float]) -> str:
    """A Markdown table with a row per maker: means over the photos.

    Args:
        scores: Of all makers and photos.
        lowres: `mask_error` of the matte of each photo's `lowres` mask, for those that have one.
    """
    shown = [count for count in (1, 2, 3, 5, 10) if count <= len(scores[0].clicks)]
    head = ["maker", *(f"click {count}" for count in shown), "NoC@90", "box", "scribble", "s", "SAD/MP, 3 clicks"]
    rows = []
    for maker in dict.fromkeys(score.maker for score in scores):
        own = [score for score in scores if score.maker == maker]
        mean = [np.mean([score.clicks[count - 1] for score in own]) for count in shown]
        rest = [np.mean([getattr(score, name) for score in own]) for name in ("num_clicks", "box", "scribble")]
        cells = [*(f"{value:.3f}" for value in mean), f"{rest[0]:.2f}", f"{rest[1]:.3f}", f"{rest[2]:.3f}"]
        cells += [f"{np.median([score.seconds for score in own]):.2f}", f"{np.mean([s.matte_error for s in own]):.2f}"]
        rows.append([maker, *cells])
    table = Table(header=head, rows=rows).render("markdown")
    if not lowres:
        return table
    return f"{table}\n\nSAD/MP from the lowres masks ({len(lowres)} photos): {np.mean(list(lowres.values())):.2f}"


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the region's border; the edge of the photo counts as border."""
    ndimage = import_extra("scipy.ndimage", extra="eval", purpose="simulating clicks")
    return np.asarray(ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1], np.float64)


def _deepest(depth: NDArray[np.float64]) -> Point:
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5
