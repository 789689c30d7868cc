import numpy as np
import pytest

from mask2alpha.data.composition import Composite, Layer, blend, compose, draw_background, place, visible_alphas
from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import PhotoPool, Pool, Sources


@pytest.fixture(scope="module")
def sources() -> Sources:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (120, 150, 3)).astype(np.uint8) for _ in range(3)]
    rows, columns = np.mgrid[:100, :90]
    cutouts = []
    for radius in (25, 40):
        alpha = np.clip(255 * (radius - np.hypot(rows - 50, columns - 45)) / 5, 0, 255).astype(np.uint8)
        cutouts.append(Cutout(rng.integers(0, 255, (100, 90, 3)).astype(np.uint8), alpha))
    return Sources(Pool(cutouts), PhotoPool(photos), procedural_share=0.2)


def draw(sources: Sources, seed: int, num_targets: int = 2) -> Composite:
    return compose(np.random.default_rng(seed), sources, 96, num_targets)


def constant_layer(colour: int, alpha: int, owner: int) -> Layer:
    return Layer(np.full((4, 4, 3), colour, np.uint8), np.full((4, 4), alpha, np.uint8), owner)


def test_the_same_generator_gives_the_same_composite(sources: Sources) -> None:
    first, second = draw(sources, 3), draw(sources, 3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.alphas, second.alphas)
    assert (draw(sources, 4).image != first.image).any()


def test_shapes_types_and_useful_targets(sources: Sources) -> None:
    for seed in range(40):
        composite = draw(sources, seed, num_targets=3)
        assert composite.image.shape == (96, 96, 3)
        assert composite.image.dtype == np.uint8
        assert composite.alphas.shape == (3, 96, 96)
        for alpha in composite.alphas:
            assert 0.005 < alpha.mean() / 255 < 0.97


def test_different_objects_come_first_and_share_the_coverage(sources: Sources) -> None:
    num_pairs = 0
    for seed in range(40):
        first, second = draw(sources, seed).alphas
        if (first != second).any():
            num_pairs += 1
            assert (first.astype(int) + second).max() <= 255
    assert num_pairs > 8


def test_gamma_coded_blend_by_hand() -> None:
    background = np.full((4, 4, 3), 100, np.uint8)
    image = blend(background, [constant_layer(200, 51, 0)], gamma=1.0)
    assert (image == 120).all()  # 100 + 0.2 * (200 - 100)


def test_linear_light_blend_by_hand() -> None:
    background = np.zeros((4, 4, 3), np.uint8)
    image = blend(background, [constant_layer(255, 128, 0)], gamma=2.2)
    assert (image == 186).all()  # the code of 0.502 of the light of white
    unchanged = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    np.testing.assert_array_equal(blend(unchanged, [], gamma=2.2), unchanged)


def test_visible_alpha_is_what_the_front_lets_through() -> None:
    back, front = constant_layer(0, 255, 0), constant_layer(0, 102, 1)
    visible = visible_alphas([back, front])
    assert (visible[0] == 153).all()
    assert (visible[1] == 102).all()


def test_layers_of_one_owner_are_one_object() -> None:
    layers = [constant_layer(0, 128, 0), constant_layer(0, 128, 0)]
    visible = visible_alphas(layers)
    assert visible.shape == (1, 4, 4)
    assert abs(int(visible[0, 0, 0]) - 255 * (1 - (127 / 255) ** 2)) <= 1


def test_visible_alphas_never_exceed_full_coverage() -> None:
    rng = np.random.default_rng(0)
    layers = [
        Layer(np.zeros((32, 32, 3), np.uint8), rng.integers(0, 256, (32, 32)).astype(np.uint8), owner)
        for owner in range(4)
    ]
    assert visible_alphas(layers).astype(int).sum(axis=0).max() <= 255


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_border_that_cuts_the_object_off_leaves_the_canvas(side: str) -> None:
    alpha = np.zeros((60, 60), np.uint8)
    alpha[20:40, 20:40] = 255
    window = {
        "left": np.s_[20:40, :40],
        "top": np.s_[:40, 20:40],
        "right": np.s_[20:40, 20:],
        "bottom": np.s_[20:, 20:40],
    }
    alpha[window[side]] = 255
    cutout = Cutout(np.zeros((60, 60, 3), np.uint8), alpha)
    for seed in range(20):
        layer = place(np.random.default_rng(seed), cutout, 80, 1.0, (0.5, 0.5))
        edges = (layer.alpha[0], layer.alpha[-1], layer.alpha[:, 0], layer.alpha[:, -1])
        assert any((edge > 127).any() for edge in edges) or not layer.alpha.any()


def test_backgrounds_have_the_wanted_size(sources: Sources) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        background = draw_background(
            rng, sources.photos, 70, [Layer(np.zeros((70, 70, 3), np.uint8), np.full((70, 70), 255, np.uint8), 0)]
        )
        assert background.shape == (70, 70, 3)
        assert background.dtype == np.uint8
