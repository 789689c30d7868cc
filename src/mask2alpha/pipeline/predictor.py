"""The predictor: arrays of any size in, mattes out (prepare, run the network, restore)."""

import functools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.box import FAR_LOGIT, Box, find_box, spread
from mask2alpha.model.config import DEFAULT_MODEL
from mask2alpha.model.fast.optimise import optimise
from mask2alpha.model.fast.resampling import upsample
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE, Mask2Alpha, Network
from mask2alpha.model.stage2_decoding.refine import refine, start_coarse
from mask2alpha.model.values import DEFAULT_TRUST, GuidedFeatures, ImageEncoding, RunOptions
from mask2alpha.ops.dtypes import cpu_runs_bfloat16, default_dtype
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.padding import padded_size
from mask2alpha.ops.prompt import Box as UserBox
from mask2alpha.ops.prompt import Number, Point, Prompt, Stroke
from mask2alpha.ops.resize import shrink_to_side
from mask2alpha.ops.units import as_unit
from mask2alpha.ops.working_size import enlarge_image, enlarge_mask, shrink_alpha, working_factor
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.encoder_input import shrink_image, shrink_mask
from mask2alpha.pipeline.guidance import Guidance
from mask2alpha.pipeline.mask_reach import network_share
from mask2alpha.pipeline.matte import EncodedImage, Matte, Trace
from mask2alpha.pipeline.preprocess import image_to_pixels, mask_to_pixels, split_masks
from mask2alpha.pipeline.selection import SCALES, Tokens, select
from mask2alpha.pipeline.sharing import share_alpha
from mask2alpha.pipeline.trust import check_trust, with_trust

PIXELS_AT_ONCE = 2**21
"""Largest number of pixels of the masks of one image that run together."""
SELECTION_SIDE = 1024
"""Longer side, in pixels, of the version of a larger photo on which `select` works; a rough mask needs no more."""
MAX_ACTIVE_PIXELS = 2**24
"""Default of `active_budget`: far more than a photo needs; it limits the time for a large photo of which the network is
unsure everywhere."""
_WHOLE = "\0"
"""Name of the union of the masks, which no file and no object has."""
PIXELS_SETTLED_AT_ONCE = 2**17
"""Number of pixels that `settle_` takes at a time."""


