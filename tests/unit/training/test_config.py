import pytest

from mask2alpha.errors import InputError
from mask2alpha.training.config import DataConfig, LossWeights, override
from mask2alpha.training.recipes import RECIPES


def test_override_replaces_nested_values() -> None:
    recipe = override(RECIPES["small"](), "optim.lr=3e-4")
    assert recipe.optim.lr == 3e-4
    assert override(recipe, "model.decoder.num_steps=7").model.decoder.num_steps == 7
    assert override(recipe, "model.detail.selection=shm").model.detail.selection == "shm"


def test_override_takes_a_whole_number_for_a_real_one() -> None:
    assert override(RECIPES["small"](), "optim.clip_norm=2").optim.clip_norm == 2.0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optim.lr", "key=value"),
        ("optim.rate=1", "'rate' is not one of"),
        ("seed.x=1", "has no parts"),
        ("seed=often", "must be of type int"),
        ("data.size=100", "multiple of 64"),
        ("trained_part=trust_alone", "one of all, trust, trimap; got .trust_alone"),
    ],
)
def test_wrong_overrides_are_refused_with_advice(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        override(RECIPES["small"](), assignment)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_builds(name: str) -> None:
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert isinstance(recipe.data, DataConfig)
    assert isinstance(recipe.loss, LossWeights)
