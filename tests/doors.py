"""The doors by which a photo and a mask come in: the command, `batch`, Python, the service, `video`, the plug-ins.

Each is a function of a photo, a mask, what the user says of the mask, and an empty folder, and returns the bytes of one
output, a PNG file. A refusal is an exception whose text the user sees.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fakes import FakePredictor
from mask2alpha.batch.manifest import Row, write_choice
from mask2alpha.batch.worker import Worker, WorkerSettings
from mask2alpha.cli import matte as matte_module
from mask2alpha.cli.main import main
from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.rendering import RenderedMatte
from mask2alpha.serving.job_runner import JobRunner
from mask2alpha.serving.jobs import MatteJob, Target
from mask2alpha.video.clips import open_clip, open_masks
from mask2alpha.video.job import VideoJob, run

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins"))
import service_client


def by_command(
    photo: Path, mask: Path, choice: MaskChoice, out: Path, kind: str = "alpha", predictor: Any = None
) -> bytes:
    options = [] if choice.label is None else ["--label", choice.label]
    options += [] if choice.channel is None else ["--channel", choice.channel]
    options += ["--invert"] * choice.is_inverted + ["--fit", choice.fit, "--output", kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matte_module, "build_predictor", lambda source, **settings: predictor or FakePredictor())
        result = CliRunner().invoke(main, ["matte", str(photo), str(mask), "-o", str(out / "a.png"), *options])
    if result.exit_code:
        raise InputError(result.output)
    return (out / "a.png").read_bytes()


def by_python(
    photo: Path, mask: Path, choice: MaskChoice, out: Path, kind: str = "alpha", predictor: Any = None
) -> bytes:
    read = read_image(photo)
    fitted = read_fitted_mask(mask, read.pixels.shape[:2], orientation=read.orientation, choice=choice)
    matte = (predictor or FakePredictor()).predict(read.in_srgb().pixels, fitted)
    return RenderedMatte(read, matte).encode(Path("a.png"), kind)


def by_batch(
    photo: Path, mask: Path, choice: MaskChoice, out: Path, kind: str = "alpha", predictor: Any = None
) -> bytes:
    settings = WorkerSettings(base=str(photo.parent), out=str(out), retries=0, kinds=(kind,))
    worker = Worker(settings, lambda _: predictor or FakePredictor())
    (result,) = worker.run([Row("a", photo.name, str(mask), write_choice(choice))])
    if result.reason is not None:
        raise InputError(result.reason)
    return (out / kind / "a.png").read_bytes()


def by_service(
    photo: Path,
    mask: Path,
    choice: MaskChoice,
    out: Path,
    kind: str = "alpha",
    predictor: AbstractPredictor | None = None,
) -> bytes:
    runner = JobRunner(predictor or FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**6)
    words = {"label": choice.label, "channel": choice.channel, "invert": choice.is_inverted, "fit": choice.fit}
    job = MatteJob(photo=photo, masks=[mask], targets=[Target(mask=0)], folder=out, outputs=[kind], **words)  # type: ignore[arg-type,list-item]
    return (out / runner.run(job, lambda stage, done: None).file_name).read_bytes()


def by_video(
    photo: Path, mask: Path, choice: MaskChoice, out: Path, kind: str = "alpha", predictor: Any = None
) -> bytes:
    for folder, file in (("frames", photo), ("masks", mask)):
        (out / folder).mkdir()
        (out / folder / f"1{file.suffix}").write_bytes(file.read_bytes())
    clip = open_clip(out / "frames")
    masks = open_masks(out / "masks", clip, choice)
    job = VideoJob(clip=clip, objects={"": masks}, targets={("", kind): out / kind}, is_steady=False, settings={})
    run(job, lambda: predictor or FakePredictor())
    return (out / kind / "1.png").read_bytes()


def by_plugin(
    photo: Path, mask: Path, choice: MaskChoice, out: Path, kind: str = "alpha", predictor: Any = None
) -> bytes:
    """As the plug-ins of GIMP and Blender ask; the service that answers has the predictor."""
    words = {"label": choice.label, "channel": choice.channel, "invert": "true" * choice.is_inverted}
    words |= {"fit": "stretch" * (choice.fit == "stretch")}
    fields = {name: word for name, word in words.items() if word}
    return service_client.matte(photo.read_bytes(), mask.read_bytes(), kind, choice=fields)


DOORS = {door.__name__: door for door in (by_command, by_python, by_batch, by_service, by_video, by_plugin)}
