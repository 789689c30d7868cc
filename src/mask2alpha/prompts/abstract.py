"""The interface that every segmenter of this folder has."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.prompts.prompt import Prompt


class AbstractMaskMaker(ABC):
    """A photograph and a prompt in, a rough mask out; nothing is remembered between calls."""

    accepts: ClassVar[frozenset[str]]
    """The parts of a prompt that it understands, of "box", "target", "rest" and "label"."""

    @final
    def make_mask(self, image: NDArray[Any], prompt: Prompt | None = None) -> UInt8[np.ndarray, "height width"]:
        """Make the rough mask that `Predictor.predict` takes.

        Args:
            image: (H, W, 3) or grey (H, W); uint8, uint16 or float in [0, 1].
            prompt: What is meant; default: whatever the segmenter takes for the target.

        Returns:
            (H, W), 0 to 255; 255 on the target.

        Raises:
            InputError: The image or the prompt cannot be used, the segmenter understands no such prompt, or it finds
                nothing that fits.
        """
        prompt = prompt or Prompt()
        pixels = _to_rgb8(image)
        prompt.check(pixels.shape[:2])
        if not_understood := sorted(prompt.parts - self.accepts):
            raise InputError(
                f"{type(self).__name__} takes no {' or '.join(not_understood)}; it takes "
                f"{', '.join(sorted(self.accepts)) or 'the photograph alone'}"
            )
        mask = self._segment(pixels, prompt)
        assert mask.shape == pixels.shape[:2]
        if mask.max() < 128:
            raise InputError(f"{type(self).__name__} finds nothing that fits the prompt; say more about the target")
        return mask

    @abstractmethod
    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        """As `make_mask`, for an image in 8 bits and a prompt that has been checked; black where nothing is found."""


def _to_rgb8(image: NDArray[Any]) -> UInt8[np.ndarray, "height width 3"]:
    accepted = "(height, width, 3) or (height, width), uint8, uint16 or float in [0, 1]"
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise InputError(f"image is of shape {image.shape}; accepted: {accepted}")
    if min(image.shape) < 1:
        raise InputError(f"image of shape {image.shape} has no pixels")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):  # also where there is a NaN
            raise InputError(f"image has values from {image.min():g} to {image.max():g}; a float image is in [0, 1]")
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise InputError(f"image is of type {image.dtype}; accepted: {accepted}")
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(colours)
