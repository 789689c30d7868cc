from typing import Any

import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.ops.masks import DrawnMask, Mask, MaskChoice, understand

DISC = np.hypot(*np.mgrid[-20:20, -30:30]) < 15
PARTS = DISC.astype(np.uint8) * (1 + (np.arange(60) >= 30))  # 1 on the left half of the disc, 2 on the right
BLUR = np.clip(20 - np.hypot(*np.mgrid[-20:20, -30:30]), 0, 10) / 10


def read(values: np.ndarray, choice: MaskChoice | None = None, **about: Any) -> np.ndarray:
    mask, notes = understand(DrawnMask(values=values, **about), choice)
    assert notes == []
    return mask.as_bytes()


def refuse(match: str, values: np.ndarray, choice: MaskChoice | None = None, **about: Any) -> None:
    with pytest.raises(InputError, match=match):
        understand(DrawnMask(values=values, **about), choice)


@pytest.mark.parametrize(
    ("values", "top"),
    [
        (DISC, None),
        (DISC.astype(np.uint8), 255),
        (DISC.astype(np.uint16), 65535),
        (DISC.astype(np.int64), None),
        (DISC * np.uint8(255), 255),
        (DISC * np.uint16(65535), 65535),
        (DISC * np.int32(255), None),
        (DISC * np.uint8(15), 15),
        (DISC.astype(np.float16), None),
        (DISC * 1.0000002, None),
        (np.where(DISC, 1.19, -0.14), None),
    ],
)
def test_two_values_are_a_mask_whatever_their_type(values: np.ndarray, top: int | None) -> None:
    assert np.array_equal(read(values, top=top), DISC * np.uint8(255))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DISC * np.uint8(254), "only the values 0 and 254"),
        (np.where(DISC, np.uint8(235), np.uint8(16)), "only the values 16 and 235"),
        (DISC * np.uint16(255), "16 bits but no value above 255"),
    ],
)
def test_what_was_guessed_is_said(values: np.ndarray, said: str) -> None:
    mask, notes = understand(DrawnMask(values=values, top=np.iinfo(values.dtype).max))
    assert np.array_equal(mask.as_bytes(), DISC * np.uint8(255))
    assert said in "".join(notes)


@pytest.mark.parametrize("top", [255, 65535, 15])
def test_soft_masks_and_trimaps_stay_as_they_are(top: int) -> None:
    dtype = np.uint16 if top == 65535 else np.uint8
    trimap = np.array([0, (top + 1) // 2, top], dtype=dtype)[PARTS]
    for values in (np.rint(BLUR * top).astype(dtype), trimap):
        assert np.abs(read(values, top=top) - np.rint(values / top * 255)).max() <= 1
    assert np.abs(read(BLUR) - 255 * BLUR).max() <= 0.5


@pytest.mark.parametrize(
    ("values", "top"),
    [
        (DISC * np.uint8(7), 255),
        (DISC * np.uint16(7), 65535),
        (DISC * np.int64(7), None),
        (DISC * 7.0, None),
        (DISC * np.uint8(128), 255),
        (DISC * np.uint16(1000), 65535),
        (DISC * np.uint8(7), 15),
        (PARTS, 255),
        (PARTS * np.uint8(85), 255),
        (np.where(np.arange(60) < 50, PARTS, np.uint8(255)), 255),  # 255 is what nobody labelled
        (PARTS * np.uint8(20) + np.uint8(40), 255),
        (np.full((40, 60), 3, np.uint8), 255),
    ],
)
def test_maps_of_labels_are_refused_with_their_values(values: np.ndarray, top: int | None) -> None:
    there = [value for value in np.unique(values).tolist() if value]
    refuse(rf"{int(there[0])} \(.*map of labels.* mask == {int(there[0])}|{int(there[-1])} \(.*map of labels", values)
    refuse(r"--label \d+, or .* --channel grey", values, MaskChoice(), top=top)
    for value in there:
        chosen = read(values, MaskChoice(label=f"{value:g}"), top=top)
        assert np.array_equal(chosen == 255, values == value)
    refuse("has no value 99; it has .*%", values, MaskChoice(label="99"), top=top)
    refuse("not a number", values, MaskChoice(label="cat"), top=top)


def test_many_instances_are_refused() -> None:
    values = np.repeat(np.repeat(np.arange(24, dtype=np.uint8).reshape(4, 6), 10, 0), 10, 1)
    values[-10:, -10:] = 255
    refuse("20 more|and 16 more", values, MaskChoice(), top=255)


@pytest.mark.parametrize("values", [PARTS * np.uint8(85), DISC * np.uint8(100), PARTS * np.uint8(100)])
def test_a_named_channel_is_no_map_of_labels(values: np.ndarray) -> None:
    mask, _ = understand(DrawnMask(values=values, top=255), MaskChoice(channel="grey"))
    if len(np.unique(values)) == 2:
        assert np.array_equal(mask.as_bytes(), DISC * np.uint8(255))
    else:
        assert np.array_equal(mask.as_bytes(), values)


def test_a_dark_channel_of_16_bits_is_dark_and_said() -> None:
    dark = np.rint(BLUR * 200).astype(np.uint16)
    mask, notes = understand(DrawnMask(values=dark, top=65535), MaskChoice(channel="grey"))
    assert mask.as_bytes().max() <= 1
    assert "the highest value of mask is 200 of 65535" in notes[0]


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 43), (np.uint8, 170), (np.uint16, 43), (np.uint16, 300)])
def test_one_label_beside_what_is_not_labelled_is_refused_however_thin_and_an_edge_is_not(
    dtype: Any, value: int
) -> None:
    white = np.iinfo(dtype).max
    crescent = DISC & ~np.roll(DISC, (2, 3), (0, 1))
    labels = np.where(crescent, dtype(value), np.where(DISC, dtype(white), dtype(0)))
    refuse(rf"--label {value}|--label {white}", labels, MaskChoice(), top=white)
    edge = DISC & ~np.roll(DISC, 1, 0)
    soft = np.where(edge, dtype(white // 3), np.where(DISC, dtype(white), dtype(0)))
    assert set(np.unique(read(soft, top=white))) == {0, 85, 255}


PALETTE = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], dtype=np.uint8)


