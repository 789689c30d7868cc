"""Segment Anything 1 and 2 (Kirillov et al. 2023, Ravi et al. 2024), through transformers or Meta's packages."""

from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker
from mask2alpha.prompts.prompt import Prompt, Stroke

POINTS_PER_STROKE = 8
"""A longer stroke is told to the network as this many of its points; it was trained with few."""


class Sam(AbstractMaskMaker):
    """SAM or SAM 2 of transformers, with weights from the hub or a folder."""

    accepts = frozenset({"box", "target", "rest"})

    def __init__(self, source: str, *, device: str | None = None) -> None:
        """Load the network.

        Args:
            source: Hub id or folder, such as `facebook/sam2.1-hiera-small` or `facebook/sam-vit-base`.
            device: Default: CUDA where there is one, else the CPU.

        Raises:
            InputError: transformers is not installed, or the weights cannot be loaded.
        """
        import torch

        try:
            from transformers import AutoModelForMaskGeneration, AutoProcessor

            processors: Any = AutoProcessor  # without types
            self._processor = processors.from_pretrained(source)
            model = AutoModelForMaskGeneration.from_pretrained(source)
        except ImportError as error:  # some processors want torchvision besides
            raise InputError(f"SAM needs transformers and torchvision (pip install them): {error}") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{source} cannot be loaded as SAM: {str(error).splitlines()[0]}") from error
        self._model = model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        import torch

        points, labels = sam_points(prompt)
        prompts: dict[str, Any] = {}
        if len(points):  # one image, one object
            prompts["input_points"], prompts["input_labels"] = [[points.tolist()]], [[labels.tolist()]]
        if prompt.box_xyxy is not None:
            prompts["input_boxes"] = [[list(prompt.box_xyxy)]]
        inputs = self._processor(image, return_tensors="pt", **prompts)
        with torch.inference_mode():
            outputs = self._model(
                **inputs.to(self._model.device, dtype=self._model.dtype), multimask_output=_is_ambiguous(prompt)
            )
        sizes = [inputs[name] for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
        masks = self._processor.post_process_masks(outputs.pred_masks.cpu(), *[size.cpu() for size in sizes])
        best = int(outputs.iou_scores[0, 0].argmax())
        return np.asarray(masks[0][0, best].numpy() * np.uint8(255), np.uint8)


class SamPredictor(AbstractMaskMaker):
    """SAM or SAM 2 of Meta's packages: around their `SamPredictor` or `SAM2ImagePredictor`."""

    accepts = frozenset({"box", "target", "rest"})

    def __init__(self, predictor: Any) -> None:
        """Keep the predictor.

        Args:
            predictor: `segment_anything.SamPredictor` or `sam2.sam2_image_predictor.SAM2ImagePredictor`. It remembers
                the image that it saw last, so do not share it between threads.
        """
        self._predictor = predictor

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        points, labels = sam_points(prompt)
        self._predictor.set_image(image)
        masks, scores, _ = self._predictor.predict(
            point_coords=points if len(points) else None,
            point_labels=labels if len(points) else None,
            box=None if prompt.box_xyxy is None else np.array(prompt.box_xyxy, np.float32),
            multimask_output=_is_ambiguous(prompt),
        )
        return np.asarray(masks[int(np.argmax(scores))].astype(bool) * np.uint8(255), np.uint8)


def sam_points(prompt: Prompt) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The prompt's strokes as SAM's points.

    Returns:
        (N, 2) x and y, and (N,): 1 on the target, 0 on the rest.

    Raises:
        InputError: There is neither a box nor a target stroke.
    """
    if prompt.box_xyxy is None and not prompt.target:
        raise InputError("SAM needs a box around the target or a point on it")
    points = [
        (point, label)
        for label, strokes in ((1, prompt.target), (0, prompt.rest))
        for stroke in strokes
        for point in _spread(stroke)
    ]
    return (
        np.array([point for point, _ in points], np.float32).reshape(-1, 2),
        np.array([label for _, label in points], np.int64),
    )


def _spread(stroke: Stroke) -> NDArray[np.float64]:
    """Points at equal distances along a stroke: its own where they are few."""
    corners = np.array(stroke, np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    if len(corners) <= POINTS_PER_STROKE:
        return corners
    at = np.linspace(0, lengths[-1], POINTS_PER_STROKE)
    return np.stack([np.interp(at, lengths, corners[:, axis]) for axis in (0, 1)], axis=1)


def _is_ambiguous(prompt: Prompt) -> bool:
    """A single point may mean a button or the person: SAM then gives three masks, and the surest is taken."""
    return prompt.box_xyxy is None and sum(len(stroke) for stroke in (*prompt.target, *prompt.rest)) == 1
