"""Reading the mask of a photo: what it means, and how it lies over the photo."""

import warnings
from pathlib import Path

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.decode import MAX_PIXELS, read_mask
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Mask, MaskChoice
from mask2alpha.shapes import Size


def read_fitted_mask(
    path: str | Path,
    size: Size,
    *,
    orientation: int = 1,
    choice: MaskChoice | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Mask:
    """Read a mask and bring it to the size of its photo; what was guessed or done is a `UserWarning`.

    Args:
        path: The mask's file.
        size: (height, width) of the upright photo.
        orientation: The photo's EXIF orientation, which has been undone.
        choice: What the user says about the mask.
        max_pixels: Largest mask accepted, width times height.

    Raises:
        ImageFileError: The file cannot be read, what it marks is ambiguous, or its aspect is not the photo's.
    """
    choice = choice or MaskChoice()
    values = read_mask(path, choice=choice, max_pixels=max_pixels)
    try:
        mask, notes = fit_mask(Mask(values=values), size, orientation=orientation, fit=choice.fit, name="the mask")
    except InputError as error:
        raise ImageFileError(f"{path}: {error}") from error
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return mask
