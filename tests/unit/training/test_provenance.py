import json
import re
from pathlib import Path

import numpy as np
import pytest

from mask2alpha.data.sources import PhotoPool, Sources
from mask2alpha.errors import InputError
from mask2alpha.training.provenance import commit, describe_run, find_data_card, hardware, read_data_card
from mask2alpha.training.recipes import debug

CARD = [{"name": "walls", "licence": "CC0-1.0"}]


@pytest.fixture
def sources() -> Sources:
    return Sources(None, PhotoPool([np.zeros((8, 8, 3), np.uint8)], set_sizes={"walls": 1}))


def test_a_card_beside_the_data_is_found(tmp_path: Path) -> None:
    assert find_data_card(tmp_path) is None
    (tmp_path / "README.md").write_text("# Walls, CC0\n")
    assert find_data_card(tmp_path) == "# Walls, CC0\n"
    (tmp_path / "SOURCES.json").write_text(json.dumps(CARD))
    assert find_data_card(tmp_path) == CARD


def test_a_broken_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "SOURCES.json").write_text("{")
    with pytest.raises(InputError, match=r"SOURCES\.json"):
        find_data_card(tmp_path)
    with pytest.raises(InputError, match=r"absent\.json"):
        read_data_card(tmp_path / "absent.json")


def test_a_run_is_described(sources: Sources) -> None:
    about = describe_run(debug(), sources, "cpu", 2, {"data_card": CARD, "initial_weights": {"name": "x"}})
    assert json.loads(about["recipe"])["name"] == "debug"
    assert about["training_data"] == {
        "sets": [{"role": "background", "name": "walls", "items": 1}],
        "procedural_share": 1.0,
        "card": CARD,
    }
    assert about["initial_weights"] == {"name": "x"}
    assert about["hardware"] == hardware("cpu", 2)
    assert about["hardware"]["processes"] == 2
    assert about["hardware"]["device"]


def test_the_commit_is_that_of_the_checkout_if_there_is_one() -> None:
    found = commit()
    if (Path(__file__).parents[3] / ".git").exists():
        assert found is not None
        assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", found)
    else:
        assert found is None
