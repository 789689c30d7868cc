"""Make every table and picture of the documentation that depends on the weights.

    make figures VALIDATION=folder
    python tools/make_figures.py demo explain        # only some parts

Tables go between two marks, `<!-- begin: NAME -->` and `<!-- end: NAME -->`, of whichever page in docs/ has them; the
text around them stays, and whether it still holds is for a person to check. Finished measurements are kept in
`--work`, so that a stopped run goes on; new weights are measured anew.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mask2alpha.data.composition import Layer, blend
from mask2alpha.data.mask_perturbation import perturb_mask
from mask2alpha.data.sources import PhotoPool
from mask2alpha.data.synthetic import make_cutout
from mask2alpha.evaluation.peers import load_method, parse_method
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

sys.path.insert(0, str(Path(__file__).parent))
from marked_pages import find_page, replace_between
from sheets import Row, draw_sheet

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
COMPARED = (
    "MODEL", "MODEL:steps=1", "MODEL:no-detail", "mask", "feather", "guided-filter",
    "guided-filter:radius=20,eps=1e-4", "closed-form", "closed-form:width=30", "random-walk",
)  # fmt: skip
"""The methods of the comparison; MODEL stands for `--model`."""
COST_SIZES = "0.25,0.5,1,2"
ABLATIONS = ("3", "4", "5", "algorithm")
EXAMPLE_METHODS = ("MODEL", "closed-form", "guided-filter:radius=20,eps=1e-4", "feather")
EXAMPLE_CORNERS = {"astronaut": (20, 130), "chelsea": (80, 231)}
"""Photo, and the upper left corner (row, column) of what is shown at full size."""
CLICKS = (
    ("chelsea", (120, 200), None),
    ("astronaut", (240, 100), (463, 311)),
    ("astronaut", (240, 100), (430, 390)),
)
"""Photo, a click on the target, and one on what is not."""
EXPLAINED = ("--panel", "220", "--steps", "3")
SIDE = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the parts are made with."""

    model: str
    """Shipped name, .safetensors file or folder."""
    validation: Path | None
    """A folder as for `mask2alpha eval`; only `results` and `ablations` need it."""
    docs: Path
    """Where the pages and pictures go."""
    work: Path
    """Where measurements are kept."""
    is_quick: bool
    """Leave out slow methods and timings."""

    def picture(self, name: str) -> Path:
        """The path of a picture of the documentation, whose folder exists."""
        path = self.docs / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def make_results(job: Job) -> None:
    """The comparison's tables and plots, without pictures of the benchmark."""
    methods = [text.replace("MODEL", job.model) for text in (COMPARED[:5:2] if job.is_quick else COMPARED)]
    folder = job.work / "comparison"
    arguments = [str(job.validation), "-o", str(folder), "--title", "real photos with several masks each"]
    arguments += [part for method in methods for part in ("-m", method)]
    arguments += ["--sheet-rows", "0", "--cost-sizes", "0.05" if job.is_quick else COST_SIZES]
    tables = run_command("compare", *arguments).partition("\n\n")[2]
    plots = []
    for path in sorted((folder / "figures").glob("*.svg")):
        shutil.copy(path, job.picture(f"results/{path.name}"))
        plots.append(f"![{path.stem.replace('_', ' ')}](images/results/{path.name})")
    replace_between(job.docs, "comparison", "\n\n".join([tables.strip(), "## Plots", *plots]))


def make_ablations(job: Job) -> None:
    """The run-time switches of the paper's Tables 3, 4 and 5, and of Algorithm 2; each note once."""
    told: set[str] = set()
    for table in ABLATIONS:
        arguments = [str(job.validation), "--table", table, "--model", job.model, "--output", str(job.work / "rows")]
        arguments += ["--repeats", "0" if job.is_quick else "5", "--format", "markdown"]
        lines = run_command("ablate", *arguments).partition("\n\n")[2].splitlines()  # the page has its own heading
        replace_between(job.docs, f"table {table}", "\n".join(line for line in lines if line not in told))
        told |= {line for line in lines if line.startswith("- ")}


def make_examples(job: Job) -> None:
    """The example photos, their masks and the mattes of several methods; below each, its middle at full size."""
    methods = [parse_method(text.replace("MODEL", job.model)) for text in EXAMPLE_METHODS]
    mattings = [load_method(method) for method in methods]
    rows = []
    for name, corner in EXAMPLE_CORNERS.items():
        photo, mask = read_example(name)
        pictures = [photo, mask, *(as_grey(matting(photo, mask > 127)) for matting in mattings)]
        rows += [Row(pictures=pictures), Row(pictures=[crop(picture, corner) for picture in pictures])]
    sheet = draw_sheet(rows, SIDE, titles=["photo", "mask", *(method.label for method in methods)])
    keep(Image.fromarray(sheet), job.picture("results/examples.webp"))


