"""From a batch of samples to named losses: Algorithm 1 of the paper, then the detail stage."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.outputs import CoarseMatte, MattingOutput, RunOptions
from mask2alpha.model.stage2_decoding.refine import draw_training_state, start_coarse
from mask2alpha.training import losses
from mask2alpha.training.config import Recipe


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
        pictures = torch.arange(len(image), device=image.device).repeat_interleave(num_masks)
        pixels = (image.float() / 255).contiguous(memory_format=torch.channels_last)
        masks = mask.flatten(0, 1).unsqueeze(1).float() / 255  # (B * K, 1, H, W)
        truth = true_alpha.flatten(0, 1).unsqueeze(1).float() / 255

        encoding = self.model.encode(pixels).select(pictures)
        features, mask_os4 = self.model.fuse(encoding, masks)
        truth_os4 = F.avg_pool2d(truth, 4)
        decoder = self.model.decoder
        if self.model.config.decoder.is_iterative:
            state = draw_training_state(
                decoder,
                features,
                mask_os4,
                truth_os4,
                own_share=self.recipe.own_state_share,
                generator=generator,
            )
        else:
            state = start_coarse(mask_os4)
        coarse = decoder(decoder.prepare(features), features, state)
        low, high = (math.log(threshold) for threshold in self.recipe.error_thresholds)
        tau = math.exp(low + (high - low) * torch.rand((), generator=generator, device=image.device).item())
        options = RunOptions(error_threshold=tau, is_sparse=False)
        output = self.model.recover(pixels[pictures], masks, coarse, options)
        return {**coarse_losses(coarse, truth_os4), **detail_losses(output, truth)}


def coarse_losses(coarse: CoarseMatte, truth_os4: Tensor) -> dict[str, Tensor]:
    """Losses of stage 2, at stride 4."""
    alpha = coarse.alpha
    return {
        "l1_os4": losses.absolute_error(alpha, truth_os4),
        "unknown_os4": losses.regional_error(alpha, truth_os4, losses.unknown_region(truth_os4, radius=2)),
        "entropy_os4": losses.cross_entropy(coarse.alpha_logits, truth_os4),
        "laplacian_os4": losses.laplacian(alpha, truth_os4, levels=4),
        "predicted_error": losses.predicted_error_loss(coarse.predicted_error, alpha, truth_os4),
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
