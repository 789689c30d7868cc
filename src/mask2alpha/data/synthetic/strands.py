"""Strands, the thin things that make matting hard: growing and drawing them."""

from dataclasses import dataclass

import numpy as np

from mask2alpha.data.synthetic.canvas import Colours, Floats, Points, StrandLayers


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How strands bend between root and tip."""

    num_points: int = 6
    """Corners of each polyline."""
    bend: float = 0.4
    """Standard deviation of the whole turn of a strand [rad]."""
    wobble: float = 0.1
    """Standard deviation of the turn at each corner [rad]."""
    curl: float = 0.0
    """Amplitude of a periodic turn [rad]; 1 and more makes curls."""
    curl_turns: float = 2.0
    """Periods of that turn along a strand."""
    gravity: float = 0.0
    """How far strands turn downwards until the tip, 0 to 1."""
    gravity_onset: float = 0.7
    """Where they turn: below 1 near the root (hair that lies on a head), above 1 near the tip."""
    clump: float = 0.0
    """How far tips gather at the tips of a few guide strands, 0 to 1."""
    num_clumps: int = 40
    """Number of guide strands."""


def grow(rng: np.random.Generator, roots: Points, angles: Floats, lengths: Floats, growth: Growth) -> Points:
    """Grow strands from their roots.

    Args:
        rng: Random numbers.
        roots: (N, 2).
        angles: (N,) first direction [rad], 0 to the right, pi / 2 downwards.
        lengths: (N,) in pixels.
        growth: How they bend.

    Returns:
        (N, num_points, 2).
    """
    num, steps = len(roots), growth.num_points - 1
    along = np.linspace(0, 1, steps, dtype=np.float32)[None]
    turn = rng.normal(0, growth.bend, (num, 1)) * along
    turn = turn + np.cumsum(rng.normal(0, growth.wobble, (num, steps)), axis=1)
    if growth.curl:
        phase = rng.uniform(0, 2 * np.pi, (num, 1)) * (1 if growth.clump < 0.3 else 0.2)
        frequency = growth.curl_turns * rng.uniform(0.7, 1.3, (num, 1))
        turn = turn + growth.curl * np.sin(2 * np.pi * frequency * along + phase)
    heading = angles[:, None] + turn
    step = np.stack([np.cos(heading), np.sin(heading)], axis=-1)  # (N, steps, 2)
    if growth.gravity:
        pull = (growth.gravity * along**growth.gravity_onset)[..., None]
        step = step * (1 - pull) + np.array([0.0, 1.0]) * pull
        step = step / np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 0.2)
    step = step * (lengths[:, None, None] / steps)
    points = np.concatenate([roots[:, None], roots[:, None] + np.cumsum(step, axis=1)], axis=1).astype(np.float32)
    if growth.clump and num > growth.num_clumps:
        points = _gather(rng, points, growth)
    return points


def _gather(rng: np.random.Generator, points: Points, growth: Growth) -> Points:
    """Pull the strands' outer parts to the guide whose root is nearest."""
    guides = points[rng.choice(len(points), growth.num_clumps, replace=False)]  # (G, P, 2)
    roots, centres = points[:, 0], guides[:, 0]
    nearest = np.argmin((centres**2).sum(1)[None] - 2 * (roots @ centres.T), axis=1)
    pull = growth.clump * np.linspace(0, 1, points.shape[1], dtype=np.float32) ** 0.8
    pull = pull[None, :, None] * rng.uniform(0.6, 1.0, (len(points), 1, 1)).astype(np.float32)
    return np.asarray(points + (guides[nearest] - points) * pull, np.float32)


def along_path(path: Points, place: Floats) -> tuple[Points, Floats]:
    """Points of a polyline (P, 2) and its direction there [rad], at `place` (N,) from 0 to P - 1; (N, 2) and (N,)."""
    lower = np.minimum(place.astype(np.intp), len(path) - 2)
    step = path[lower + 1] - path[lower]
    return path[lower] + step * (place - lower)[:, None], np.arctan2(step[:, 1], step[:, 0])


def draw_strands(
    layers: StrandLayers,
    rng: np.random.Generator,
    points: Points,
    colours: Colours,
    *,
    tip_gain: float = 1.0,
    root_gain: float = 1.0,
    width: float = 0.75,
    tip_opacity: float = 0.6,
    num_batches: int = 24,
) -> None:
    """Draw tapering strands in their order, the first at the bottom.

    Args:
        layers: The layers to draw on.
        rng: Random numbers.
        points: (N, P, 2), roots first.
        colours: (C, 3) a palette; strands take random ones of it.
        tip_gain: Brightness of tips relative to the middle.
        root_gain: Brightness of roots relative to the middle.
        width: Width at the root [px]; below 0.75 the whole strand becomes faint.
        tip_opacity: Opacity of the last part, which is what tapering below a pixel looks like.
        num_batches: Strands of one batch share a colour (one call of cv2 each).
    """
    num, corners = points.shape[:2]
    if num == 0:
        return
    middle = max(1, corners // 3)
    cuts = [
        (0, middle, root_gain),
        (middle, corners - 1 - middle // 2, 1.0),
        (corners - 1 - middle // 2, corners - 1, tip_gain),
    ]
    faintness = min(1.0, width / 0.75)
    bundles = _bundle(points, width)
    for batch in np.array_split(np.arange(num), min(num_batches, num)):
        colour = colours[int(rng.integers(len(colours)))]
        for part, (start, stop, gain) in enumerate(cuts):
            if stop <= start:
                continue
            tone = np.clip(colour * gain, 0, 255)
            is_tip = part == 2
            opacity = faintness * (tip_opacity if is_tip else 1.0)
            for line, (bundle, line_gain) in enumerate(bundles):
                if is_tip and line < len(bundles) // 2:  # only the middle reaches the tip
                    continue
                layers.draw(bundle[batch, start : stop + 1], np.clip(tone * line_gain, 0, 255), 1, opacity)


def _bundle(points: Points, width: float) -> list[tuple[Points, float]]:
    """Parallel lines that together are as wide as the strand, with the brightness of a round one."""
    num_lines = max(1, round(width / 0.7))
    if num_lines == 1:
        return [(points, 1.0)]
    along = np.gradient(points, axis=1)
    normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-3)
    taper = np.linspace(1.0, 0.35, points.shape[1], dtype=np.float32)[None, :, None]
    offsets = (np.arange(num_lines) - (num_lines - 1) / 2) * 0.55
    offsets = offsets[np.argsort(-np.abs(offsets))]  # the rim first, the middle over it
    gains = 1.12 - 0.35 * (np.abs(offsets) / max(float(np.abs(offsets).max()), 1e-3)) ** 2
    return [
        (np.asarray(points + normal * taper * offset, np.float32), float(gain))
        for offset, gain in zip(offsets, gains, strict=True)
    ]


def draw_tube(layers: StrandLayers, rng: np.random.Generator, path: Points, colour: Colours, width: float) -> None:
    """Draw a round thing along `path`, (P, 2): a dark rim, the middle, a highlight."""
    steps = ((1.0, 0.5), (0.75, 0.85), (0.45, 1.05), (0.18, 1.3)) if width > 3 else ((1.0, 0.8), (0.4, 1.1))
    lean = rng.uniform(-0.12, 0.12, 2).astype(np.float32) * np.float32(width)
    for share, gain in steps:
        line = path[None] + lean * np.float32(1 - share)
        thickness = max(1, round(2 * width * share))
        layers.draw(line, np.clip(colour * gain, 0, 255), thickness, is_inner=share < 1 and thickness > 1)
