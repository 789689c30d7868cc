"""The pictures made of a matte and its photograph; the command, the service and batches share them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.imaging.colour import from_srgb_primaries
from mask2alpha.imaging.photo import Photo
from mask2alpha.pipeline.matte import Colour, Matte


def scaled(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] as a dtype holds them: integers up to the dtype's largest, floats as they are."""
    values = values.astype(np.float32, copy=False)
    return values.astype(dtype) if dtype.kind == "f" else np.rint(values * np.iinfo(dtype).max).astype(dtype)


def make_passes(matte: Matte) -> dict[str, NDArray[Any]]:
    """The layers of `passes`: the premultiplied cut-out, as OpenEXR expects it, and what it is made of."""
    dtype = matte.image.dtype
    return {
        "": matte.cutout(is_premultiplied=True),
        "foreground": matte.foreground(),
        "photo": matte.image,
        "alpha": scaled(matte.alpha, dtype),
        "error": scaled(matte.predicted_error, dtype),
    }


def background_for(photo: Photo, background: Photo) -> NDArray[Any] | Colour:
    """The background in the values and primaries of a photograph that is about to be composited over it.

    Args:
        photo: As it is written.
        background: A picture; of one pixel where it is a colour.
    """
    pixels = background.in_srgb().pixels
    if photo.is_linear:
        pixels = background.for_output(".exr", 32).pixels
        if photo.primaries is not None:
            pixels = from_srgb_primaries(pixels, photo.primaries)
    if pixels.shape[:2] != (1, 1):
        return pixels
    top = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    red, green, blue = (float(value) / top for value in pixels[0, 0])
    return red, green, blue


def comparison_panels(
    matte: Matte, mask: NDArray[np.uint8], background: NDArray[Any] | Colour
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Photo, mask over the photo, alpha and composite, each (H, W, 3) in the photo's dtype.

    Args:
        matte: Of (H, W).
        mask: 0 to 255, of any size: its nearest pixels are shown.
        background: As for `Matte.composite`.
    """
    photo = matte.image
    height, width = matte.alpha.shape
    rows, columns = np.arange(height) * mask.shape[0] // height, np.arange(width) * mask.shape[1] // width
    share = mask[rows][:, columns, None].astype(np.float32) / 255 * 0.5
    red = scaled(np.array([1.0, 0.1, 0.1], dtype=np.float32), photo.dtype)
    overlay = photo * (1 - share) + red * share
    overlay = overlay.astype(photo.dtype) if photo.dtype.kind == "f" else np.rint(overlay).astype(photo.dtype)
    alpha = np.repeat(scaled(matte.alpha, photo.dtype)[..., None], 3, axis=2)
    return photo, overlay, alpha, matte.composite(background)
