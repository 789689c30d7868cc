import numpy as np
import pytest

from mask2alpha.data.mask_perturbation import KIND_WEIGHTS, LEAST_OVERLAP, perturb_mask, signed_distance, smooth_field


def disc(radius: float, softness: float = 4.0, size: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - size * 0.5, columns - size * 0.45)
    return np.clip(255 * (radius - distance) / softness + 128, 0, 255).astype(np.uint8)


def random_alphas() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    alphas = [disc(radius) for radius in (1.0, 2.0, 5.0, 14.0, 30.0, 60.0, 200.0)]
    alphas += [
        np.clip(128 + 90 * smooth_field(rng, (96, 96), cell), 0, 255).astype(np.uint8) for cell in (4.0, 12.0, 30.0)
    ]
    hair = np.zeros((96, 96), np.uint8)
    hair[::6] = 150
    single = np.zeros((96, 96), np.uint8)
    single[3, 90] = 255
    smoke = np.full((96, 96), 60, np.uint8)
    return [*alphas, hair, single, smoke]


def overlap(mask: np.ndarray, alpha: np.ndarray) -> float:
    first, second = mask > 127, alpha > 127
    return np.count_nonzero(first & second) / max(1, np.count_nonzero(first | second))


@pytest.mark.parametrize("kind", KIND_WEIGHTS)
def test_every_kind_works_on_every_alpha(kind: str) -> None:
    for number, alpha in enumerate(random_alphas()):
        for seed in range(4):
            before = alpha.copy()
            mask = perturb_mask(np.random.default_rng([seed, number]), alpha, kind=kind)
            np.testing.assert_array_equal(alpha, before)
            assert mask.shape == alpha.shape
            assert mask.dtype == np.uint8
            assert mask.max() > 127
            if kind not in ("soft", "trimap"):
                assert set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize("kind", KIND_WEIGHTS)
def test_masks_still_tell_which_object_is_meant(kind: str) -> None:
    for seed in range(30):
        alpha = disc(8 + seed)
        assert overlap(perturb_mask(np.random.default_rng(seed), alpha, kind=kind), alpha) >= LEAST_OVERLAP


def test_exact_is_alpha_above_one_half() -> None:
    alpha = disc(20)
    np.testing.assert_array_equal(perturb_mask(np.random.default_rng(0), alpha, kind="exact") == 255, alpha > 127)


def test_erosion_shrinks_and_dilation_grows() -> None:
    alpha = disc(35, softness=1.0)
    area = np.count_nonzero(alpha > 127)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert np.count_nonzero(perturb_mask(rng, alpha, kind="erode")) <= area * 1.02
        assert np.count_nonzero(perturb_mask(rng, alpha, kind="dilate")) >= area * 0.98


def test_strong_perturbations_reach_a_tenth_of_the_object() -> None:
    alpha = disc(100.0, size=320)
    depth = signed_distance(alpha > 127)
    deepest = [
        depth[(alpha > 127) & (perturb_mask(np.random.default_rng(seed), alpha, kind="erode") == 0)].max(initial=0.0)
        for seed in range(40)
    ]
    assert max(deepest) > 16


def test_a_mask_may_bleed_into_the_neighbour_only_nearby() -> None:
    alpha, neighbour = disc(15), np.roll(disc(15), 32, axis=1)
    taken = [
        np.count_nonzero(
            perturb_mask(np.random.default_rng(seed), alpha, neighbour=neighbour, kind="bleed") & neighbour
        )
        for seed in range(20)
    ]
    assert max(taken) > 60


def test_a_part_of_another_colour_is_left_out_or_added_but_never_more_than_a_third() -> None:
    alpha = disc(35, softness=1.0)
    image = np.full((96, 96, 3), 40, np.uint8)
    image[alpha > 127] = 120
    shoe, step = np.s_[68:80, 36:52], np.s_[84:96, 30:60]
    image[shoe] = image[step] = 240
    exact, kept_shoe, added_step = alpha > 127, 0, 0
    for seed in range(200):
        mask = perturb_mask(np.random.default_rng(seed), alpha, image=image, kind="part") > 127
        assert np.count_nonzero(mask != exact) <= 0.36 * np.count_nonzero(exact)
        kept_shoe += np.count_nonzero(mask[shoe]) > 0
        added_step += np.count_nonzero(mask[step]) > 0
    assert kept_shoe < 195
    assert added_step > 0


def test_a_part_needs_no_image() -> None:
    alpha = disc(35)
    areas = [np.count_nonzero(perturb_mask(np.random.default_rng(seed), alpha, kind="part")) for seed in range(20)]
    assert 0.6 * np.count_nonzero(alpha > 127) < min(areas) < 0.95 * np.count_nonzero(alpha > 127)


def test_an_empty_alpha_gives_an_empty_mask() -> None:
    assert not perturb_mask(np.random.default_rng(0), np.zeros((20, 30), np.uint8)).any()


def test_the_same_generator_gives_the_same_mask() -> None:
    for seed in range(30):
        first, second = (perturb_mask(np.random.default_rng(seed), disc(25)) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_sheer_objects_are_mostly_masked_as_a_whole() -> None:
    glass = np.where(disc(30) > 127, 80, 0).astype(np.uint8)
    glass[48, 20:30] = 255
    areas = [np.count_nonzero(perturb_mask(np.random.default_rng(seed), glass, kind="exact")) for seed in range(20)]
    assert np.mean(np.array(areas) > 2000) > 0.5
