import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = {"first_steps.ipynb", "reproduce_tables.ipynb"}
MAX_BYTES = 1_500_000
FALLBACK = "NOT THE VALIDATION DATA"


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(notebook: Any) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    return "".join("".join(output.get("text", "")) for output in outputs)


def run(path: Path) -> Any:
    """The notebook after a run in a kernel of its own; as it lies on disk, it stays."""
    pytest.importorskip("nbclient", reason="needs the extra `docs`")
    pytest.importorskip("ipykernel", reason="needs the extra `docs`")
    return runpy.run_path(str(ROOT / "tools" / "run_notebooks.py"))["run"](path)


def test_the_notebooks_are_known() -> None:
    assert {path.name for path in NOTEBOOKS} == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_was_run_from_top_to_bottom(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert not [output for cell in cells for output in cell["outputs"] if output.get("name") == "stderr"]
    assert any(cell["outputs"] for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_is_small(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES


def test_the_tables_in_the_repository_say_that_they_are_of_the_example() -> None:
    assert FALLBACK in printed(read(ROOT / "notebooks" / "reproduce_tables.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASK2ALPHA_VALIDATION", raising=False)
    stored = read(path)
    fresh = run(path)
    assert [cell["source"] for cell in code_cells(fresh)] == ["".join(cell["source"]) for cell in code_cells(stored)]
    assert (FALLBACK in printed(fresh)) == (path.name == "reproduce_tables.ipynb")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_tables_are_of_the_validation_data_where_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = tmp_path / "validation"
    for folder in ("image", "alpha", "mask/lowres"):
        (validation / folder).mkdir(parents=True)
        Image.new("RGB" if folder == "image" else "L", (64, 64), 200).save(validation / folder / "0.png")
    monkeypatch.setenv("MASK2ALPHA_VALIDATION", str(validation))
    notebook = read(ROOT / "notebooks" / "reproduce_tables.ipynb")
    first_table = next(index for index, cell in enumerate(notebook["cells"]) if '"eval"' in "".join(cell["source"]))
    notebook["cells"] = notebook["cells"][: first_table + 1]
    short = tmp_path / "short.ipynb"
    short.write_text(json.dumps(notebook), encoding="utf-8")
    fresh = run(short)
    assert FALLBACK not in printed(fresh)
    table = code_cells(fresh)[-1]["outputs"][-1]["data"]["text/markdown"]
    assert "Example data" not in table
    assert "| lowres | 1 |" in table