def test_colours_and_palettes_are_refused_with_what_is_in_them() -> None:
    coded = PALETTE[PARTS]
    refuse(r"colours: #000000 \(\d+ %\), #008000 .*--label '#00", coded, MaskChoice(), top=255)
    refuse(r"0 \(#000000\) .*--label [12]", PARTS, MaskChoice(), palette=PALETTE)
    refuse("has no 9; it has", PARTS, MaskChoice(label="9"), palette=PALETTE)
    refuse("is in colours", coded, MaskChoice(label="1"), top=255)
    for label in (1, 2):
        colour = f"#{''.join(f'{part:02x}' for part in PALETTE[label])}"
        wanted = np.where(label == PARTS, np.uint8(255), np.uint8(0))
        assert np.array_equal(read(PARTS, MaskChoice(label=str(label)), palette=PALETTE), wanted)
        assert np.array_equal(read(PARTS, MaskChoice(label=colour), palette=PALETTE), wanted)
        assert np.array_equal(read(coded, MaskChoice(label=colour.upper()), top=255), wanted)
        assert np.array_equal(read(coded.astype(np.uint16) * 257, MaskChoice(label=colour), top=65535), wanted)


def test_a_dark_colour_is_no_black() -> None:
    red = np.stack([DISC, 0 * DISC, 0 * DISC], axis=2).astype(np.uint8)  # 1 of 255
    refuse("#010000", red, MaskChoice(), top=255)
    mask, _ = understand(DrawnMask(values=red, top=255), MaskChoice(channel="red"))
    assert np.array_equal(mask.as_bytes(), DISC * np.uint8(255))


def test_grey_in_three_channels_and_grey_palettes_are_grey() -> None:
    three = np.repeat((DISC * np.uint8(255))[..., None], 3, axis=2)
    assert np.array_equal(read(three, top=255), DISC * np.uint8(255))
    tinted = three - np.array([0, 1, 2], dtype=np.uint8) * DISC[..., None]
    mask, notes = understand(DrawnMask(values=tinted, top=255))
    assert np.array_equal(mask.as_bytes(), DISC * np.uint8(255))
    assert "254 was taken" in notes[0]
    ramp = np.repeat(np.array([[255], [0], [128]], dtype=np.uint8), 3, axis=1)
    assert np.array_equal(read(DISC.astype(np.uint8), palette=ramp), ~DISC * np.uint8(255))
    refuse(
        "--label 7", DISC * np.uint8(7), MaskChoice(), palette=np.repeat(np.arange(8, dtype=np.uint8)[:, None], 3, 1)
    )


