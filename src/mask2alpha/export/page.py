"""The page without a service: a folder of files for any web server, in which the browser runs the network.

The page is the one that `mask2alpha serve` shows, as it is built into this package; its engine is ONNX Runtime Web.
"""

import hashlib
import json
import shutil
from pathlib import Path

from mask2alpha._version import __version__
from mask2alpha.export.web import export_for_web
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.targets import prepare_folder

PACKAGE = Path(__file__).parents[1]
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The page's content security policy: nothing is loaded from, or sent to, another host."""
_README = """\
---
title: mask2alpha
emoji: ✂️
colorFrom: gray
colorTo: green
sdk: static
app_file: index.html
license: apache-2.0
short_description: Mark an object roughly, get its matte, in your browser
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: same-origin
---

Image matting in the browser, by [mask2alpha](https://arxiv.org/abs/2502.17093). Pictures stay on your machine.

`mask2alpha page` wrote this folder. Any web server can serve it, as `python -m http.server` here does. The lines above
make it a static Space of Hugging Face.
"""
_HEADERS = """\
/*
  Cross-Origin-Embedder-Policy: require-corp
  Cross-Origin-Opener-Policy: same-origin
"""
"""For hosts that read a file `_headers`; elsewhere the service worker sends them."""


def write_page(folder: str | Path, source: str | Path = "small") -> list[Path]:
    """Write the page with a model.

    Args:
        folder: Created if it does not exist; files of the same names are replaced.
        source: The model, as for `export_for_web`.

    Returns:
        The files.

    Raises:
        CheckpointError: The model cannot be found or read.
        InputError: It cannot run in the page, the extra `export` is missing, or the folder cannot be written.
    """
    folder = Path(folder)
    written = export_for_web(source, folder / "model")
    copied = {f"assets/{path.name}": path for path in sorted((PACKAGE / "web" / "assets").iterdir())}
    copied |= {name: PACKAGE / "web" / name for name in ("icon.svg", "licenses.txt", "manifest.webmanifest")}
    copied |= {f"example/{name}": PACKAGE / "serving" / "example" / name for name in ("photo.jpg", "mask.png")}
    for name, path in copied.items():
        target = folder / name
        prepare_folder(target.parent)
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)
        written.append(target)
    written.append(_write(folder / "index.html", _index()))
    names = [path.relative_to(folder).as_posix() for path in written]
    digest = hashlib.sha256()
    for path in written:
        digest.update(path.read_bytes())
    variables = {"VERSION": digest.hexdigest()[:16], "FILES": names, "POLICY": POLICY}
    lines = [f"const {name} = {json.dumps(value)};\n" for name, value in variables.items()]
    worker = (PACKAGE / "web" / "sw.js").read_text(encoding="utf-8")
    written.append(_write(folder / "sw.js", "".join([*lines, worker])))
    written.append(_write(folder / "README.md", _README))
    written.append(_write(folder / "_headers", _HEADERS))
    return written


def _index() -> str:
    """The page, told that there is no service."""
    page = (PACKAGE / "web" / "index.html").read_text(encoding="utf-8")
    charset = '<meta charset="utf-8" />'
    head = f'{charset}<meta http-equiv="Content-Security-Policy" content="{POLICY}" />'
    head += '<link rel="manifest" href="./manifest.webmanifest" />'
    opening = f'<html lang="en" data-service="none" data-version="{__version__}">'
    return page.replace('<html lang="en">', opening, 1).replace(charset, head, 1)


def _write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
