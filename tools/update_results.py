"""Write a comparison's tables and plots into docs/results.md.

    python tools/update_results.py FOLDER     # the --output of `mask2alpha compare`

The plots show no picture of the benchmark, so they may be passed on where its photographs may not.
"""

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- begin: comparison -->", "<!-- end: comparison -->"


def main(folder: str) -> None:
    """Replace what stands between the two marks, and the plots."""
    source = Path(folder)
    tables = (source / "comparison.md").read_text(encoding="utf-8").partition("\n\n")[2]
    images = DOCS / "images" / "results"
    images.mkdir(parents=True, exist_ok=True)
    plots = []
    for path in sorted((source / "figures").glob("*.svg")):
        shutil.copy(path, images / path.name)
        title = path.stem.replace("_", " ")
        plots.append(f"![{title}](images/results/{path.name})")
    before, _, rest = (DOCS / "results.md").read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n\n".join([tables.strip(), "## Plots", *plots])
    (DOCS / "results.md").write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
