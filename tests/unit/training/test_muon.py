import torch
from torch import nn

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.config import OptimConfig
from mask2alpha.training.muon import ADAM_RMS, Muon, orthogonalise
from mask2alpha.training.optim import make_optimizer


def matrix_group(parameter: nn.Parameter, weight_decay: float = 0.0) -> list[dict[str, object]]:
    return [{"params": [parameter], "is_matrix": True, "weight_decay": weight_decay}]


def test_singular_values_become_about_one_and_the_vectors_stay() -> None:
    torch.manual_seed(0)
    for shape in ((3, 24, 60), (2, 8, 40), (2, 40, 8)):
        given = torch.randn(shape)
        made = orthogonalise(given)
        assert made.shape == given.shape
        values = torch.linalg.svdvals(made.double())
        assert values.min() > 0.5
        assert values.max() < 1.4
        left, _, right = torch.linalg.svd(given.double(), full_matrices=False)
        between = left.transpose(1, 2) @ made.double() @ right.transpose(1, 2)
        off_diagonal = between - torch.diag_embed(between.diagonal(dim1=1, dim2=2))
        assert off_diagonal.abs().max() < 0.1


def test_a_zero_gradient_is_no_step() -> None:
    assert orthogonalise(torch.zeros(1, 4, 6)).abs().max() == 0


def test_steps_are_as_large_as_those_of_adamw() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(32, 16, 3, 3))
    optimizer = Muon(matrix_group(kernel), lr=0.1)
    kernel.grad = torch.randn_like(kernel)
    optimizer.step()
    assert 0.7 < kernel.detach().square().mean().sqrt() / (0.1 * ADAM_RMS) < 1.3


def test_vectors_take_exactly_the_steps_of_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(7)) for _ in range(2))
    muon = Muon([{"params": [ours], "is_matrix": False, "weight_decay": 0.1}], lr=0.01, betas=(0.9, 0.98))
    adamw = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(5):
        gradient = torch.randn(7)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours, theirs)


def test_the_loss_falls_in_directions_of_every_scale() -> None:
    scales = torch.logspace(0, -1, 16).unsqueeze(1)
    target = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    weight = nn.Parameter(torch.zeros(16, 16))
    optimizer = Muon(matrix_group(weight), lr=0.2)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 300)
        loss = ((weight - target) * scales).square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert ((weight.detach() - target).abs() < 0.1).all()


def test_matrices_and_kernels_alone_take_muons_steps() -> None:
    model = Mask2Alpha(PRESETS["tiny"])
    optimizer = make_optimizer(model, OptimConfig(name="muon"))
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    matrices = {names[parameter] for group in groups if group["is_matrix"] for parameter in group["params"]}
    others = {names[parameter] for group in groups if not group["is_matrix"] for parameter in group["params"]}
    assert matrices | others == set(names.values())
    assert "encoder.blocks.0.attention.query.weight" in matrices
    assert "fusion.mixers.0.conv.weight" in matrices
    assert "encoder.positions.weight" in others  # depth-wise: a row of nine numbers per channel is no matrix
    assert "encoder.embedding.norm.weight" in others
