"""Pack each plug-in into the zip file that its host installs: plugins/dist/mask2alpha-HOST.zip.

python plugins/build.py [FOLDER]
"""

import sys
import zipfile
from pathlib import Path

PLUGINS = Path(__file__).parent
CLIENT = PLUGINS / "service_client.py"
FOLDER_IN_ZIP = {
    "comfyui": "mask2alpha/",
    "gimp": "mask2alpha/",
    "krita": "mask2alpha/",
    "blender": "",
    "nuke": "mask2alpha/",
    "fusion": "mask2alpha/",
}
"""Host to the folder that its files have in the zip; Blender wants its manifest on top, and Krita its .desktop file."""
TALKS_HTTP = ("gimp", "krita", "blender", "nuke", "fusion")
LEFT_OUT = (".webp", ".png", ".md")


def build(host: str, folder: Path) -> Path:
    """Write the zip file of one host."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"mask2alpha-{host}.zip"
    files = [path for path in sorted((PLUGINS / host).iterdir()) if path.is_file() and path.suffix not in LEFT_OUT]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*files, *([CLIENT] if host in TALKS_HTTP else [])]:
            place = "" if path.suffix == ".desktop" else FOLDER_IN_ZIP[host]
            about = zipfile.ZipInfo(place + path.name, date_time=(2026, 1, 1, 0, 0, 0))
            about.external_attr = (0o755 if path.read_bytes().startswith(b"#!") else 0o644) << 16
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, path.read_bytes())
    return target


if __name__ == "__main__":
    for each in FOLDER_IN_ZIP:
        print(build(each, Path(sys.argv[1]) if len(sys.argv) > 1 else PLUGINS / "dist"))
