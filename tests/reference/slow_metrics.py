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


def him2k(alpha: Array, true_alpha: Array) -> dict[str, float]:
    """MAD, MSE, Grad and Conn over the union of both mattes, as IMQ takes them."""
    union = np.array(
        [[alpha[y, x] > 0 or true_alpha[y, x] > 0 for x in range(alpha.shape[1])] for y in range(alpha.shape[0])]
    )
    num_pixels = sum(1 for _ in np.argwhere(union))
    conn = connectivity_error(alpha, true_alpha, union, by_columns=True, skips_empty_levels=False)
    return {
        "mad": 1000 * sad(alpha, true_alpha, union) / (num_pixels + 1),
        "mse": mse(alpha, true_alpha, union) * num_pixels / (num_pixels + 1),
        "grad": 1000 * gradient_error_adobe(alpha, true_alpha, union) / (num_pixels + 1),
        "conn": 1000 * conn / (num_pixels + 1),
    }


def dtssd(alphas: Array, true_alphas: Array) -> float:
    num_frames, height, width = alphas.shape
    total = 0.0
    for t in range(1, num_frames):
        squares = 0.0
        for y in range(height):
            for x in range(width):
                change = float(alphas[t, y, x]) - float(alphas[t - 1, y, x])
                true_change = float(true_alphas[t, y, x]) - float(true_alphas[t - 1, y, x])
                squares += (change - true_change) ** 2
        total += 100 * math.sqrt(squares / (height * width))
    return total / (num_frames - 1)


def overlap(alpha: Array, true_alpha: Array) -> float:
    both = either = 0
    for value, true_value in zip(alpha.flat, true_alpha.flat, strict=True):
        both += value > 0 and true_value > 0
        either += value > 0 or true_value > 0
    return both / either if either else 0.0


def imq(photographs: list[tuple[Array, Array]], threshold: float) -> dict[str, float]:
    """Instance matting quality over photographs (predictions (N, H, W), truths (M, H, W))."""
    quality = dict.fromkeys(("mad", "mse", "grad", "conn"), 0.0)
    hits = num_predicted = num_true = 0
    for alphas, true_alphas in photographs:
        num_predicted += len(alphas)
        num_true += len(true_alphas)
        for i, j in best_matching(alphas, true_alphas):
            if overlap(alphas[i], true_alphas[j]) >= threshold:
                hits += 1
                for name, error in him2k(alphas[i], true_alphas[j]).items():
                    quality[name] += 1 - min(10 * error, 1)
    divisor = hits + 0.5 * (num_predicted - hits) + 0.5 * (num_true - hits)
    return {name: total / divisor if divisor else 0.0 for name, total in quality.items()}


def best_matching(alphas: Array, true_alphas: Array) -> list[tuple[int, int]]:
    """The best of all one-to-one matchings, tried one after the other."""
    return max(all_matchings(alphas, true_alphas), key=lambda found: found[0])[1]


def all_matchings(alphas: Array, true_alphas: Array) -> list[tuple[float, list[tuple[int, int]]]]:
    """Every one-to-one matching with its sum of overlaps."""
    overlaps = {
        (i, j): overlap(alpha, true_alpha) for i, alpha in enumerate(alphas) for j, true_alpha in enumerate(true_alphas)
    }
    few, many = sorted((len(alphas), len(true_alphas)))
    is_swapped = len(alphas) > len(true_alphas)
    found = []
    for chosen in itertools.permutations(range(many), few):
        pairs = [(j, i) if is_swapped else (i, j) for i, j in enumerate(chosen)]
        found.append((sum(overlaps[pair] for pair in pairs), pairs))
    return found