class Predictor(AbstractPredictor):
    """Runs a network on NumPy images and masks of any size.

    An empty mask gives alpha 0 everywhere and a full one alpha 1, without the network: a mask without a border says
    nothing about where the target ends. Far from the border of other masks, alpha is the mask's value (`mask_reach`).
    Alpha within 1/255 of 0 or 1 becomes 0 or 1.
    """

    def __init__(
        self,
        model: Network,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        num_steps: int | None = None,
        error_threshold: float | None = None,
        active_budget: int | None = None,
        max_encoder_side: int = 1216,
        trust: float | int | None = None,
    ) -> None:
        """Copy a model to the device, in the form in which it runs fastest.

        Args:
            model: A `Mask2Alpha`, which is copied: later changes of its weights have no effect. Another `Network` is
                used as it is.
            device: Default: CUDA where there is one, else the CPU.
            dtype: Number format of the network: `torch.float32`, `bfloat16` or (not on a CPU) `float16`. Default:
                bfloat16 if the hardware computes in it, else float32. A CPU without AVX-512 has no bfloat16.
            num_steps: Decoding steps, at least 1; default: the model's.
            error_threshold: In [0, 1]: pixels with a higher predicted error are recomputed at full resolution;
                default: the model's.
            active_budget: Largest number of pixels recomputed per mask; default: `MAX_ACTIVE_PIXELS`.
            max_encoder_side: Longest side, in pixels, of what the encoder sees, which is half the image's. A larger
                image is encoded and decoded smaller, and only its detail is recovered at full resolution.
            trust: How far masks are believed, in [0, 1]: 0 for rough ones, whose outline the photo corrects; 1 for
                those that are right to a pixel; default: 0.5 (docs/matting.md).

        Raises:
            InputError: A value is out of its range.
        """
        self.device = _checked_device(device)
        self.dtype = _checked_dtype(dtype, self.device)
        self.options = RunOptions(
            num_steps=num_steps,
            error_threshold=error_threshold,
            active_budget=MAX_ACTIVE_PIXELS if active_budget is None else active_budget,
        )
        if max_encoder_side < STRIDE_MULTIPLE // 2:
            raise InputError(f"max_encoder_side must be at least {STRIDE_MULTIPLE // 2}; got {max_encoder_side}")
        self.max_encoder_side = max_encoder_side
        self.trust = check_trust(DEFAULT_TRUST if trust is None else trust)
        self._unguided: WeakKeyDictionary[EncodedImage, tuple[ImageEncoding, GuidedFeatures]] = WeakKeyDictionary()
        self.model: Network = (
            optimise(model, device=self.device, dtype=self.dtype) if isinstance(model, Mask2Alpha) else model
        )

    def encode(self, image: NDArray[Any]) -> EncodedImage:
        """Compute what depends on the image alone.

        Args:
            image: (H, W, 3) or grey (H, W); uint8, uint16 or float in [0, 1].

        Returns:
            A value to pass to `predict` in place of the image, for any number of masks; for this predictor only.

        Raises:
            InputError: The image cannot be used.
        """
        return self._encode(image, image_to_pixels(image))

    def predict(
        self, image: NDArray[Any] | EncodedImage, mask: NDArray[Any] | Mask, *, has_trace: bool = False
    ) -> Matte:
        """Matte one image with one mask.

        Args:
            image: An image as for `encode`, or what `encode` returned.
            mask: (H, W): bool, 0/1, 0/255, float in [0, 1], or a trimap (0, 128, 255), outside of whose grey alpha
                stays what it says; or a `Mask`, whose meaning is known. One of another size and the image's aspect is
                resized, with a `UserWarning`.
            has_trace: Whether the matte carries its `trace`.

        Raises:
            InputError: The image or the mask cannot be used.
        """
        return self._predict(image, {"mask": mask}, has_trace=has_trace)[0]

    def predict_instances(
        self,
        image: NDArray[Any] | EncodedImage,
        masks: NDArray[Any] | Sequence[NDArray[Any] | Mask] | Mapping[str, NDArray[Any] | Mask],
        *,
        is_exclusive: bool = False,
    ) -> tuple[Matte, ...]:
        """Matte one image with each of several masks: the image is encoded once.

        Args:
            image: An image as for `encode`, or what `encode` returned.
            masks: (K, H, W), a sequence of K masks as for `predict`, or a mapping to them of the names that messages
                use; K may be 0.
            is_exclusive: Whether the mattes share the photo: where targets meet, they add up to the alpha of all masks
                together, which is at most 1 (`share_alpha`).

        Returns:
            One matte per mask, in their order; unless `is_exclusive`, equal to K calls of `predict`.

        Raises:
            InputError: The image or a mask cannot be used.
        """
        if not isinstance(masks, Mapping):
            size = (image.image if isinstance(image, EncodedImage) else np.asarray(image)).shape[:2]
            masks = {f"masks[{index}]": mask for index, mask in enumerate(split_masks(masks, size))}
        mattes = self._predict(image, masks, has_whole=is_exclusive and len(masks) > 1)
        return share_alpha(mattes[:-1], mattes[-1]) if len(mattes) > len(masks) else mattes

    def encode_overview(self, encoded: EncodedImage, max_side: int) -> ImageEncoding:
        """Deprecated: encode a smaller photo. `max_side` counts pixels of the encoded image."""
        _warn_deprecated("encode_overview")
        pixels = encoded.pixels if encoded.factor == 1 else image_to_pixels(encoded.image).to(self.device)
        return self._encode_within(pixels, max_side)

    def preview(
        self,
        overview: ImageEncoding,
        mask: Shaped[Tensor, "1 1 height width"],
        *,
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> NDArray[np.float32]:
        """Deprecated: matte a smaller photo.

        Args:
            overview: From `encode_overview`.
            mask: Of the whole photo, as pixels.
            rows: First row of the part to show, and the one past its last.
            columns: The same of its columns.

        Returns:
            The coarse alpha, enlarged, without the detail stage: (rows, columns), in [0, 1].
        """
        _warn_deprecated("preview")
        with self.running():
            alpha = upsample(
                self._decode(overview, shrink_mask(mask.to(self.device), overview.size)),
                (rows[1] - rows[0], columns[1] - columns[0]),
                spanned=padded_size((mask.shape[2], mask.shape[3]), STRIDE_MULTIPLE),
                origin=(rows[0], columns[0]),
            ).sigmoid_()
            settle_(alpha)
        return alpha[0, 0].cpu().numpy()

    def select(
        self,
        encoded: EncodedImage,
        *,
        points: Sequence[Point] = (),
        not_points: Sequence[Point] = (),
        boxes: Sequence[UserBox] = (),
        strokes: Sequence[Stroke] = (),
        not_strokes: Sequence[Stroke] = (),
        mask: NDArray[Any] | Mask | None = None,
        brush: Number | None = None,
        scale: str = "object",
    ) -> NDArray[np.bool_]:
        """Select what a user points at: a rough mask, for `predict`.

        Coordinates are pixels of the photo, from its upper left corner. Each call answers all that it is given, so a
        further point refines when it is passed together with those before it; with the earlier selection as `mask`, it
        changes nothing else. Points and strokes always hold: they are inside of the selection, or outside of it,
        whatever the rest says.

        Args:
            encoded: From `encode`.
            points: (x, y) on the target.
            not_points: (x, y) that are not on the target.
            boxes: (left, top, right, bottom) around the target, or around each of its parts; nothing outside of them
                is selected.
            strokes: Corners (x, y) of lines over the target.
            not_strokes: Corners of lines over what is not the target.
            mask: (H, W), as for `predict`: the selection to begin from, such as that of an earlier call. Points and
                strokes of the target add to it, the others take away from it; what they do not reach stays as it is.
            brush: Width of points and strokes, in pixels; default: a hundredth of the photo's longer side.
            scale: How much a point means: "part", "object" or "group". Call again with the next to offer another.

        Returns:
            (H, W), True on the target. With nothing but the photo: what stands out in it.

        Raises:
            InputError: The model has no backbone, a coordinate is outside of the photo, a box covers none of it, the
                mask cannot be used, or the scale is not known.
        """
        prompt = Prompt(
            target=(*((point,) for point in points), *strokes),
            rest=(*((point,) for point in not_points), *not_strokes),
            brush=brush,
        )
        for part in (prompt, *(Prompt(box_xyxy=box) for box in boxes)):
            part.check(encoded.size)
        if scale not in SCALES:
            raise InputError(f"scale is {scale!r}; accepted: {', '.join(SCALES)}")
        given = None if mask is None else as_unit(mask_to_pixels(mask, encoded.size)).float()
        encoding, guided = self._guide_by_nothing(encoded)
        with self.running():

            def decode(rough: Float[Tensor, "1 1 _h _w"]) -> Float[Tensor, "1 1 _h _w"]:
                small = rough.to(self.device).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
                fused = self.model.fuse(guided, small, find_box(small))  # unguided tokens and one step do here
                coarse = self.model.step(fused, start_coarse(fused))
                return spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT).float().sigmoid().cpu()

            with torch.autocast(self.device.type, enabled=False), torch.autocast("cpu", enabled=False):
                selected = select(
                    Tokens.of(encoding, guided, encoded.padded_size),
                    decode,
                    size=encoded.size,
                    size_os4=(encoding.size[0] // 4, encoding.size[1] // 4),
                    prompt=prompt,
                    boxes=boxes,
                    mask=given,
                    scale=scale,
                )
        return selected.numpy()

    def find_tokens(self, encoded: EncodedImage) -> Tokens:
        """What the backbone says about each part of a photo; `select` begins with it.

        Args:
            encoded: From `encode`.

        Raises:
            InputError: The model has no backbone.
        """
        encoding, guided = self._guide_by_nothing(encoded)
        with self.running(), torch.autocast(self.device.type, enabled=False), torch.autocast("cpu", enabled=False):
            return Tokens.of(encoding, guided, encoded.padded_size)

    def _guide_by_nothing(self, encoded: EncodedImage) -> tuple[ImageEncoding, GuidedFeatures]:
        """A photo's encoding for selections, of at most `SELECTION_SIDE`, and its features with an empty mask.

        Kept as long as `encoded` is, because each selection needs them.

        Raises:
            InputError: The model has no backbone.
        """
        if (kind := self.model.config.encoder.kind) != "backbone":
            raise InputError(f"select needs a model with a backbone, such as {DEFAULT_MODEL!r}; this one is a {kind!r}")
        if (kept := self._unguided.get(encoded)) is not None:
            return kept
        encoding = encoded.encoding
        with self.running():
            if max(encoding.size) > SELECTION_SIDE:
                size = shrink_to_side(encoding.size, max_side=SELECTION_SIDE, multiple=STRIDE_MULTIPLE)
                pixels = shrink_image(encoded.pixels, size).contiguous(memory_format=torch.channels_last)
                encoding = self.model.encode_smaller(pixels, encoding)
            guided = self.model.guide(encoding, torch.zeros(1, 1, *encoding.size, device=self.device))
        self._unguided[encoded] = encoding, guided
        return encoding, guided

    def _decode(self, encoding: ImageEncoding, small: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 _h _w"]:
        """Stages 1 and 2 for a mask of the encoded size: logits of alpha at stride 4."""
        with self.running():
            fused = self.model.fuse(self.model.guide(encoding, small), small, find_box(small))
            coarse = refine(self.model.step, fused, self.options.filled(self.model.config))
            return spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT)

    def _predict(
        self,
        image: NDArray[Any] | EncodedImage,
        masks: Mapping[str, Any],
        *,
        has_trace: bool = False,
        has_whole: bool = False,
    ) -> tuple[Matte, ...]:
        """The mattes of the masks, by the names that messages use; with `has_whole`, then that of their union."""
        # everything is checked before the network runs
        pixels = image.pixels if isinstance(image, EncodedImage) else image_to_pixels(image)
        size = image.size if isinstance(image, EncodedImage) else (pixels.shape[2], pixels.shape[3])
        checked = {name: mask_to_pixels(mask, size, name=name) for name, mask in masks.items()}
        trivial = {name: value for name, mask in checked.items() if (value := find_trivial_value(mask)) is not None}
        for name, value in trivial.items():
            what = "full" if value else "empty"
            warnings.warn(f"{name} is {what}, so alpha is {value:g} everywhere", UserWarning, stacklevel=3)
        if not checked:
            return ()
        if has_whole:
            checked[_WHOLE] = functools.reduce(torch.maximum, (as_unit(mask) for mask in checked.values()))
        encoded = image if isinstance(image, EncodedImage) else self._encode(image, pixels)
        if has_whole and (value := find_trivial_value(checked[_WHOLE])) is not None:
            trivial[_WHOLE] = value
        guidance = {
            name: Guidance.read(mask, self.trust, is_soft=getattr(masks.get(name), "is_soft", False))
            for name, mask in checked.items()
            if name not in trivial
        }
        mattes = {name: _trivial_matte(encoded, value) for name, value in trivial.items()}
        options = replace(with_trust(self.options, self.trust), has_trace=has_trace)
        mattes |= self._matte(encoded, guidance, options)
        return tuple(mattes[name] for name in checked)

    def _encode(self, image: NDArray[Any], pixels: Shaped[Tensor, "1 3 _h _w"]) -> EncodedImage:
        factor = working_factor((pixels.shape[2], pixels.shape[3]), self.model.config.encoder.least_side)
        pixels = enlarge_image(pixels.to(self.device), factor)
        encoding = self._encode_within(pixels, 2 * self.max_encoder_side)
        return EncodedImage(image=image, pixels=pixels, encoding=encoding)

    def _encode_within(self, pixels: Shaped[Tensor, "1 3 _h _w"], max_side: int) -> ImageEncoding:
        """Encode at the padded size, or smaller, so that no side is longer than `max_side` pixels."""
        size = shrink_to_side(
            padded_size((pixels.shape[2], pixels.shape[3]), STRIDE_MULTIPLE),
            max_side=max_side,
            multiple=STRIDE_MULTIPLE,
        )
        with self.running():
            return self.model.encode(shrink_image(pixels, size).contiguous(memory_format=torch.channels_last))

    def _matte(self, encoded: EncodedImage, guidance: dict[str, Guidance], options: RunOptions) -> dict[str, Matte]:
        """Run the network on groups of masks that fit into memory together."""
        mattes: dict[str, Matte] = {}
        names = list(guidance)
        group = max(1, PIXELS_AT_ONCE // math.prod(encoded.encoding.size))
        for start in range(0, len(names), group):
            small = {name: _SmallMask.of(guidance[name], encoded) for name in names[start : start + group]}
            for batch in _group_masks(small):
                first = small[batch[0]]
                own = replace(options, box=first.box, is_decided=first.is_decided)
                if guidance[batch[0]].is_open_trimap:  # there is no mask to trust
                    own = replace(own, trust=DEFAULT_TRUST)
                made = self._run(encoded, [guidance[name] for name in batch], [small[name].mask for name in batch], own)
                mattes |= dict(zip(batch, made, strict=True))
        return mattes

    def _run(
        self,
        encoded: EncodedImage,
        guidance: list[Guidance],
        small_masks: list[Float[Tensor, "1 1 _h2 _w2"]],
        options: RunOptions,
    ) -> list[Matte]:
        """Run the network once, for masks of one photo."""
        count = len(guidance)
        masks = [enlarge_mask(given.mask.to(self.device), encoded.factor) for given in guidance]
        small = torch.cat(small_masks)
        with self.running():
            output = self.model.forward(
                encoded.pixels.expand(count, -1, -1, -1),
                masks[0] if count == 1 else torch.cat([as_unit(mask) for mask in masks]),
                options,
                encoding=encoded.encoding.repeat(count),
                encoded_mask=small,
            )
            alpha, coarse_error = output.alpha.float(), output.coarse.predicted_error.float()
            settle_(alpha)
            for index in range(count):  # far from its border, a rough mask is right; a trimap says how far
                if options.is_decided is None and (share := network_share(small_masks[index])) is not None:
                    weight = upsample(share, (alpha.shape[2], alpha.shape[3]), spanned=output.spanned)
                    alpha[index] = torch.lerp(as_unit(masks[index]), alpha[index : index + 1], weight)[0]
            alpha = shrink_alpha(alpha, encoded.factor, encoded.size)
        held = [given.hold(alpha[index : index + 1]) for index, given in enumerate(guidance)]
        trace = Trace(encoding=encoded.encoding, mask=small, output=output) if options.has_trace else None
        return [
            Matte(
                alpha=held[index][0, 0].cpu().numpy(),
                image=encoded.image,
                coarse_error=coarse_error[index, 0].cpu().numpy(),
                spanned=encoded.in_photo(output.spanned),
                box=output.coarse.box,
                trace=trace,
            )
            for index in range(count)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """The context in which the network runs: without gradients, with the arithmetic of `dtype`."""
        is_mixed = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=is_mixed):
            yield


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SmallMask:
    """A mask at the encoded size."""

    mask: Float[Tensor, "1 1 height width"]
    box: Box | None
    is_decided: Bool[Tensor, "1 1 h w"] | None

    @classmethod
    def of(cls, guidance: Guidance, encoded: EncodedImage) -> "_SmallMask":
        device, size = encoded.pixels.device, encoded.encoding.size
        mask = shrink_mask(enlarge_mask(guidance.mask.to(device), encoded.factor), size)
        if guidance.is_decided is None:
            return cls(mask=mask, box=find_box(mask), is_decided=None)
        is_open = shrink_mask(enlarge_mask(~guidance.is_decided.to(device), encoded.factor), size)
        box = find_box(torch.maximum(mask, is_open))
        return cls(mask=mask, box=box, is_decided=F.max_pool2d(is_open, 4) == 0)


def _group_masks(masks: dict[str, _SmallMask]) -> list[list[str]]:
    """The masks of small targets, and trimaps, one by one; all others together."""
    together = [name for name, small in masks.items() if small.box is None and small.is_decided is None]
    groups = [[name] for name in masks if name not in together]
    return [*groups, *([together] if together else [])]


def _trivial_matte(encoded: EncodedImage, value: float) -> Matte:
    """The matte of an empty or a full mask."""
    alpha = np.full(encoded.size, value, dtype=np.float32)
    coarse_error = np.zeros((1, 1), dtype=np.float32)
    return Matte(alpha=alpha, image=encoded.image, coarse_error=coarse_error, spanned=encoded.padded_size)


def find_trivial_value(mask: Shaped[Tensor, "1 1 height width"]) -> float | None:
    """0 for an empty mask, 1 for a full one, which alpha then is everywhere; None for any other."""
    low, high = (float(as_unit(extreme)) for extreme in torch.aminmax(mask))
    return low if low == high and low in (0.0, 1.0) else None


def settle_(alpha: Float[Tensor, "*shape"]) -> None:
    """Stretch alpha, in place, so that values within 1/255 of 0 or 1 become 0 or 1; a part at a time, in the cache."""
    for part in torch.split(alpha.view(-1), PIXELS_SETTLED_AT_ONCE):
        part.mul_(255 / 253).sub_(1 / 253).clamp_(0, 1)


def _checked_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return chosen


def _checked_dtype(dtype: torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return default_dtype(device)
    accepted = [torch.float32, torch.bfloat16] + ([] if device.type == "cpu" else [torch.float16])
    if dtype not in accepted:
        raise InputError(f"dtype must be one of {', '.join(map(str, accepted))} on {device.type}; got {dtype}")
    if device.type == "cpu" and dtype == torch.bfloat16 and not cpu_runs_bfloat16():
        raise InputError("dtype torch.bfloat16 needs a CPU with AVX-512, which this one lacks; use torch.float32")
    return dtype


def _warn_deprecated(name: str) -> None:
    warnings.warn(
        f"mask2alpha: `Predictor.{name}` is deprecated since 0.2 and goes in 0.4; call `predict` with a smaller photo",
        DeprecationWarning,
        stacklevel=3,
    )
