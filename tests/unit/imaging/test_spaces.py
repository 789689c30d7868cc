import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging.colour import to_srgb_primaries
from mask2alpha.imaging.photo import Photo
from mask2alpha.imaging.spaces import SPACES

PUBLISHED = [
    ("acescct", 0.0, 0.0729055341958355),  # S-2016-001: the offset of the linear part, middle grey, the largest half
    ("acescct", 0.18, 0.4135884),
    ("acescct", 65504.0, 1.4679964),
    ("logc", 0.0, 0.092809),  # ARRI: at EI 800, black is 95/1023 and middle grey 400/1023
    ("logc", 0.18, 400 / 1023),
    ("slog3", 0.0, 95 / 1023),  # Sony: 10-bit codes of 0, 18 and 90 % reflectance
    ("slog3", 0.18, 420 / 1023),
    ("slog3", 0.9, 598 / 1023),
    ("srgb", 0.0031308, 0.040449936),  # IEC 61966-2-1: the knee
    ("srgb", 1.0, 1.0),
    ("linear", 0.5, 0.5),
    ("acescg", 0.5, 0.5),
]
"""Space, light, number."""
LIGHT = [-0.002, 0.0, 0.005, 0.0078125, 0.0105, 0.18, 0.9, 4.0, 40.0]
BY_COLOUR_SCIENCE = {
    "acescct": [0.0518251, 0.0729055, 0.1256067, 0.1552511, 0.1795966, 0.4135884, 0.5461185, 0.6689498, 0.8585575],
    "logc": [0.0820737, 0.0928090, 0.1196473, 0.1347438, 0.1491694, 0.3910068, 0.5594319, 0.7187016, 0.9656647],
    "slog3": [0.0796202, 0.0928641, 0.1259738, 0.1445981, 0.1623945, 0.4105572, 0.5844528, 0.7490989, 1.0044702],
    "srgb": [-0.02584, 0.0, 0.0610085, 0.0847167, 0.1030331, 0.4613561, 0.9546872, 1.8247963, 4.8515639],
}
"""`LIGHT` as numbers, by colour-science 0.4.7: log_encoding_ACEScct, _ARRILogC3 and _SLog3, eotf_inverse_sRGB."""
BY_OPENCOLORIO = {
    "acescg": [(0.016413, 0.106724, 0.078141), (0.622764, 0.541905, 0.721746), (1.331091, 0.100909, 1.047927)],
    "acescct": [(-0.005360, 0.003208, 0.000497), (1.880059, 0.789228, 6.560928), (102.696098, -9.883974, 138.417603)],
    "logc": [(-0.013418, 0.002994, -0.003134), (1.411413, 0.112906, 3.991315), (32.197987, -10.720123, 42.86755)],
    "slog3": [(-0.010935, 0.003160, -0.002351), (1.103143, 0.127588, 3.019093), (23.172947, -8.687639, 29.807877)],
}
"""`NUMBERS` as "Linear Rec.709 (sRGB)", by OpenColorIO 2.6.0 and its built-in configuration studio-config-latest."""
NUMBERS = np.array([[(0.05, 0.1, 0.08), (0.6, 0.55, 0.7), (0.9, 0.2, 0.95)]], np.float32)


@pytest.mark.parametrize(("name", "light", "number"), PUBLISHED)
def test_the_curves_are_those_of_the_published_documents(name: str, light: float, number: float) -> None:
    made = SPACES[name].numbers(np.array([light]))
    assert made == pytest.approx(number, abs=6e-4 if name in ("logc", "slog3") else 1e-6)  # codes are rounded
    assert SPACES[name].light(made) == pytest.approx(light, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", BY_COLOUR_SCIENCE)
def test_light_becomes_the_numbers_that_colour_science_makes_of_it(name: str) -> None:
    assert SPACES[name].numbers(np.array(LIGHT)) == pytest.approx(BY_COLOUR_SCIENCE[name], abs=2e-6)


@pytest.mark.parametrize("name", BY_OPENCOLORIO)
def test_numbers_become_the_light_that_opencolorio_makes_of_them(name: str) -> None:
    photo = Photo(pixels=NUMBERS).taken_as(name)
    assert photo.primaries is not None
    assert photo.space is not None
    light = to_srgb_primaries(photo.space.light(photo.pixels), photo.primaries)[0]
    expected = np.array(BY_OPENCOLORIO[name])
    assert np.abs(light - expected).max() < 5e-3 * np.abs(expected).max()  # it adapts the white on the way, twice


@pytest.mark.parametrize("name", SPACES)
def test_light_and_numbers_undo_each_other(name: str) -> None:
    light = np.concatenate([np.linspace(-0.003, 0.03, 200), np.geomspace(0.03, 4, 200)])
    assert SPACES[name].light(SPACES[name].numbers(light)) == pytest.approx(light, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("name", SPACES)
def test_the_network_sees_middle_grey_as_srgb(name: str, dtype: type) -> None:
    number = float(SPACES[name].numbers(np.array([0.18]))[0])
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    seen = Photo(pixels=np.full((2, 3, 3), number * top).astype(dtype)).taken_as(name).in_srgb()
    top = np.iinfo(seen.pixels.dtype).max
    assert seen.space is None
    assert np.abs(seen.pixels / top - 0.4613).max() < (0.01 if dtype == np.uint8 else 0.002)  # 0.18 of light in sRGB


@pytest.mark.parametrize("name", ["acescct", "logc", "slog3"])
@pytest.mark.parametrize(("suffix", "bits"), [(".png", None), (".tif", None), (".tif", 32), (".exr", None)])
def test_outputs_keep_the_numbers(name: str, suffix: str, bits: int | None, rng: np.random.Generator) -> None:
    for dtype in (np.uint16, np.float32):
        pixels = rng.random((4, 5, 3), np.float32)
        pixels = pixels if dtype == np.float32 else np.rint(pixels * 65535).astype(np.uint16)
        made = Photo(pixels=pixels).taken_as(name).for_output(suffix, bits)
        if made.pixels.dtype == dtype:
            assert np.array_equal(made.pixels, pixels)
        else:
            scale = [1 if each.dtype.kind == "f" else 65535 for each in (made.pixels, pixels)]
            assert np.abs(made.pixels / scale[0] - pixels / scale[1]).max() < 1 / 65535


def test_numbers_beyond_every_curve_are_white_and_warn_of_nothing() -> None:
    damaged = np.array([[[1e30, -1e30, 0.5]]], np.float32)
    for name in SPACES:
        assert np.isfinite(Photo(pixels=damaged).taken_as(name).in_srgb().pixels).all()


def test_light_without_a_curve_keeps_the_primaries_of_the_file() -> None:
    primaries = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)
    photo = Photo(pixels=NUMBERS, primaries=primaries, icc_profile=None)
    assert photo.taken_as("linear").primaries == primaries
    assert photo.taken_as("acescg").primaries == SPACES["acescg"].primaries
    assert photo.taken_as(None) is photo


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(InputError, match="'rec2020' is not known; accepted: linear, srgb, acescg"):
        Photo(pixels=NUMBERS).taken_as("rec2020")
