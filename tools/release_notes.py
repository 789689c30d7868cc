"""Print what the changelog says of the version at hand: the text of its release.

python tools/release_notes.py               # the notes
python tools/release_notes.py --version     # the version alone
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def read_version() -> str:
    """The version, without importing the package."""
    text = (ROOT / "src" / "mask2alpha" / "_version.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def find_notes(changelog: str, version: str) -> str:
    """The section of a version, `## 1.2.0 …`; if there is none yet, `## Unreleased`."""
    sections = dict(re.findall(r"^## (\S+).*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE))
    return sections.get(version, sections.get("Unreleased", "")).strip()


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(read_version())
    else:
        notes = find_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), read_version())
        print(notes or sys.exit("CHANGELOG.md has no section for this version, and none that is unreleased"))
