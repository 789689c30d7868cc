"""From a batch of samples to named losses: Algorithm 1 of the paper, then the detail stage."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage2_decoding.correction import correct_mask
from mask2alpha.model.stage2_decoding.refine import draw_training_state, start_coarse
from mask2alpha.model.values import CoarseMatte, ImageEncoding, MattingOutput, RunOptions
from mask2alpha.training import losses
from mask2alpha.training.config import Recipe
from mask2alpha.training.trimaps import draw_trimaps


class MattingObjective(nn.Module):
    """The network together with its loss, so that one `forward` is one training step's graph."""

    def __init__(self, model: Mask2Alpha, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe

    def forward(
        self,
        image: UInt8[Tensor, "batch 3 height width"],
        mask: UInt8[Tensor, "batch masks height width"],
        true_alpha: UInt8[Tensor, "batch masks height width"],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Named loss terms of one batch, unweighted.

        Args:
            image: Composites.
            mask: Guidance masks, several per composite.
            true_alpha: The truth for each mask.
            generator: Draws the decoding states and tau.
        """
        num_masks = mask.shape[1]
        images = torch.arange(len(image), device=image.device).repeat_interleave(num_masks)
        pixels = (image.float() / 255).contiguous(memory_format=torch.channels_last)
        masks = mask.flatten(0, 1).unsqueeze(1).float() / 255  # (B * K, 1, H, W)
        truth = true_alpha.flatten(0, 1).unsqueeze(1).float() / 255

        encoding = self._encode(pixels, generator).select(images)
        part, trust, is_decided = self.recipe.trained_part, None, None
        if part == "trust":
            masks, trust = (truth > 0.5).to(masks.dtype), torch.ones(1, device=masks.device)
        elif part == "trimap":
            masks, is_decided = draw_trimaps(masks, truth, generator)
        guidance = masks
        share = self.recipe.corrected_share if part == "all" else 0.0
        if share and torch.rand((), generator=generator, device=image.device).item() < share:
            guidance = self._correct(encoding, masks)
        features = replace(self.model.guide(encoding, guidance), is_decided=is_decided, trust=trust)
        fused = self.model.fuse(features, guidance)
        truth_os4 = F.avg_pool2d(truth, 4)
        first = coarse = self.model.step(fused, start_coarse(fused))
        config = self.model.config.decoder
        if config.is_iterative:
            state = draw_training_state(
                fused,
                first,
                truth_os4,
                own_share=self.recipe.own_state_share,
                num_steps=config.num_steps,
                generator=generator,
            )
            coarse = self.model.step(fused, state)
        terms = coarse_losses(coarse, truth_os4, error_quantile=self.recipe.error_quantile)
        if config.is_iterative:  # what the later steps start from has to be good, too
            share = self.recipe.first_step_share
            terms_first = coarse_losses(first, truth_os4, error_quantile=self.recipe.error_quantile)
            terms = {name: (1 - share) * term + share * terms_first[name] for name, term in terms.items()}
        if part != "all":  # the detail stage does not change
            return terms
        low, high = (math.log(threshold) for threshold in self.recipe.error_thresholds)
        tau = math.exp(low + (high - low) * torch.rand((), generator=generator, device=image.device).item())
        window = draw_windows(coarse.predicted_error, size=self.recipe.detail_window, generator=generator)
        options = RunOptions(error_threshold=tau, is_sparse=False)
        output = self.model.detail(
            window.cut(pixels[images], stride=1),
            window.cut(masks, stride=1),
            CoarseMatte(
                alpha_logits=window.cut(coarse.alpha_logits, stride=4),
                predicted_error=window.cut(coarse.predicted_error, stride=4),
                features=window.cut(coarse.features, stride=4),
                local_colours=window.cut(coarse.local_colours, stride=4),
            ),
            options,
        )
        return {**terms, **detail_losses(output, window.cut(truth, stride=1))}

    @torch.no_grad()
    def _correct(
        self, encoding: ImageEncoding, masks: Float[Tensor, "batch 1 _h _w"]
    ) -> Float[Tensor, "batch 1 _h _w"]:
        """The masks as inference corrects them, but by the matte of the first step alone."""
        fused = self.model.fuse(self.model.guide(encoding, masks), masks)
        corrected = correct_mask(masks, self.model.step(fused, start_coarse(fused)))
        return masks if corrected is None else corrected

    def _encode(self, pixels: Float[Tensor, "batch 3 height width"], generator: torch.Generator) -> ImageEncoding:
        """Encode; a backbone sees a random number of tokens, since those of a photo are of many sizes at inference."""
        if self.model.config.encoder.kind != "backbone":
            return self.model.encode(pixels)
        fewest, most = self.recipe.token_budgets
        draw = torch.rand((), generator=generator, device=pixels.device).item()
        return self.model.encode(pixels, token_budget=round(fewest * (most / fewest) ** draw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """One square per sample, on which the detail stage is trained."""

    top_left: tuple[tuple[int, int], ...]
    """(row, column) in full-resolution pixels, multiples of 4."""
    size: int
    """Side in full-resolution pixels, a multiple of 4."""

    def cut(self, maps: Tensor, *, stride: int) -> Tensor:
        """The windows of (B, C, h, w) maps at `stride`, as (B, C, size / stride, size / stride)."""
        side = self.size // stride
        corners = [(row // stride, column // stride) for row, column in self.top_left]
        cut = [
            one[:, row : row + side, column : column + side] for one, (row, column) in zip(maps, corners, strict=True)
        ]
        return torch.stack(cut).contiguous(memory_format=torch.channels_last)


def draw_windows(predicted_error: Float[Tensor, "batch 1 h w"], *, size: int, generator: torch.Generator) -> Windows:
    """Windows centred on pixels drawn in proportion to the predicted error, moved inside the image.

    The detail stage works where the decoder is unsure, so that is where its training pays; the whole crop would cost
    several times what stages 1 and 2 cost together.

    Args:
        predicted_error: At stride 4.
        size: Side in full-resolution pixels; larger than the image means the whole image (which must be square).
        generator: For the draw.
    """
    height, width = predicted_error.shape[2:]
    side = min(size // 4, height, width)
    chances = predicted_error.detach().float().flatten(1).nan_to_num(0.0) + 1e-4  # the loss will report a NaN
    chosen = torch.multinomial(chances, 1, generator=generator).flatten()
    rows = (chosen // width - side // 2).clamp(0, height - side)
    columns = (chosen % width - side // 2).clamp(0, width - side)
    corners = tuple((4 * row, 4 * column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True))
    return Windows(top_left=corners, size=4 * side)


def coarse_losses(coarse: CoarseMatte, truth_os4: Tensor, *, error_quantile: float) -> dict[str, Tensor]:
    """Losses of stage 2, at stride 4."""
    alpha = coarse.alpha
    return {
        "l1_os4": losses.absolute_error(alpha, truth_os4),
        "unknown_os4": losses.regional_error(alpha, truth_os4, losses.unknown_region(truth_os4, radius=2)),
        "entropy_os4": losses.cross_entropy(coarse.alpha_logits, truth_os4),
        "laplacian_os4": losses.laplacian(alpha, truth_os4, levels=4),
        "predicted_error": losses.predicted_error_loss(
            coarse.predicted_error, alpha, truth_os4, quantile=error_quantile
        ),
    }


def detail_losses(output: MattingOutput, truth: Tensor) -> dict[str, Tensor]:
    """Losses of the final alpha."""
    alpha = output.alpha.float()
    return {
        "l1": losses.absolute_error(alpha, truth),
        "unknown": losses.regional_error(alpha, truth, losses.unknown_region(truth, radius=4)),
        "laplacian": losses.laplacian(alpha, truth),
        "gradient": losses.gradient(alpha, truth),
    }
