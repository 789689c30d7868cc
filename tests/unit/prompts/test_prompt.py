import math

import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker
from mask2alpha.prompts.prompt import Prompt


class Recorder(AbstractMaskMaker):
    """Takes boxes only; answers with the red channel."""

    accepts = frozenset({"box"})

    def _segment(self, image, prompt):
        self.image = image
        return image[..., 0]


WHITE = np.full((4, 6, 3), 255, np.uint8)


@pytest.mark.parametrize(
    "image",
    [WHITE, WHITE[..., 0], np.full((4, 6, 3), 65535, np.uint16), np.ones((4, 6, 3)), np.ones((4, 6), np.float32)],
)
def test_images_of_every_kind_reach_the_segmenter_as_rgb8(image):
    maker = Recorder()
    maker.make_mask(image)
    np.testing.assert_array_equal(maker.image, WHITE)


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (np.zeros((4, 6, 4), np.uint8), r"shape \(4, 6, 4\)"),
        (np.zeros((0, 6, 3), np.uint8), "no pixels"),
        (np.full((4, 6), np.nan), "nan"),
        (np.full((4, 6), 2.0), "from 2 to 2"),
        (np.zeros((4, 6), np.int64), "int64"),
    ],
)
def test_other_images_are_refused(image, complaint):
    with pytest.raises(InputError, match=complaint):
        Recorder().make_mask(image)


def test_an_empty_mask_is_an_error_and_not_an_answer():
    with pytest.raises(InputError, match="Recorder finds nothing"):
        Recorder().make_mask(np.zeros((4, 6), np.uint8))


def test_a_part_that_is_not_understood_is_refused_by_name():
    with pytest.raises(InputError, match="takes no label or target; it takes box"):
        Recorder().make_mask(WHITE, Prompt(target=(((1, 1),),), label="cat"))


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        (Prompt(box_xyxy=(3, 0, 3, 4)), "covers nothing"),
        (Prompt(box_xyxy=(0, math.nan, 3, 4)), "covers nothing"),
        (Prompt(box_xyxy=(6, 0, 9, 4)), "6 wide and 4 high"),
        (Prompt(target=((),)), "stroke in target has no point"),
        (Prompt(rest=(((1, 1), (6, 1)),)), r"rest point \(6, 1\) is outside"),
        (Prompt(target=(((math.nan, 1),),)), "outside"),
        (Prompt(target=(((1, 1),),), brush=0), "brush is 0 pixels"),
    ],
)
def test_prompts_that_do_not_lie_on_the_photograph_are_refused(prompt, complaint):
    with pytest.raises(InputError, match=complaint):
        prompt.check((4, 6))


def test_a_box_may_reach_over_the_edge():
    Prompt(box_xyxy=(-3, -1, 9, 9)).check((4, 6))
