"""rembg is not needed for the tests: a module with its three names stands in, as its documentation has them."""

import sys
from types import ModuleType

import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.prompts.makers import NAMES, make_mask_maker
from mask2alpha.prompts.prompt import Prompt
from mask2alpha.prompts.salient import Rembg


@pytest.fixture
def rembg(monkeypatch):
    """`remove(..., only_mask=True)` answers with the red channel; the session remembers what it saw."""
    module = ModuleType("rembg")

    class Session:
        def __init__(self, name):
            self.name = name

    def new_session(name):
        if name != "u2net":
            raise ValueError(f"No session class found for model '{name}'")
        return Session(name)

    def remove(data, *, session, only_mask):
        assert isinstance(data, np.ndarray)
        assert data.flags.c_contiguous
        assert only_mask
        session.seen = data.shape
        return data[..., 0]

    module.new_session, module.remove = new_session, remove
    monkeypatch.setitem(sys.modules, "rembg", module)
    return module


@pytest.fixture
def image(rng):
    return rng.integers(128, 255, (6, 8, 3), dtype=np.uint8)


def test_the_mask_is_the_sessions(rembg, image):
    np.testing.assert_array_equal(make_mask_maker("rembg:u2net").make_mask(image), image[..., 0])


def test_a_box_says_where_to_look(rembg, image):
    session = rembg.new_session("u2net")
    mask = Rembg(session).make_mask(image, Prompt(box_xyxy=(1.5, 2, 99, 5)))
    assert session.seen == (3, 7, 3)
    expected = np.zeros((6, 8), np.uint8)
    expected[2:5, 1:] = image[2:5, 1:, 0]
    np.testing.assert_array_equal(mask, expected)


def test_an_unknown_session_is_refused(rembg):
    with pytest.raises(InputError, match="rembg has no session 'nonsense'"):
        make_mask_maker("rembg:nonsense")


def test_points_are_refused(rembg, image):
    with pytest.raises(InputError, match="Rembg takes no target; it takes box"):
        Rembg().make_mask(image, Prompt(target=(((1, 1),),)))


def test_says_how_to_get_rembg(monkeypatch):
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(InputError, match="pip install"):
        Rembg()


@pytest.mark.parametrize("name", ["nonsense", "sam", "rembg:", "grabcut:fast", ""])
def test_unknown_segmenters_are_refused_with_a_list(name):
    with pytest.raises(InputError, match=f"accepted: {', '.join(NAMES)}"):
        make_mask_maker(name)
