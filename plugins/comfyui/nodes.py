"""Nodes in ComfyUI's V3 schema: load a model, select by points, gather masks, set the edge, matte.

ComfyUI's pictures (IMAGE) are float tensors (B, H, W, 3) in [0, 1]; its masks (MASK) are (B, H, W), or (H, W), with 1
on what is selected.
"""

import re
from functools import lru_cache

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io

from mask2alpha import EdgeOptions, Mask2Alpha, Predictor
from mask2alpha.errors import InputError
from mask2alpha.ops.edges import RANGES

CATEGORY = "mask/mask2alpha"
MODEL = io.Custom("MASK2ALPHA")
EDGES = ("shift", "feather", "contrast", "gamma", "smooth", "specks", "pinholes")
"""The controls that have a widget; the matte node's field takes all of them."""
NUM_MASKS = 6
POINT = re.compile(r"(?P<sign>-?)\s*(?P<x>\d+(?:\.\d+)?)(?P<x_share>%?)\s*,\s*(?P<y>\d+(?:\.\d+)?)(?P<y_share>%?)")


@lru_cache(maxsize=2)
def load_predictor(weights: str, device: str, precision: str) -> Predictor:
    """A model ready to run; the two used last stay loaded, whatever becomes of the nodes."""
    return Predictor(
        Mask2Alpha.from_pretrained(weights),
        device=comfy.model_management.get_torch_device() if device == "auto" else device,
        dtype=None if precision == "auto" else getattr(torch, precision),
    )


class LoadMask2Alpha(io.ComfyNode):
    """Loads weights, once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the host shows."""
        return io.Schema(
            node_id="LoadMask2Alpha",
            display_name="Load mask2alpha",
            category=CATEGORY,
            description="Loads a matting model: base or small, a .safetensors file, or a hub id org/name.",
            inputs=[
                io.String.Input("weights", default="base", tooltip="base, small, a .safetensors file, or org/name"),
                io.Combo.Input("device", options=["auto", "cpu", "cuda", "mps"]),
                io.Combo.Input("precision", options=["auto", "float32", "bfloat16", "float16"]),
            ],
            outputs=[MODEL.Output("model", display_name="model")],
        )

    @classmethod
    def execute(cls, weights: str, device: str, precision: str) -> io.NodeOutput:
        """The model, for the other nodes."""
        return io.NodeOutput(load_predictor(weights.strip(), device, precision))


class SelectWithMask2Alpha(io.ComfyNode):
    """Makes a rough mask of what points mean."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the host shows."""
        tip = "x,y in pixels or per cent, one point a line; - before a point that is not on the target"
        return io.Schema(
            node_id="SelectWithMask2Alpha",
            display_name="Select with mask2alpha",
            category=CATEGORY,
            description="Selects what points are on, as a rough mask for the matte. Without points: what stands out.",
            inputs=[
                MODEL.Input("model"),
                io.Image.Input("image"),
                io.String.Input("points", default="50%,50%", multiline=True, tooltip=tip),
                io.Combo.Input("scale", options=["object", "part", "group"], tooltip="how much a point means"),
            ],
            outputs=[io.Mask.Output("selection", display_name="selection", tooltip="1 on what is selected")],
        )

    @classmethod
    def execute(cls, model: Predictor, image: torch.Tensor, points: str, scale: str) -> io.NodeOutput:
        """(B, H, W) masks, the same points for each image.

        Raises:
            InputError: A point cannot be read or is outside of the image, or the model cannot select.
        """
        masks = []
        for each in image:
            on, off = read_points(points, height=each.shape[0], width=each.shape[1])
            selected = model.select(model.encode(_to_image(each)), points=on, not_points=off, scale=scale)
            masks.append(torch.from_numpy(selected).float())
        return io.NodeOutput(torch.stack(masks))


class MasksForMask2Alpha(io.ComfyNode):
    """Gathers masks of one image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the host shows."""
        more = [io.Mask.Input(f"mask_{number}", optional=True) for number in range(2, NUM_MASKS + 1)]
        return io.Schema(
            node_id="MasksForMask2Alpha",
            display_name="Several masks for mask2alpha",
            category=CATEGORY,
            description="Makes a batch of masks of one image, which is then encoded once for all of them.",
            inputs=[io.Mask.Input("mask_1"), *more],
            outputs=[io.Mask.Output("masks", display_name="masks")],
        )

    @classmethod
    def execute(cls, **masks: torch.Tensor) -> io.NodeOutput:
        """(K, H, W): the masks in the order of their sockets.

        Raises:
            InputError: They differ in size.
        """
        given = [masks[name] for name in sorted(masks) if masks[name] is not None]
        batches = [mask.reshape(-1, *mask.shape[-2:]) for mask in given]
        sizes = {tuple(batch.shape[1:]) for batch in batches}
        if len(sizes) > 1:
            raise InputError(f"the masks have different sizes (height, width): {', '.join(map(str, sorted(sizes)))}")
        return io.NodeOutput(torch.cat(batches))