def make_select(job: Job) -> None:
    """What one or two clicks select, and the mattes."""
    predictor = Predictor(Mask2Alpha.from_pretrained(job.model))
    rows = []
    for name, target, rest in CLICKS:
        photo, _ = read_example(name)
        encoded = predictor.encode(photo)
        mask = predictor.select(encoded, points=[target])
        if rest is not None:
            mask = predictor.select(encoded, points=[target], not_points=[rest], mask=mask)
        matte = predictor.predict(encoded, mask)
        clicked = Image.fromarray(photo)
        for point, colour in ((target, "lime"), (rest, "red")):
            if point is not None:
                ImageDraw.Draw(clicked).circle(point, 9, fill=colour, outline="white", width=2)
        rows.append(
            Row(pictures=[np.asarray(clicked), mask * np.uint8(255), as_grey(matte.alpha), matte.composite(TEAL)])
        )
    sheet = draw_sheet(rows, SIDE, titles=["clicks", "selection", "alpha", "composite"])
    keep(Image.fromarray(sheet), job.picture("select.webp"), width=sheet.shape[1])


def make_prompts(job: Job) -> None:
    """Prompts on the example photos, GrabCut's masks, and the mattes."""
    from mask2alpha.prompts.grabcut import GrabCut
    from mask2alpha.prompts.prompt import Prompt

    prompts = {
        "chelsea": Prompt(box_xyxy=(2, 0, 400, 299)),
        "astronaut": Prompt(
            box_xyxy=(14, 8, 511, 511),
            target=(((190, 60), (230, 45), (275, 75)), ((60, 320), (160, 330), (300, 330)), ((310, 480), (470, 390))),
            rest=(((20, 20), (60, 160), (100, 200)), ((420, 30), (440, 200), (400, 270)), ((390, 300), (505, 330))),
        ),
    }
    predictor = Predictor(Mask2Alpha.from_pretrained(job.model))
    rows = []
    for name, prompt in prompts.items():
        photo, _ = read_example(name)
        mask = GrabCut().make_mask(photo, prompt)
        matte = predictor.predict(photo, mask)
        rows.append(Row(pictures=[draw_prompt(photo, prompt), mask, as_grey(matte.alpha), matte.composite(TEAL)]))
    sheet = draw_sheet(rows, 400, titles=["prompt", "mask", "alpha", "composite"])
    keep(Image.fromarray(sheet), job.picture("prompts.webp"), width=sheet.shape[1])


def draw_prompt(photo: NDArray[np.uint8], prompt: Any) -> NDArray[np.uint8]:
    """The photo with the box in yellow, strokes over the target in green and over the rest in red."""
    picture = Image.fromarray(photo)
    draw = ImageDraw.Draw(picture)
    if prompt.box_xyxy is not None:
        draw.rectangle(prompt.box_xyxy, outline="yellow", width=3)
    for strokes, colour in ((prompt.target, "lime"), (prompt.rest, "red")):
        for stroke in strokes:
            draw.line(stroke, fill=colour, width=8, joint="curve")
    return np.asarray(picture)


def make_failures(job: Job) -> None:
    """What the model fails at, on composites with known truth: each row is a failure that the model card names.

    Foregrounds are made by `data/synthetic`, textured with the example photos and laid over them, so that the picture
    is free to pass on.
    """
    predictor = Predictor(Mask2Alpha.from_pretrained(job.model))
    textures = PhotoPool([read_example(name)[0] for name in ("chelsea", "astronaut")])
    rows = []
    for title, kind, mask_kind, seed, has_own_colours in FAILURES:
        rng = np.random.default_rng(seed)
        cutout = make_cutout(rng, 512, textures, kind)
        behind = textures(rng, 512)
        if has_own_colours:
            behind = np.ascontiguousarray(cutout.colour[::-1, ::-1])
        picture = blend(behind, [Layer(cutout.colour, cutout.alpha, 0)], gamma=2.2)
        mask = perturb_mask(rng, cutout.alpha, kind=mask_kind)
        alpha = predictor.predict(picture, mask).alpha
        error = np.abs(alpha - cutout.alpha / np.float32(255)).sum() / 1000
        rows.append(Row(pictures=[picture, mask, as_grey(alpha), cutout.alpha], caption=f"{title}: SAD {error:.1f}"))
    sheet = draw_sheet(rows, 240, titles=["composite", "mask", "our alpha", "true alpha"])
    keep(Image.fromarray(sheet), job.picture("failures.webp"))


FAILURES = (
    ("sparse hair beyond a smooth mask", "haired", "blobby", 4, False),
    ("a mesh whose holes the mask fills", "wicker", "fill_holes", 2, False),
    ("object and background of one colour", "solid", "dilate", 3, True),
    ("smoke", "smoke", "blobby", 5, False),
)
"""Title, a key of `synthetic.KINDS`, a kind of `perturb_mask`, seed, whether the object's colours are behind it."""
TEAL = (0.13, 0.38, 0.44)
HAIR_XYXY = (140, 10, 260, 130)


