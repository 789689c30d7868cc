"""Build sdist and wheel of the last commit into `dist/`.

    make dist

Only what is committed counts: neither files that lie around nor an older `build/` gets in. Times in the archives are
the commit's.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def git(*words: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def main() -> None:
    """Export the commit, build from the export, and let twine look at the result."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct").decode().strip()}
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source", Path(folder) / "out"
        with tarfile.open(fileobj=BytesIO(git("archive", "--format=tar", "HEAD"))) as archive:
            archive.extractall(source, filter="data")
        build = [sys.executable, "-m", "build", "--outdir", str(out), str(source)]
        subprocess.run(build, env=environment, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, out.iterdir())], check=True)
        DIST.mkdir(exist_ok=True)
        for old in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
            old.unlink()
        made = [Path(shutil.move(path, DIST / path.name)) for path in sorted(out.iterdir())]
    for path in made:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
