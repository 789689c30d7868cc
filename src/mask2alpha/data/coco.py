"""Natural photographs with instance masks: COCO's annotations, with a decoder of our own for polygons and RLE.

The masks are hard and coarse, so they are no truth for mattes; they are cut-outs for distractors, and guidance for
training that needs no alpha.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.datasets import check_headers
from mask2alpha.data.sources import read_photo
from mask2alpha.errors import InputError

_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class InstancePhoto:
    """A photograph with the masks of things in it."""

    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    masks: NDArray[np.bool_]
    """(instances, height, width), at least one instance."""


class CocoInstances:
    """Photographs of COCO with their annotated instances, decoded when drawn.

    ROOT/
      train2017/NAME.jpg
      annotations/instances_train2017.json

    Crowds (one annotation for many people) are left out, and so are photographs without any other instance. The
    annotations of all of train2017 take some gigabytes of memory while they are read.
    """

    def __init__(
        self, root: Path | str, split: str = "train2017", *, categories: Sequence[str] = (), min_area: float = 0.0
    ) -> None:
        """Read the annotations.

        Args:
            root: Folder of the split's photographs and of `annotations`.
            split: Name of the photographs' folder.
            categories: Names of the things wanted, e.g. "person"; empty: all.
            min_area: Smallest area of an instance, as a share of its photograph, in [0, 1].

        Raises:
            InputError: A folder or file is missing or broken, or a category is unknown; names it.
        """
        self._folder = Path(root) / split
        path = Path(root) / "annotations" / f"instances_{split}.json"
        content = _read_annotations(path)
        wanted = _category_ids(content["categories"], categories, path)
        images = {image["id"]: image for image in content["images"]}
        by_image: dict[int, list[Any]] = {}
        for annotation in content["annotations"]:
            image = images.get(annotation["image_id"])
            if image is None:
                raise InputError(
                    f"{path}: annotation {annotation.get('id')} is of image {annotation['image_id']}, absent"
                )
            is_large = annotation["area"] >= min_area * image["height"] * image["width"]
            if not annotation.get("iscrowd", 0) and annotation["category_id"] in wanted and is_large:
                by_image.setdefault(image["id"], []).append(annotation["segmentation"])
        self._entries = [
            (images[number]["file_name"], (images[number]["height"], images[number]["width"]), shapes)
            for number, shapes in sorted(by_image.items())
        ]
        if not self._entries:
            raise InputError(f"{path}: no instances of the kind wanted")
        problems = check_headers([self._folder / name for name, _, _ in self._entries])
        if problems:
            raise InputError(f"{len(problems)} photographs cannot be used:\n" + "\n".join(problems[:10]))

    def __len__(self) -> int:
        return len(self._entries)

    def draw(self, rng: np.random.Generator) -> InstancePhoto:
        """Draw one photograph with all its instances.

        Raises:
            InputError: The file is broken or of another size than annotated; names it.
        """
        return self[int(rng.integers(len(self)))]

    def __getitem__(self, index: int) -> InstancePhoto:
        name, size, shapes = self._entries[index]
        image = read_photo(self._folder / name, _UNLIMITED)
        if image.shape[:2] != size:
            raise InputError(f"{self._folder / name}: its size is {image.shape[:2]}, the annotations say {size}")
        return InstancePhoto(image, np.stack([decode_segmentation(shape, size) for shape in shapes]))


def decode_segmentation(shape: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A COCO segmentation as a mask of `size`, (height, width).

    Args:
        shape: Polygons, each a flat list x, y, x, y, ... in pixels from the picture's corner (their union is meant);
            or an RLE with `size` and `counts`, the counts a list or COCO's compressed text.
        size: Of the photograph.

    Raises:
        InputError: It is neither.
    """
    if isinstance(shape, Mapping):
        if tuple(shape.get("size", ())) != size:
            raise InputError(f"an RLE of size {shape.get('size')} for a photograph of {size}")
        counts = shape["counts"]
        return decode_rle(parse_counts(counts) if isinstance(counts, str) else counts, size)
    mask = np.zeros(size, np.uint8)
    for polygon in shape:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        # Coordinates are of pixels' corners, OpenCV's of their centres; sixteenths of a pixel are kept.
        cv2.fillPoly(mask, [np.rint((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(np.bool_)


def decode_rle(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Run lengths, zeros first, down the columns, as a mask of `size`, (height, width).

    Raises:
        InputError: The runs are negative or do not fill the mask.
    """
    runs = np.asarray(counts, np.int64)
    if (runs < 0).any() or int(runs.sum()) != size[0] * size[1]:
        raise InputError(f"an RLE of {int(runs.sum())} pixels for a photograph of {size}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(values.reshape(size[1], size[0]).T)


def parse_counts(text: str) -> list[int]:
    """COCO's compressed run lengths.

    A number is a sequence of characters of five bits each, lowest first, the character being 48 more; the sixth bit
    says that more follow, and the fifth of the last one is the sign. From the fourth number on, each is the difference
    from the last but one.

    Raises:
        InputError: A character is out of range, or the text ends within a number.
    """
    counts: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise InputError(f"the character {character!r} in a compressed RLE")
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            if code & 16:
                value -= 1 << bits
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = bits = 0
    if bits:
        raise InputError("a compressed RLE that ends within a number")
    return counts


def _read_annotations(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    missing = {"images", "annotations", "categories"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise InputError(f"{path}: no COCO annotations, it lacks {', '.join(sorted(missing))}")
    return dict(content)


def _category_ids(known: Sequence[Any], names: Sequence[str], path: Path) -> set[int]:
    ids = {category["name"]: category["id"] for category in known}
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise InputError(f"{path}: knows no {', '.join(unknown)}; it has {', '.join(sorted(ids))}")
    return {ids[name] for name in names or ids}
