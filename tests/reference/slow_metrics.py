"""The matting errors once more, written from their definitions with plain loops, without the package."""

import itertools
import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]


def sad(alpha: Array, true_alpha: Array, region: NDArray[np.bool_]) -> float:
    total = 0.0
    for y, x in np.argwhere(region):
        total += abs(float(alpha[y, x]) - float(true_alpha[y, x]))
    return total / 1000


def mad(alpha: Array, true_alpha: Array, region: NDArray[np.bool_]) -> float:
    return 1000 * sad(alpha, true_alpha, region) / max(int(region.sum()), 1)


def mse(alpha: Array, true_alpha: Array, region: NDArray[np.bool_]) -> float:
    total = 0.0
    for y, x in np.argwhere(region):
        total += (float(alpha[y, x]) - float(true_alpha[y, x])) ** 2
    return total / max(int(region.sum()), 1)


def gradient_error_adobe(alpha: Array, true_alpha: Array, region: NDArray[np.bool_]) -> float:
    difference = adobe_magnitude(alpha) - adobe_magnitude(true_alpha)
    return float((difference[region] ** 2).sum()) / 1000


def gradient_error_aim(alpha: Array, true_alpha: Array, region: NDArray[np.bool_]) -> float:
    magnitudes = []
    for array in (alpha, true_alpha):
        down = ndimage.gaussian_filter(array, sigma=1.4, order=[1, 0], output=np.float64)
        across = ndimage.gaussian_filter(array, sigma=1.4, order=[0, 1], output=np.float64)
        magnitudes.append(np.hypot(down, across))
    return float(((magnitudes[0] - magnitudes[1])[region] ** 2).sum()) / 10


def adobe_kernel() -> Array:
    """The 9 x 9 derivative-of-Gaussian kernel, each entry from the two densities, L2 norm 1."""
    sigma, epsilon = 1.4, 1e-2
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * epsilon)))
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for i in range(-half, half + 1):
        for j in range(-half, half + 1):
            gauss = math.exp(-(i**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            slope = -j * math.exp(-(j**2) / (2 * sigma**2)) / (sigma**3 * math.sqrt(2 * math.pi))
            kernel[i + half, j + half] = gauss * slope
    return kernel / math.sqrt((kernel**2).sum())


def adobe_magnitude(alpha: Array) -> Array:
    kernel = adobe_kernel()
    half = len(kernel) // 2
    height, width = alpha.shape
    magnitude = np.zeros(alpha.shape)
    for y in range(height):
        rows = np.clip(np.arange(y - half, y + half + 1), 0, height - 1)
        for x in range(width):
            columns = np.clip(np.arange(x - half, x + half + 1), 0, width - 1)
            window = alpha[np.ix_(rows, columns)]
            magnitude[y, x] = math.hypot((window * kernel).sum(), (window * kernel.T).sum())
    return magnitude


def connectivity_error(
    alpha: Array, true_alpha: Array, region: NDArray[np.bool_], *, by_columns: bool, skips_empty_levels: bool
) -> float:
    height, width = alpha.shape
    steps = [0.1 * step for step in range(11)]
    last_level = np.full((height, width), -1.0)
    for below, level in itertools.pairwise(steps):
        source = largest_component((alpha >= level) & (true_alpha >= level), by_columns=by_columns)
        if skips_empty_levels and not source.any():
            continue
        for y in range(height):
            for x in range(width):
                if last_level[y, x] == -1 and not source[y, x]:
                    last_level[y, x] = below
    last_level[last_level == -1] = 1

    def connectedness(value: float, last: float) -> float:
        return 1 - (value - last if value - last >= 0.15 else 0)

    total = 0.0
    for y, x in np.argwhere(region):
        total += abs(
            connectedness(float(alpha[y, x]), last_level[y, x])
            - connectedness(float(true_alpha[y, x]), last_level[y, x])
        )
    return total / 1000


def largest_component(mask: NDArray[np.bool_], *, by_columns: bool) -> NDArray[np.bool_]:
    """The first largest 4-connected component, by flood fill."""
    if by_columns:
        return largest_component(mask.T, by_columns=False).T
    height, width = mask.shape
    seen = np.zeros_like(mask)
    best: list[tuple[int, int]] = []
    for seed in zip(*np.nonzero(mask), strict=True):
        if seen[seed]:
            continue
        seen[seed] = True
        component, queue = [], deque([seed])
        while queue:
            y, x = queue.popleft()
            component.append((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= near[0] < height and 0 <= near[1] < width and mask[near] and not seen[near]:
                    seen[near] = True
                    queue.append(near)
        if len(component) > len(best):
            best = component
    result = np.zeros_like(mask)
    for pixel in best:
        result[pixel] = True
    return result
