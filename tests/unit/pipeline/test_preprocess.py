import numpy as np
import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.ops.masks import Mask
from mask2alpha.pipeline.preprocess import image_to_tensor, mask_to_tensor, split_masks


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1), (np.float16, 1)]
)
def test_every_kind_of_image_is_scaled_to_one(dtype: type, top: int) -> None:
    image = np.zeros((2, 3, 3), dtype=dtype)
    image[1, 2] = (top, 0, top)
    tensor = image_to_tensor(image)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (1, 3, 2, 3)
    assert tensor[0, :, 1, 2].tolist() == [1, 0, 1]


def test_grey_is_repeated() -> None:
    grey = np.array([[0, 255]], dtype=np.uint8)
    assert torch.equal(image_to_tensor(grey), image_to_tensor(np.repeat(grey[..., None], 3, axis=2)))
    assert torch.equal(image_to_tensor(grey[..., None]), image_to_tensor(grey))


def test_a_view_and_a_read_only_image_are_accepted() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    flipped = image[::-1, ::-1]
    flipped.flags.writeable = False
    assert torch.equal(image_to_tensor(flipped), image_to_tensor(flipped.copy()))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ([[1, 2]], "not a NumPy array"),
        (np.zeros((4, 4, 4), np.uint8), "composite it over a background"),
        (np.zeros((3, 8, 8), np.uint8), "channel-first"),
        (np.zeros((1, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((0, 8, 3), np.uint8), "0 x 8"),
        (np.zeros((1, 65_501), np.uint8), "65501"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
        (np.zeros((8, 8, 3), bool), "bool"),
        (np.full((8, 8, 3), 255.0), "divide it by 255"),
        (np.full((8, 8, 3), -0.1), "from -0.1"),
        (np.full((8, 8, 3), np.nan), "not finite"),
        (np.full((8, 8, 3), np.inf), "not finite"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(image: object, reason: str) -> None:
    with pytest.raises(InputError, match=r"^image .*" + reason):
        image_to_tensor(image)


@pytest.mark.parametrize(
    "mask",
    [
        np.array([[False, True]]),
        np.array([[0, 1]], dtype=np.uint8),
        np.array([[0, 255]], dtype=np.uint8),
        np.array([[0, 1]]),
        np.array([[0, 255]]),
        np.array([[0, 65535]], dtype=np.uint16),
        np.array([[0.0, 1.0]]),
    ],
)
def test_every_kind_of_mask_means_the_same(mask: np.ndarray) -> None:
    assert mask_to_tensor(mask, (1, 2)).tolist() == [[[[0, 1]]]]


def test_soft_masks_and_trimaps_stay_soft() -> None:
    assert mask_to_tensor(np.array([[0.25, 0.5]]), (1, 2)).flatten().tolist() == [0.25, 0.5]
    trimap = mask_to_tensor(np.array([[0, 128, 255]], dtype=np.uint8), (1, 3)).flatten()
    assert trimap.tolist() == pytest.approx([0, 128 / 255, 1])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ("mask.png", "not a NumPy array"),
        (np.zeros((8, 8, 3), bool), "colour image"),
        (np.zeros((2, 8, 8), bool), "predict_instances"),
        (np.zeros((8,), bool), "shape"),
        (np.zeros((8, 0), bool), "8 x 0"),
        (np.full((8, 8), 7, np.uint8), "map of labels"),
        (np.full((8, 8), -1), "from -1"),
        (np.full((8, 8), 300), "to 300"),
        (np.full((8, 8), 255.0), "divide it by 255"),
        (np.full((8, 8), np.nan), "not finite"),
        (np.full((8, 8), "x"), "type"),
    ],
)
def test_what_is_no_mask_is_refused_with_the_reason(mask: object, reason: str) -> None:
    with pytest.raises(InputError, match=r"^mask .*" + reason):
        mask_to_tensor(mask, (8, 8))


def test_a_mask_of_another_size_is_resized_with_a_warning_and_stays_binary() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 2:6] = True
    with pytest.warns(UserWarning, match="8 x 8 was resized to the image's 32 x 16"):
        resized = mask_to_tensor(mask, (32, 16), fit="stretch")
    assert resized.shape == (1, 1, 32, 16)
    assert resized.unique().tolist() == [0, 1]
    assert resized.mean().item() == pytest.approx(0.25, abs=0.05)


def test_a_soft_mask_of_another_size_stays_soft() -> None:
    with pytest.warns(UserWarning, match="resized"):
        resized = mask_to_tensor(np.array([[0.2, 0.6]]), (1, 8), fit="stretch")
    assert resized.unique().numel() > 2


@pytest.mark.parametrize("shape", [(4, 6, 1), (1, 4, 6), (1, 1, 4, 6), (1, 4, 6, 1), (4, 6, 1, 1)])
def test_axes_of_length_one_do_not_matter(shape: tuple[int, ...]) -> None:
    mask = np.arange(24).reshape(4, 6) > 9
    assert torch.equal(mask_to_tensor(mask.reshape(shape), (4, 6)), mask_to_tensor(mask, (4, 6)))


def test_a_stack_is_sent_where_it_is_taken() -> None:
    stack = np.zeros((4, 6, 5), bool)
    with pytest.raises(InputError, match=r"mask\.transpose\(2, 0, 1\) goes to predict_instances"):
        mask_to_tensor(stack, (4, 6))
    with pytest.raises(InputError, match=r"masks\.transpose\(2, 0, 1\) brings the masks to the front"):
        split_masks(stack, (4, 6))
    assert len(split_masks(stack.transpose(2, 0, 1), (4, 6))) == 5
    with pytest.raises(InputError, match="one mask goes to predict"):
        split_masks(stack[..., 0], (4, 6))
    for shape in ((5, 1, 4, 6), (5, 4, 6, 1)):
        assert [each.shape for each in split_masks(np.zeros(shape, bool), (4, 6))] == [(4, 6)] * 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_and_overshoot_of_resampling_are_clamped(dtype: type) -> None:
    mask = np.array([[-0.2, 0, 0.5, 1, 1.001, 1.3]], dtype=dtype)
    assert mask_to_tensor(mask, (1, 6)).flatten().tolist() == [0, 0, 0.5, 1, 1, 1]
    image = np.array([[-0.01, 0.5, 1.0005, 1.06]], dtype=dtype)
    assert image_to_tensor(image)[0, 0].flatten().tolist() == [0, 0.5, 1, 1]


def test_advice_to_divide_works() -> None:
    for top in (255, 65535):
        image = np.linspace(0, top, 12).reshape(2, 6)
        with pytest.raises(InputError, match=f"divide it by {top}"):
            image_to_tensor(image)
        with pytest.raises(InputError, match=f"divide it by {top}"):
            mask_to_tensor(image, (2, 6))
        image_to_tensor(image / top)
        mask_to_tensor(image / top, (2, 6))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32])
