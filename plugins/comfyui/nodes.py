"""Two nodes: one loads a model, one mattes a batch of pictures with a batch of rough masks.

ComfyUI's pictures (IMAGE) are float tensors (B, H, W, 3) in [0, 1]; its masks (MASK) are (B, H, W), or (H, W), with 1
on what is selected.
"""

from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch

from mask2alpha import EdgeOptions, Mask2Alpha, Predictor
from mask2alpha.errors import InputError


@lru_cache(maxsize=2)
def load_predictor(weights: str, device: str, precision: str) -> Predictor:
    """A model ready to run; the two used last stay loaded, whatever becomes of the nodes."""
    return Predictor(
        Mask2Alpha.from_pretrained(weights),
        device=comfy.model_management.get_torch_device() if device == "auto" else device,
        dtype=None if precision == "auto" else getattr(torch, precision),
    )


class LoadMask2Alpha:
    """Loads weights, once."""

    CATEGORY = "mask/mask2alpha"
    DESCRIPTION = "Loads a matting model: small (comes with mask2alpha), a .safetensors file, or a hub id org/name."
    RETURN_TYPES = ("MASK2ALPHA",)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (the host's name)
        """What the host asks the user for."""
        return {
            "required": {
                "weights": ("STRING", {"default": "base", "tooltip": "base, small, a .safetensors file, or org/name"}),
                "device": (["auto", "cpu", "cuda", "mps"],),
                "precision": (["auto", "float32", "bfloat16", "float16"],),
            }
        }

    def load(self, weights: str, device: str, precision: str) -> tuple[Predictor]:
        """The model, for `MatteWithMask2Alpha`."""
        return (load_predictor(weights.strip(), device, precision),)


class MatteWithMask2Alpha:
    """Mattes pictures with rough masks."""

    CATEGORY = "mask/mask2alpha"
    DESCRIPTION = (
        "Turns rough masks into mattes with soft edges. As many masks as images: one each. One mask: for every image. "
        "One image: a matte for every mask."
    )
    RETURN_TYPES = ("MASK", "IMAGE")
    RETURN_NAMES = ("alpha", "foreground")
    OUTPUT_TOOLTIPS = (
        "1 on the target, 0 elsewhere, between at its edge",
        "the target's colours, free of the old background",
    )
    FUNCTION = "matte"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """What the host asks the user for."""
        tip = "changes of the matte's edge, such as shift=-1.5,feather=2; lengths in pixels"
        return {
            "required": {"model": ("MASK2ALPHA",), "image": ("IMAGE",), "mask": ("MASK",)},
            "optional": {"edges": ("STRING", {"default": "", "tooltip": tip})},
        }

    def matte(
        self, model: Predictor, image: torch.Tensor, mask: torch.Tensor, edges: str = ""
    ) -> tuple[torch.Tensor, torch.Tensor]:
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
        return torch.stack(alphas), torch.stack(foregrounds)


def _to_image(image: torch.Tensor) -> np.ndarray:
    """Colours in [0, 1]: some nodes overshoot it a little, some add alpha."""
    return np.clip(image[..., :3].numpy(force=True).astype(np.float32), 0, 1)


NODE_CLASS_MAPPINGS = {"LoadMask2Alpha": LoadMask2Alpha, "MatteWithMask2Alpha": MatteWithMask2Alpha}
NODE_DISPLAY_NAME_MAPPINGS = {"LoadMask2Alpha": "Load mask2alpha", "MatteWithMask2Alpha": "Matte with mask2alpha"}
