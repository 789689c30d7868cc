"""What the predictor returns: an encoded image, to be reused for many masks, and a matte."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.box import Box, spread
from mask2alpha.model.fast.resampling import upsample
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE
from mask2alpha.model.values import ImageEncoding, MattingOutput
from mask2alpha.ops.compositing import composite
from mask2alpha.ops.edges import EdgeOptions, apply_edges
from mask2alpha.ops.padding import pad_to_multiple, padded_size
from mask2alpha.ops.resize import resize
from mask2alpha.ops.units import as_unit
from mask2alpha.pipeline.foreground import estimate_foreground
from mask2alpha.pipeline.preprocess import colours_to_tensor
from mask2alpha.shapes import Size

Colour: TypeAlias = tuple[float | int, float | int, float | int]
"""Red, green, blue, each in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class EncodedImage:
    """An image after the part of the network that depends on the image alone; valid for the predictor that made it."""

    image: NDArray[Any]
    """The array that was encoded, unchanged."""
    pixels: Shaped[Tensor, "1 3 height width"]
    """The same for the detail stage, on the predictor's device: uint8, or floats in [0, 1]; `factor` times as large."""
    encoding: ImageEncoding
    """The network's encoding, possibly of a smaller version."""

    @property
    def size(self) -> Size:
        """(height, width) of `image`."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def factor(self) -> Fraction:
        """How much larger than `image` it is matted: 2 for a small photo, 3/2 for a larger one, else 1."""
        return Fraction(round(2 * max(self.pixels.shape[2:]) / max(self.size)), 2)

    @property
    def padded_size(self) -> Size:
        """(height, width) that the encoding spans, in pixels of `image`; multiples of 64 unless it is enlarged."""
        return self.in_photo(padded_size((self.pixels.shape[2], self.pixels.shape[3]), STRIDE_MULTIPLE))

    def in_photo(self, size: Size) -> Size:
        """A (height, width) of `pixels` in pixels of `image`, rounded."""
        return round(size[0] / self.factor), round(size[1] / self.factor)

    @property
    def padded(self) -> Float[Tensor, "1 3 _height _width"]:
        """The image at its working size, padded, as `Mask2Alpha` takes it; computed at each call, 12 bytes a pixel."""
        return pad_to_multiple(as_unit(self.pixels), STRIDE_MULTIPLE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """What the network did in the run that made a matte; tensors on the predictor's device."""

    encoding: ImageEncoding
    """The encoding of the image."""
    mask: Float[Tensor, "1 1 height width"]
    """The mask as stages 1 and 2 read it, in [0, 1], at the encoded size."""
    output: MattingOutput
    """The active cells, and the coarse matte with its steps (`coarse.trace`)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matte:
    """The matte of one image and one mask, and the outputs that can be made of them."""

    alpha: NDArray[np.float32]
    """(H, W), in [0, 1]; exactly 0 or 1 where the network was within 1/255 of it."""
    image: NDArray[Any]
    """The image that was matted; not a copy."""
    coarse_error: NDArray[np.float32]
    """`predicted_error` at the resolution of the decoder, (h, w)."""
    spanned: Size
    """(height, width) that `coarse_error` of the whole image spans, in pixels of the image, its upper left part."""
    box: Box | None = None
    """The part of the encoded image that `coarse_error` shows, for a small target; None: all of it."""
    trace: Trace | None = None
    """What the network did, if it was asked for; None for an empty or a full mask, which the network never sees."""

    @property
    def predicted_error(self) -> NDArray[np.float32]:
        """(H, W), in [0, 1]: the network's guess at |alpha - truth| before the detail stage; high where unsure.

        Computed from `coarse_error` at each call.
        """
        coarse = torch.from_numpy(self.coarse_error)[None, None]
        with torch.no_grad():
            return upsample(spread(coarse, self.box), self.alpha.shape, spanned=self.spanned)[0, 0].numpy()

    def with_image(self, image: NDArray[Any]) -> "Matte":
        """This matte over other values of the same photo: another depth, other primaries, or linear light.

        Args:
            image: (H, W, 3) or grey (H, W) of the same size; uint8, uint16, or floats, which may leave [0, 1].

        Raises:
            InputError: It has another size.
        """
        if image.shape[:2] != self.alpha.shape:
            raise InputError(f"image is {image.shape[:2]}, the matte {self.alpha.shape}; they must be of one size")
        return replace(self, image=image)

    def placed_in(self, image: NDArray[Any], rows: slice, columns: slice) -> "Matte":
        """This matte of a part of an image as a matte of the whole, whose alpha is 0 outside the part.

        Args:
            image: The whole: (H, W, 3) or grey (H, W).
            rows: Where the part is; as many as the matte has.
            columns: The same.
        """
        if self.alpha.shape == image.shape[:2]:
            return self
        maps = np.zeros((2, *image.shape[:2]), np.float32)
        maps[0, rows, columns], maps[1, rows, columns] = self.alpha, self.predicted_error
        return Matte(alpha=maps[0], image=image, coarse_error=maps[1], spanned=(image.shape[0], image.shape[1]))

    def with_edges(self, edges: EdgeOptions) -> "Matte":
        """This matte with a changed edge; its colours are then estimated for the new alpha.

        Args:
            edges: Which controls to apply; those at their defaults leave alpha as it is, bit for bit.
        """
        return replace(self, alpha=apply_edges(self.alpha, edges))

    def foreground(self) -> NDArray[Any]:
        """The target's own colours without the old background: (H, W, 3), in the image's dtype.

        Where alpha is 1 they are the image's, bit for bit. Where it is 0 they continue the colours nearby, so that
        nothing of the background is left to shine through.
        """
        return self._as_image(self._foreground())

    def cutout(self, *, is_premultiplied: bool = False) -> NDArray[Any]:
        """`foreground()` with alpha as the fourth channel: (H, W, 4), the image's dtype.

        Args:
            is_premultiplied: Whether the colours are multiplied by alpha.
        """
        alpha = self._alpha()
        colours = self._foreground()
        return self._as_image(torch.cat([colours * alpha if is_premultiplied else colours, alpha]))

    def composite(self, background: NDArray[Any] | Colour) -> NDArray[Any]:
        """The target over another background: (H, W, 3), the image's dtype.

        Args:
            background: A colour, three numbers in [0, 1], or an image of any accepted kind, which is scaled to cover
                the frame and cropped around its centre; its values mean what the image's mean.

        Raises:
            InputError: `background` is neither.
        """
        alpha = self._alpha()
        return self._as_image(composite(self._foreground(), self._background(background), alpha))

    def _background(self, background: NDArray[Any] | Colour) -> Float[Tensor, "3 height width"]:
        height, width = self.alpha.shape
        if isinstance(background, tuple):
            if len(background) != 3 or not all(0 <= channel <= 1 for channel in background):
                raise InputError(f"background colour {background} cannot be used; accepted: three numbers in [0, 1]")
            return torch.tensor(background, dtype=torch.float32).view(3, 1, 1).expand(3, height, width)
        colours, scale = colours_to_tensor(background)
        return cover(colours, (height, width))[0] * scale

    def _alpha(self) -> Float[Tensor, "1 height width"]:
        return torch.from_numpy(self.alpha)[None]

    def _foreground(self) -> Float[Tensor, "3 height width"]:
        colours, scale = colours_to_tensor(self.image)
        return estimate_foreground(colours[0], self._alpha()) * scale

    def _as_image(self, x: Float[Tensor, "channels height width"]) -> NDArray[Any]:
        array = x.permute(1, 2, 0).numpy()
        if np.issubdtype(self.image.dtype, np.floating):
            array = np.minimum(array, np.finfo(self.image.dtype).max)
        else:
            array = np.rint(np.clip(array, 0, 1) * np.iinfo(self.image.dtype).max)
        result = np.ascontiguousarray(array, dtype=self.image.dtype)
        own = self.image[..., None] if self.image.ndim == 2 else self.image
        np.copyto(result[..., :3], own, where=(self.alpha == 1)[..., None])
        return result


def cover(image: Float[Tensor, "1 3 _h _w"], size: Size) -> Float[Tensor, "1 3 height width"]:
    """Scale an image, keeping its shape, until it covers (height, width), and crop around its centre."""
    height, width = size
    factor = max(height / image.shape[2], width / image.shape[3])
    scaled = max(height, round(image.shape[2] * factor)), max(width, round(image.shape[3] * factor))
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return resize(image, scaled)[:, :, top : top + height, left : left + width]
