"""The interface of predictors, which the command line, the service, batches and evaluation use."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mask2alpha.ops.masks import Mask
from mask2alpha.pipeline.matte import EncodedImage, Matte


class AbstractPredictor(ABC):
    """Image and mask arrays of any size in, mattes out; nothing is remembered between calls."""

    @abstractmethod
    def encode(self, image: NDArray[Any]) -> EncodedImage:
        """Compute what depends on the image alone; pass the value to `predict` for each mask."""

    @abstractmethod
    def predict(self, image: NDArray[Any] | EncodedImage, mask: NDArray[Any] | Mask) -> Matte:
        """Matte one image with one mask: an array (H, W), or a `Mask`, whose meaning is known."""

    @abstractmethod
    def predict_instances(
        self,
        image: NDArray[Any] | EncodedImage,
        masks: NDArray[Any] | Sequence[NDArray[Any] | Mask] | Mapping[str, NDArray[Any] | Mask],
        *,
        is_exclusive: bool = False,
    ) -> tuple[Matte, ...]:
        """Matte one image with each of the masks; the keys of a mapping are their names in messages.

        `is_exclusive`: see `share_alpha`; otherwise, the masks do not change each other's mattes.
        """
