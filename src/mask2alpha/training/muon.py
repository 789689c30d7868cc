"""Muon: momentum whose matrices are made orthogonal before the step, and AdamW for everything else.

A gradient's momentum is mostly a few strong directions; the steps of AdamW follow them. Setting all singular values to
about one lets the rare directions learn as fast, which reaches the same loss in fewer samples. From K. Jordan et al.,
"Muon: an optimizer for hidden layers in neural networks" (2024); the scale by which one learning rate serves both parts
is from J. Liu et al., "Muon is scalable for LLM training" (2025, section 2.2).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, ParamsT

from mask2alpha.ops.dtypes import default_dtype

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz polynomial; singular values end between about 0.7 and 1.2."""
ITERATIONS = 5
ADAM_RMS = 0.2
"""Root mean square of a typical step of AdamW over its learning rate, which Muon's steps are scaled to."""


class Muon(Optimizer):
    """Groups with `is_matrix` take Muon's steps (kernels as matrices, a row per output channel), others AdamW's."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; decoupled weight decay in both parts. A `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            for parameter in parameters:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            if group["is_matrix"]:
                self._step_matrices(parameters, group)
            else:
                self._step_adam(parameters, group)

    def _step_matrices(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        of_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum: Tensor = state["momentum"]
            momentum.lerp_(parameter.grad, 1 - group["momentum"])
            ahead = parameter.grad.lerp(momentum, group["momentum"]).flatten(1)  # Nesterov
            of_shape.setdefault((ahead.shape[0], ahead.shape[1]), []).append((parameter, ahead))
        for (rows, columns), members in of_shape.items():
            steps = orthogonalise(torch.stack([ahead for _, ahead in members]))
            scale = group["lr"] * ADAM_RMS * max(rows, columns) ** 0.5
            for (parameter, _), step in zip(members, steps, strict=True):
                parameter.sub_(scale * step.view(parameter.shape))

    def _step_adam(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if "exp_avg" not in state:
                state |= {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
            state["step"] += 1
            count = float(state["step"])
            state["exp_avg"].lerp_(parameter.grad, 1 - first)
            state["exp_avg_sq"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            spread = (state["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(group["eps"])
            parameter.addcdiv_(state["exp_avg"], spread, value=-group["lr"] / (1 - first**count))


def orthogonalise(matrices: Float[Tensor, "count rows columns"]) -> Float[Tensor, "count rows columns"]:
    """Set each matrix's singular values to about one and keep its singular vectors, by Newton-Schulz iteration.

    It is computed in bfloat16 where the hardware does that, else in float32.
    """
    a, b, c = QUINTIC
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.transpose(1, 2) if is_tall else matrices).contiguous()
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)).to(default_dtype(x.device))
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    x = x.to(matrices.dtype)
    return x.transpose(1, 2) if is_tall else x