def test_an_alpha_channel_that_varies_is_the_mask_unless_the_colours_draw_one() -> None:
    alpha = np.rint(BLUR * 255).astype(np.uint8)
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    white = np.full((40, 60), 255, np.uint8)
    for colours in (photo, white, 0 * white, PALETTE[white // 200]):
        assert np.array_equal(read(colours, top=255, alpha=alpha), alpha)
    drawn = np.where(np.arange(60) < 30, white, 0)
    for colours in (drawn, np.repeat(drawn[..., None], 3, 2), PALETTE[1 + (drawn > 0)]):
        refuse("--channel alpha, --channel grey or --label", colours, MaskChoice(), top=255, alpha=alpha)
        assert np.array_equal(read(colours, MaskChoice(channel="alpha"), top=255, alpha=alpha), alpha)
    refuse("alpha channel that varies", PARTS, palette=PALETTE, alpha=np.where(DISC, np.uint8(255), np.uint8(0)))


def test_a_constant_alpha_channel_says_nothing() -> None:
    for alpha in (0, 120, 255):
        about = {"top": 255, "alpha": np.full((40, 60), alpha, np.uint8)}
        assert np.array_equal(read(DISC * np.uint8(255), **about), DISC * np.uint8(255))


def test_lossy_black_is_black_and_lossy_colours_are_colours() -> None:
    rng = np.random.default_rng(0)
    assert not read(rng.integers(0, 4, (40, 60), dtype=np.uint8), top=255, is_lossy=True).any()
    noisy = np.clip(PALETTE[PARTS] + rng.integers(-9, 9, (40, 60, 3)), 0, 255).astype(np.uint8)
    assert np.array_equal(read(noisy, MaskChoice(label="#800000"), top=255, is_lossy=True) == 255, PARTS == 1)
    refuse("colours", noisy, MaskChoice(), top=255, is_lossy=True)
    nearly_grey = np.repeat(np.rint(BLUR * 255)[..., None], 3, 2) + rng.integers(-4, 5, (40, 60, 3))
    understand(DrawnMask(values=np.clip(nearly_grey, 0, 255).astype(np.uint8), top=255, is_lossy=True))


def test_what_looks_like_a_photograph_is_said_or_refused() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    refuse("looks like a photograph: it has", photo, MaskChoice(), top=255)
    for values, top in (
        (photo[..., 0], 255),
        (photo[..., 0] / 255, None),
        (photo[..., 0].astype(np.uint16) * 257, 65535),
    ):
        _, notes = understand(DrawnMask(values=values, top=top))
        assert "looks like a photograph" in notes[0]


@pytest.mark.parametrize("values", [DISC, DISC * np.uint8(255), DISC * np.uint16(65535), DISC.astype(np.float32)])
def test_inverting_is_the_last_step(values: np.ndarray) -> None:
    choice = MaskChoice(is_inverted=True)
    assert np.array_equal(understand(DrawnMask(values=values), choice)[0].as_bytes(), ~DISC * np.uint8(255))
    both = MaskChoice(is_inverted=True, label="2")
    assert np.array_equal(read(PARTS, both, top=255), np.where(PARTS == 2, np.uint8(0), np.uint8(255)))


def test_channels_of_the_file_are_found_by_name_and_by_layer() -> None:
    channels = {"roto.A": DISC.astype(np.float32), "id.R": PARTS.astype(np.float32), "id.G": DISC.astype(np.float32)}
    drawn = DrawnMask(values=np.zeros((40, 60), np.float32), channels=channels)
    for name in ("roto.A", "roto", "id.G"):
        assert np.array_equal(understand(drawn, MaskChoice(channel=name))[0].as_bytes(), DISC * np.uint8(255))
    chosen, _ = understand(drawn, MaskChoice(channel="id.R", label="2"))
    assert np.array_equal(chosen.as_bytes(), np.where(PARTS == 2, np.uint8(255), np.uint8(0)))
    for name in ("id", "depth", "alpha", "red"):
        with pytest.raises(InputError, match=rf"no channel '{name}'; it has grey, roto.A, id.R"):
            understand(drawn, MaskChoice(channel=name))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 1.6), "from 1.6 to 1.6; a float mask is in"),
        (np.linspace(0, 255, 16).reshape(4, 4), "divide it by 255"),
        (np.linspace(0, 65535, 16).reshape(4, 4), "divide it by 65535"),
        (np.linspace(-1, 1, 16).reshape(4, 4), "from -1 to 1"),
        (np.full((4, 4), 70000), "to 70000"),
        (np.full((4, 4), 1j), "complex"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: np.ndarray, reason: str) -> None:
    refuse(reason, values)


def test_advice_to_divide_works() -> None:
    values = np.linspace(0, 255, 16).reshape(4, 4)
    understand(DrawnMask(values=values / 255))


def test_a_settled_mask_gives_bytes() -> None:
    assert Mask(values=np.array([[0.5, 1]], np.float32)).as_bytes().tolist() == [[128, 255]]