def make_tutorial(job: Job) -> None:
    """Run the tutorial's own code, which uses the shipped weights, and keep its pictures."""
    sys.path.insert(0, str(ROOT / "tests"))
    from documents import read_blocks, run_block

    page = ROOT / "docs" / "tutorial.md"
    with working_folder():
        names: dict[str, object] = {}
        for block in read_blocks(page):
            if block.is_run:
                run_block(block, names, str(page))
        for name in ("first", "second"):
            keep(Image.open(f"{name}/comparison/photo.png"), job.picture(f"tutorial/{name}.webp"))
        shown = [Image.open(name) for name in ("photo.jpg", "alpha.png", "on_yellow.png", "predicted_error.png")]
        parts = [picture.convert("RGB").crop(HAIR_XYXY) for picture in shown]
        enlarged = [part.resize((3 * part.width, 3 * part.height), Image.Resampling.NEAREST) for part in parts]
        keep(Image.fromarray(np.hstack(enlarged)), job.picture("tutorial/hair.webp"))
        keep(Image.open("explained/detail.png"), job.picture("tutorial/detail.webp"))


def make_explain(job: Job) -> None:
    """The figures of `mask2alpha explain` for the astronaut."""
    photo, mask = (EXAMPLES / kind / "astronaut.png" for kind in ("photos", "masks"))
    target = job.picture("explain/steps.png").parent
    with tempfile.TemporaryDirectory() as folder:
        run_command("explain", str(photo), str(mask), "-o", folder, "--model", job.model, *EXPLAINED)
        for path in Path(folder).iterdir():
            shutil.copy(path, target / path.name)


def make_demo(job: Job) -> None:
    """The comparison that `make demo` writes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(EXAMPLES / "demo.py"), job.model, folder], check=True)
        shutil.copy(Path(folder) / "comparison.png", job.picture("demo.png"))


PARTS: dict[str, Callable[[Job], None]] = {
    "demo": make_demo,
    "explain": make_explain,
    "tutorial": make_tutorial,
    "prompts": make_prompts,
    "select": make_select,
    "examples": make_examples,
    "failures": make_failures,
    "ablations": make_ablations,
    "results": make_results,
}
MEASURED = ("ablations", "results")
"""The parts that need a validation folder."""


def run_command(*arguments: str) -> str:
    """What a command of mask2alpha prints; its progress is shown."""
    command = [sys.executable, "-m", "mask2alpha", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def read_example(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An example photo and its mask."""
    photo = read_image(EXAMPLES / "photos" / f"{name}.png").pixels
    return np.asarray(photo, np.uint8), read_mask(EXAMPLES / "masks" / f"{name}.png")


def as_grey(alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """An alpha in [0, 1] as grey of 8 bits."""
    return np.rint(np.asarray(alpha) * 255).astype(np.uint8)


def crop(picture: NDArray[np.uint8], corner: tuple[int, int]) -> NDArray[np.uint8]:
    """A square of `SIDE` pixels."""
    return picture[corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE]


def keep(picture: Image.Image, path: Path, *, width: int = 1400) -> None:
    """Write a picture, shrunk where it is wider than `width`."""
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(path, quality=85, method=6)


@contextmanager
def working_folder() -> Iterator[None]:
    """Work in a temporary folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option(
    "--validation",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with image/, alpha/ and mask/KIND/ to measure on.",
)
@click.option("--model", default="base", show_default=True, help="Weights to use; the tutorial always uses `base`.")
@click.option(
    "--docs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "docs",
    help="Folder of the pages to write.  [default: docs]",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "build" / "figures",
    help="Folder for finished measurements; a stopped run continues from it.  [default: build/figures]",
)
@click.option("--quick", "is_quick", is_flag=True, help="Use fast methods and no timings, to try the command.")
def main(parts: Sequence[str], validation: Path | None, model: str, docs: Path, work: Path, is_quick: bool) -> None:
    """Make PARTS of the documentation from the shipped weights; without PARTS, all of them."""
    chosen = [name for name in PARTS if not parts or name in parts]
    needing = [name for name in chosen if name in MEASURED]
    if needing and (validation is None or not validation.is_dir()):
        given = "none was given" if validation is None else f"{validation} is not a folder"
        raise click.UsageError(
            f"{' and '.join(needing)}: a validation folder is needed, and {given}; "
            "pass --validation FOLDER (make figures VALIDATION=FOLDER), or name the other parts"
        )
    for mark in [
        *(["comparison"] if "results" in chosen else []),
        *(f"table {table}" for table in ABLATIONS if "ablations" in chosen),
    ]:
        find_page(docs, mark)  # before anything is measured
    folder = None if validation is None else validation.resolve()
    job = Job(model=model, validation=folder, docs=docs.resolve(), work=work.resolve(), is_quick=is_quick)
    for name in chosen:
        click.echo(f"{name} …", err=True)
        PARTS[name](job)


if __name__ == "__main__":
    main()
