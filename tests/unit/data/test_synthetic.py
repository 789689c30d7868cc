import numpy as np
import pytest

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.synthetic import KINDS, make_cutout

SIZE = 128
STRANDS = ("furry", "haired", "wispy", "grass", "pompom", "feathered")


def noisy_photo(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


def draw(seed: int, kind: str | None = None, size: int = SIZE) -> Cutout:
    return make_cutout(np.random.default_rng(seed), size, noisy_photo, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_kind_is_a_cutout_of_the_asked_size(kind: str, seed: int) -> None:
    cutout = draw(seed, kind)
    assert cutout.colour.shape == (SIZE, SIZE, 3)
    assert cutout.alpha.shape == (SIZE, SIZE)
    assert cutout.colour.dtype == cutout.alpha.dtype == np.uint8
    assert (cutout.alpha > 127).mean() > 0.005
    assert cutout.colour[cutout.alpha > 0].std() > 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same(kind: str) -> None:
    first, second = draw(3, kind), draw(3, kind)
    np.testing.assert_array_equal(first.colour, second.colour)
    np.testing.assert_array_equal(first.alpha, second.alpha)


def test_other_seeds_draw_other_things() -> None:
    assert not np.array_equal(draw(1).alpha, draw(2).alpha)


@pytest.mark.parametrize("kind", STRANDS)
def test_strands_cover_the_full_range_of_alpha(kind: str) -> None:
    counts = sum(np.histogram(draw(seed, kind).alpha, bins=8, range=(0, 256))[0] for seed in range(4))
    assert (np.asarray(counts) > 20).all()


@pytest.mark.parametrize("kind", STRANDS)
def test_colours_under_soft_alpha_are_straight(kind: str) -> None:
    soft, firm = [], []
    for seed in range(5):
        cutout = draw(seed, kind)
        soft.append(cutout.colour[(cutout.alpha > 8) & (cutout.alpha < 64)])
        firm.append(cutout.colour[cutout.alpha > 180])
    assert (
        np.concatenate(soft).mean() > 0.5 * np.concatenate(firm).mean()
    )  # colours multiplied by alpha would be below a quarter


def test_all_kinds_come_in_the_mixture() -> None:
    assert sum(share for _, share in KINDS.values()) == pytest.approx(1)


def test_other_sizes_work() -> None:
    assert draw(0, size=64).alpha.shape == (64, 64)
    assert draw(0, size=200).alpha.shape == (200, 200)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unicorn"):
        draw(0, "unicorn")


def test_a_tiny_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        draw(0, size=32)
