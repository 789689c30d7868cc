import sys
from pathlib import Path

import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.prompts.grabcut import GrabCut
from mask2alpha.prompts.prompt import Prompt

EXAMPLES = Path(__file__).parents[3] / "examples"


def overlap(mask, truth):
    """Intersection over union of what is above one half."""
    target, true_target = mask > 127, truth > 127
    return (target & true_target).sum() / (target | true_target).sum()


@pytest.fixture
def disc(rng):
    """A red disc of radius 30 at (100, 60) on noisy grey, 200 wide and 120 high, and its mask."""
    y, x = np.mgrid[:120, :200]
    truth = (x - 100) ** 2 + (y - 60) ** 2 < 30**2
    image = np.where(truth[..., None], (200, 30, 30), (110, 110, 110)) + rng.normal(0, 8, (120, 200, 3))
    return image.clip(0, 255).astype(np.uint8), truth * np.uint8(255)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(box_xyxy=(65, 25, 136, 96)),
        Prompt(target=(((100, 60),),)),
        Prompt(target=(((90, 50), (110, 70)),), rest=(((10, 10), (190, 10)),)),
        Prompt(box_xyxy=(40, 10, 160, 110), target=(((100, 60),),), brush=6),
    ],
    ids=["box", "point", "strokes", "box and point"],
)
def test_finds_a_disc(disc, prompt):
    image, truth = disc
    mask = GrabCut().make_mask(image, prompt)
    assert set(np.unique(mask)) == {0, 255}
    assert overlap(mask, truth) > 0.95


def test_a_large_photograph_is_cut_small_and_the_mask_is_of_its_size(disc):
    image, truth = (np.kron(array, np.ones((8, 8, 1)[: array.ndim], np.uint8)) for array in disc)
    mask = GrabCut(max_side=160).make_mask(image, Prompt(box_xyxy=(500, 180, 1100, 780)))
    assert overlap(mask, truth) > 0.95


def test_a_small_target_in_a_large_photograph_is_cut_as_finely_as_a_large_one(disc):
    large, large_truth = (np.pad(array, ((900, 900), (1500, 900), (0, 0))[: array.ndim], mode="edge") for array in disc)
    mask = GrabCut().make_mask(large, Prompt(box_xyxy=(1565, 925, 1636, 996)))
    assert overlap(mask, large_truth) > 0.95
    assert not mask[:900].any()


def test_the_same_prompt_gives_the_same_mask(disc):
    image, _ = disc
    prompt = Prompt(box_xyxy=(40, 10, 160, 110))
    np.testing.assert_array_equal(GrabCut().make_mask(image, prompt), GrabCut().make_mask(image, prompt))


def test_specks_and_pinholes_go_and_what_a_stroke_touches_stays(disc):
    image, truth = disc
    image[10:14, 20:24] = image[60, 100]  # a red speck outside
    image[58:62, 98:102] = 110  # a grey pinhole inside
    box = (15, 5, 140, 100)
    without = GrabCut().make_mask(image, Prompt(box_xyxy=box))
    assert not without[:20, :40].any()
    assert without[60, 100] == 255
    touched = GrabCut().make_mask(image, Prompt(box_xyxy=box, target=(((22, 12),),), rest=(((100, 60),),), brush=2))
    assert touched[12, 22] == 255
    assert touched[60, 100] == 0
    assert overlap(touched, truth) > 0.9


def test_a_box_that_nearly_reaches_the_edge_means_the_edge(disc):
    image, truth = (np.ascontiguousarray(array[:, 80:]) for array in disc)  # the disc is cut by the left edge
    mask = GrabCut().make_mask(image, Prompt(box_xyxy=(1, 25, 55, 96)))
    assert overlap(mask, truth) > 0.95
    assert mask[60, 0] == 255


def test_says_what_is_missing(disc):
    image, _ = disc
    with pytest.raises(InputError, match="box around the target or a stroke over it"):
        GrabCut().make_mask(image, Prompt(rest=(((1, 1),),)))
    with pytest.raises(InputError, match="no pixel outside of it"):
        GrabCut().make_mask(image, Prompt(box_xyxy=(0, 0, 200, 120)))
    with pytest.raises(InputError, match="no pixel for the target"):
        GrabCut().make_mask(image, Prompt(box_xyxy=(50, 50, 60, 60), rest=(((55, 55),),), brush=40))


def test_names_the_extra_where_opencv_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"mask2alpha\[prompts\]"):
        GrabCut()


@pytest.mark.parametrize(
    ("photo", "mask", "prompt", "least"),
    [
        ("chelsea", "chelsea", Prompt(box_xyxy=(5, 0, 400, 300)), 0.9),
        ("astronaut", "astronaut__helmet", Prompt(box_xyxy=(275, 340, 511, 511)), 0.85),
        (
            "astronaut",
            "astronaut",
            Prompt(
                box_xyxy=(14, 8, 512, 512),
                target=(
                    ((190, 60), (230, 45), (275, 75)),
                    ((60, 320), (160, 330), (300, 330)),
                    ((310, 480), (470, 390)),
                ),
                rest=(((20, 20), (60, 160), (100, 200)), ((420, 30), (440, 200), (400, 270)), ((390, 300), (505, 330))),
            ),
            0.9,
        ),
    ],
)
def test_photographs(photo, mask, prompt, least):
    image = read_image(EXAMPLES / "photos" / f"{photo}.png").pixels
    assert overlap(GrabCut().make_mask(image, prompt), read_mask(EXAMPLES / "masks" / f"{mask}.png")) > least