class EdgesForMask2Alpha(io.ComfyNode):
    """Sets how the edge of a matte is changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the host shows."""
        neutral = EdgeOptions()
        widgets = [
            io.Float.Input(
                name, default=getattr(neutral, name), min=RANGES[name][0], max=min(RANGES[name][1], 1e5), step=0.05
            )
            for name in EDGES
        ]
        return io.Schema(
            node_id="EdgesForMask2Alpha",
            display_name="Edge for mask2alpha",
            category=CATEGORY,
            description="Controls of a matte's edge, for the field edges of the matte; lengths are pixels.",
            inputs=widgets,
            outputs=[io.String.Output("edges", display_name="edges")],
        )

    @classmethod
    def execute(cls, **controls: float) -> io.NodeOutput:
        """The controls that change something, such as "shift=-1.5,feather=2"."""
        return io.NodeOutput(EdgeOptions(**controls).text)


class MatteWithMask2Alpha(io.ComfyNode):
    """Mattes pictures with rough masks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the host shows."""
        tip = "changes of the matte's edge, such as shift=-1.5,feather=2; lengths in pixels"
        return io.Schema(
            node_id="MatteWithMask2Alpha",
            display_name="Matte with mask2alpha",
            category=CATEGORY,
            description="Turns rough masks into mattes with soft edges. As many masks as images: one each. One mask: "
            "for every image. One image: a matte for every mask.",
            inputs=[
                MODEL.Input("model"),
                io.Image.Input("image"),
                io.Mask.Input("mask"),
                io.String.Input("edges", default="", optional=True, tooltip=tip),
            ],
            outputs=[
                io.Mask.Output("alpha", display_name="alpha", tooltip="1 on the target, 0 elsewhere, soft at its edge"),
                io.Image.Output("foreground", display_name="foreground", tooltip="the target without old background"),
            ],
        )

    @classmethod
    def execute(cls, model: Predictor, image: torch.Tensor, mask: torch.Tensor, edges: str = "") -> io.NodeOutput:
        """(B, H, W) alpha and (B, H, W, 3) foreground, B being the larger number of images and masks.

        Raises:
            InputError: Their numbers do not match, or an image, a mask or `edges` cannot be used.
        """
        controls = EdgeOptions.parse(edges)
        images = [_to_image(each) for each in image]
        masks = [each.numpy(force=True) for each in mask.reshape(-1, *mask.shape[-2:]).float()]
        if len(images) != len(masks) and 1 not in (len(images), len(masks)):
            raise InputError(f"{len(images)} images and {len(masks)} masks: give as many masks, one mask, or one image")
        count = max(len(images), len(masks))
        progress = comfy.utils.ProgressBar(count)
        alphas, foregrounds, encoded = [], [], None
        for index in range(count):
            comfy.model_management.throw_exception_if_processing_interrupted()
            if encoded is None or len(images) > 1:
                encoded = model.encode(images[index])
            matte = model.predict(encoded, masks[index if len(masks) > 1 else 0]).with_edges(controls)
            alphas.append(torch.from_numpy(matte.alpha))
            foregrounds.append(torch.from_numpy(matte.foreground()))
            progress.update(1)
        return io.NodeOutput(torch.stack(alphas), torch.stack(foregrounds))


def read_points(text: str, *, height: int, width: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """The points on the target and those that are not, as (x, y) in pixels.

    Args:
        text: Points such as "420,300" or "50%,40%", one a line or with semicolons between; - before one that is not.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Raises:
        InputError: A point cannot be read.
    """
    points: dict[str, list[tuple[float, float]]] = {"": [], "-": []}
    for part in filter(None, (part.strip() for part in re.split(r"[\n;]", text))):
        found = POINT.fullmatch(part)
        if found is None:
            raise InputError(f"{part[:40]!r} is not a point; accepted: x,y in pixels or per cent, such as 50%,40%")
        x, y = (
            _pixels(float(found[axis]), side, is_percent=bool(found[f"{axis}_share"]))
            for axis, side in (("x", width), ("y", height))
        )
        points[found["sign"]].append((x, y))
    return points[""], points["-"]


def _pixels(number: float, side: int, *, is_percent: bool) -> float:
    """A coordinate in pixels; 100 % is inside of the last pixel, and more is outside of the image."""
    if not is_percent:
        return number
    return min(number * side / 100, side - 1) if number <= 100 else number * side / 100


def _to_image(image: torch.Tensor) -> np.ndarray:
    """Colours in [0, 1]: some nodes overshoot it a little, some add alpha."""
    return np.clip(image[..., :3].numpy(force=True).astype(np.float32), 0, 1)


NODES = [LoadMask2Alpha, SelectWithMask2Alpha, MasksForMask2Alpha, EdgesForMask2Alpha, MatteWithMask2Alpha]
