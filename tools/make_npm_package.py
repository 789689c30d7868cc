"""Build the npm package into a folder: compiled sources, the model, the licence.

    python tools/make_npm_package.py dist

Needs Node, `npm ci` in `web/`, and the extra `export`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from mask2alpha._version import __version__
from mask2alpha.export.web import export_for_web

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
PACKAGE = WEB / "npm"


def make_package(folder: Path) -> Path:
    """Write the tarball, and return its path."""
    version = json.loads((PACKAGE / "package.json").read_text())["version"]
    assert version == __version__, f"web/npm/package.json says {version}, the Python package {__version__}"
    shutil.rmtree(PACKAGE / "dist", ignore_errors=True)
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    subprocess.run(["node", compiler, "-p", PACKAGE / "tsconfig.build.json"], check=True)
    export_for_web("small", PACKAGE / "model")
    shutil.copyfile(ROOT / "LICENSE", PACKAGE / "LICENSE")
    folder.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", "--json", "--pack-destination", str(folder.resolve())],
        cwd=PACKAGE,
        capture_output=True,
        check=True,
        text=True,
    )
    return folder / str(json.loads(packed.stdout)[0]["filename"])


if __name__ == "__main__":
    made = make_package(Path(sys.argv[1]))
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")
