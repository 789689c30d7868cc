"""Run the notebooks and keep their output: `make notebooks`, or `python tools/run_notebooks.py [NAME.ipynb ...]`.

Needs the extras `docs`, `prompts` and `peers`. Times and paths of this machine are not kept, and an output that holds
one stops it.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MAX_BYTES = 1_500_000
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:work|home|tmp|root|Users|mnt)/\w")


def main(*names: str) -> None:
    """Run the named notebooks, or all of them."""
    for path in [NOTEBOOKS / name for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = run(path)
        text = nbformat.writes(notebook)
        if found := MACHINE_PATH.search(text):
            raise SystemExit(f"{path.name}: an output names a path of this machine: {found.group()}…")
        if len(text) > MAX_BYTES:
            raise SystemExit(f"{path.name}: {len(text)} bytes are too many; show smaller pictures")
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {len(text) / 1000:.0f} kB")


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with the output of a fresh run.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


if __name__ == "__main__":
    main(*sys.argv[1:])
