"""`mask2alpha doctor`: does this installation work, how fast is it, and what is missing for which feature?"""

import re
import shutil
import time
import warnings
from collections.abc import Iterator

import click

FEATURES = {
    "train": "training",
    "eval": "scores",
    "report": "the report of `compare`",
    "formats": "OpenEXR, HEIF, floating-point TIFF",
    "export": "ONNX, OpenVINO, and `page`",
    "batch": "`batch`, and Ray",
    "tensorboard": "TensorBoard",
    "peers": "other methods in `compare`",
    "prompts": "GrabCut",
    "video": "`video`",
    "mcp": "`mcp`, for agents",
    "serve": "`serve` and the page",
}
"""What each extra of the package is for."""
SIDE = 1024
"""Side of the photo that is matted, in pixels."""


@click.command()
def command() -> None:
    """Check this installation: matte a photo, and list what is missing for which feature.

    The exit status is 1 if matting does not work. Missing extras do not count.
    """
    from mask2alpha.cli.info import describe_installation, installation_lines

    for name, text in installation_lines(describe_installation()).items():
        click.echo(f"{name:<12} {text}")
    is_well = all([_check_weights(), _check_matte()])
    for extra, purpose in FEATURES.items():
        missing = [package for package in packages_of(extra) if not _is_installed(package)]
        if missing:
            told = f"{purpose}: {', '.join(missing)} missing; pip install 'mask2alpha[{extra}]'"
            click.echo(f"{extra:<12} {told}")
    if missing := [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]:
        click.echo(f"{'ffmpeg':<12} `video`: {', '.join(missing)} not on the PATH; install FFmpeg")
    click.echo("Matting works." if is_well else "Matting does not work; the lines above say why.")
    if not is_well:
        raise SystemExit(1)


def _check_weights() -> bool:
    """Read every shipped model with its backbone, whose hash is checked."""
    from mask2alpha.checkpoints import load_model, shipped_names
    from mask2alpha.errors import Mask2AlphaError

    is_well = True
    for name in shipped_names():
        try:
            load_model(name)
        except Mask2AlphaError as error:
            is_well = False
            click.echo(f"{name:<12} cannot be read: {error}")
        else:
            click.echo(f"{name:<12} weights read")
    return is_well


def _check_matte() -> bool:
    """Matte a disc of noise before other noise with the default model; the disc has to come out."""
    import numpy as np

    from mask2alpha.checkpoints import load_model
    from mask2alpha.errors import Mask2AlphaError
    from mask2alpha.model.config import DEFAULT_MODEL
    from mask2alpha.pipeline.predictor import Predictor

    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    disc = np.hypot(rows, columns) < SIDE / 4
    noise = np.random.default_rng(0).integers(0, 64, (SIDE, SIDE, 3), dtype=np.uint8)
    photo = np.where(disc[..., None], (200, 90, 60), (40, 90, 150)).astype(np.uint8) + noise // 2
    times = []
    try:
        with warnings.catch_warnings(action="ignore"):
            predictor = Predictor(load_model(DEFAULT_MODEL))
            for _ in range(3):
                started = time.perf_counter()
                alpha = predictor.predict(photo, disc).alpha
                times.append(time.perf_counter() - started)
    except (Mask2AlphaError, RuntimeError, MemoryError) as error:
        click.echo(f"{'matte':<12} failed: {error}")
        return False
    wrong = float(np.abs(alpha - disc).mean())
    click.echo(f"{'matte':<12} {SIDE} x {SIDE} in {min(times):.2f} s, the first in {times[0]:.2f} s")
    if wrong > 0.01:
        click.echo(f"{'matte':<12} wrong by {wrong:.3f} on average; 0.01 at most is expected")
    return wrong <= 0.01


def packages_of(extra: str) -> Iterator[str]:
    """The packages that an extra of mask2alpha installs, extras that it contains included."""
    from importlib.metadata import requires

    for requirement in requires("mask2alpha") or []:
        wanted, _, marker = requirement.partition(";")
        if f'extra == "{extra}"' not in marker.replace("'", '"'):
            continue
        found = re.match(r"(?P<package>[\w.-]+)(\[(?P<extras>[\w, -]+)\])?", wanted)
        assert found is not None
        if found["package"] == "mask2alpha":
            for inner in found["extras"].split(","):
                yield from packages_of(inner.strip())
        else:
            yield found["package"]


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