def test_advice_on_labels_works(dtype: type) -> None:
    mask = np.repeat(np.repeat(np.array([[0, 7], [9, 0]], dtype=dtype), 8, 0), 8, 1)
    with pytest.raises(InputError, match=r"0 \(50 %\), [79] \(25 %\).*for example mask == [79], or floats"):
        mask_to_tensor(mask, (16, 16))
    assert mask_to_tensor(mask == 7, (16, 16)).mean() == 0.25


def test_a_mask_whose_values_are_settled_is_not_asked_again() -> None:
    levels = np.repeat(np.array([[0, 85, 170, 255]], dtype=np.uint8), 8, 1).repeat(32, 0)
    with pytest.raises(InputError, match="map of labels"):
        mask_to_tensor(levels, (32, 32))
    assert mask_to_tensor(Mask(values=levels), (32, 32))[0, 0, 0, 8] == pytest.approx(85 / 255)


def test_another_aspect_is_refused_with_advice_for_arrays() -> None:
    with pytest.raises(InputError, match=r"the sides are swapped; turn it, or resize it to the photo's size first"):
        mask_to_tensor(np.eye(8, 12) > 0, (12, 8))


def test_masks_are_split() -> None:
    assert len(split_masks(np.zeros((3, 4, 5), bool))) == 3
    assert len(split_masks([np.zeros((4, 5), bool)])) == 1
    with pytest.raises(InputError, match=r"^masks of shape"):
        split_masks(np.zeros((4, 5), bool))
    with pytest.raises(InputError, match=r"^masks is a str"):
        split_masks("masks")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_byte_order_does_not_matter(dtype: type, rng: np.random.Generator) -> None:
    top = 65535 if dtype is np.uint16 else 1
    native = (rng.random((4, 5, 3)) * top).astype(dtype)
    swapped = native.astype(native.dtype.newbyteorder())
    assert torch.equal(image_to_tensor(swapped), image_to_tensor(native))
    assert torch.equal(mask_to_tensor(swapped[..., 0], (4, 5)), mask_to_tensor(native[..., 0], (4, 5)))


def test_the_layout_in_memory_does_not_matter(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    mask = image[..., 0] > 127
    for view in (np.s_[::-1, ::-1], np.s_[::2, ::2], np.s_[1:4, 2:7]):
        assert torch.equal(image_to_tensor(image[view]), image_to_tensor(image[view].copy()))
        size = mask[view].shape
        assert torch.equal(mask_to_tensor(mask[view], size), mask_to_tensor(mask[view].copy(), size))
    turned = image.transpose(1, 0, 2)
    assert torch.equal(image_to_tensor(turned), image_to_tensor(turned.copy()))
