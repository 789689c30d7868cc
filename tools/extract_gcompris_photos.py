"""Take the photographs out of GCompris's resource files, as backgrounds for training.

    python tools/extract_gcompris_photos.py RCC_FOLDER OUT_FOLDER

RCC_FOLDER is `usr/share/gcompris-qt/rcc` of the Debian package gcompris-qt-data (`apt-get download gcompris-qt-data`,
then `dpkg -x`). The photographs are under free licences (GPL-3+, CC-BY-SA, public domain and others, each named in the
package's copyright file). Cut-out shapes, drawings and pictures under 300 px are left out.
"""

import argparse
import io
import re
from pathlib import Path

from PIL import Image, UnidentifiedImageError

ACTIVITIES = (
    "clickgame",
    "details",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "explore_world_music",
)
"""Resource files that hold photographs."""
START = re.compile(rb"\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
LARGEST_FILE = 4_000_000
SMALLEST_SIDE = 300


def extract(resource: Path, out: Path) -> int:
    """Write every opaque picture found in one resource file to `out`; returns how many."""
    data = resource.read_bytes()
    written = 0
    for match in START.finditer(data):
        try:
            with Image.open(io.BytesIO(data[match.start() : match.start() + LARGEST_FILE])) as picture:
                picture.load()
        except (OSError, UnidentifiedImageError):  # these bytes start no picture
            continue
        if picture.mode == "RGB" and min(picture.size) >= SMALLEST_SIDE:
            picture.save(out / f"{resource.stem}_{match.start()}.jpg", quality=92)
            written += 1
    return written


def main() -> None:
    """Read the arguments and extract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rcc_folder", type=Path)
    parser.add_argument("out_folder", type=Path)
    arguments = parser.parse_args()
    arguments.out_folder.mkdir(parents=True, exist_ok=True)
    total = sum(extract(arguments.rcc_folder / f"{name}.rcc", arguments.out_folder) for name in ACTIVITIES)
    print(f"{total} photographs in {arguments.out_folder}")


if __name__ == "__main__":
    main()
