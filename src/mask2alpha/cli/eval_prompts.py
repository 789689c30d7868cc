"""`mask2alpha eval-prompts`: makers of rough masks, with simulated clicks, boxes and strokes."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.network_options import device_option, model_option

if TYPE_CHECKING:
    from mask2alpha.evaluation.prompts import Answer
    from mask2alpha.ops.prompt import Prompt
    from mask2alpha.pipeline.matte import EncodedImage
    from mask2alpha.pipeline.predictor import Predictor


@click.command()
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER"
)
@click.option(
    "--by",
    "makers",
    default="backbone,grabcut",
    metavar="SEGMENTER,...",
    help="Segmenters to score, as for `mask2alpha mask`.",
)
@click.option(
    "--clicks",
    "num_clicks",
    type=click.IntRange(min=3),
    default=10,
    help="Number of simulated clicks.",
)
@model_option("model", what="Model for the mattes and for the segmenter backbone")
@device_option(what="the networks")
def command(folders: tuple[Path, ...], makers: str, num_clicks: int, model: str, device: str | None) -> None:
    """Score the rough masks that prompts give on the photos of each FOLDER.

    Each FOLDER holds image/NAME.png and alpha/NAME.png.
    The true object is alpha above one half. Each click goes to the middle of the largest error, and the segmenter
    backbone continues from its last mask. The box is the object's bounding box, and the stroke is a line through the
    object. The table has the mean IoU after each click, with the box and with the stroke, the mean number of clicks up
    to an IoU of 0.9, the time of an answer, and the error of the matte after three clicks. The command prints a line
    per photo to standard error.
    """
    from mask2alpha.checkpoints import load_model
    from mask2alpha.evaluation.benchmarks import GuidedFolder, Masks, check_size, read_alpha
    from mask2alpha.evaluation.prompts import format_prompt_scores, mask_error, score_maker
    from mask2alpha.imaging.decode import read_image, read_mask
    from mask2alpha.pipeline.predictor import Predictor
    from mask2alpha.prompts.makers import make_mask_maker

    predictor = Predictor(load_model(model), device=device)
    names = [name.strip() for name in makers.split(",")]
    opened = {name: make_mask_maker(name, device=device) for name in names if name != "backbone"}
    masks = Masks(recipes=("lowres-v1",))  # so that a folder without masks will do
    photographs = [photograph for folder in folders for photograph in GuidedFolder(folder, masks=masks).photographs]
    scores, lowres = [], {}
    for photograph in photographs:
        image, true_alpha = read_image(photograph.image_path).pixels, read_alpha(photograph.alpha_path)
        check_size(photograph.alpha_path, true_alpha.shape, photograph.image_path, image.shape[:2])
        encoded = predictor.encode(image)
        lowres_path = photograph.alpha_path.parent.parent / "mask" / "lowres" / f"{photograph.name}.png"
        if lowres_path.exists():
            lowres[str(lowres_path)] = mask_error(true_alpha, predictor.predict(encoded, read_mask(lowres_path)).alpha)
        for name in names:
            answer = _by_selection(predictor, encoded) if name == "backbone" else _by_maker(opened[name], image)
            score = score_maker(
                photograph.name,
                name,
                answer,
                true_alpha,
                partial(_matte, predictor, encoded),
                num_clicks=num_clicks,
            )
            scores.append(score)
            clicks = " ".join(f"{iou:.3f}" for iou in score.clicks)
            click.echo(f"{score.photo} {name}: {clicks} box {score.box:.3f} stroke {score.scribble:.3f}", err=True)
    click.echo(format_prompt_scores(scores, lowres))


def _by_selection(predictor: "Predictor", encoded: "EncodedImage") -> "Answer":
    def answer(prompt: "Prompt", mask: Any) -> Any:
        boxes = [] if prompt.box_xyxy is None else [prompt.box_xyxy]
        return predictor.select(encoded, boxes=boxes, strokes=prompt.target, not_strokes=prompt.rest, mask=mask)

    return answer


def _by_maker(maker: Any, image: Any) -> "Answer":
    return lambda prompt, _: maker.make_mask(image, prompt) > 127


def _matte(predictor: "Predictor", encoded: "EncodedImage", mask: Any) -> Any:
    if mask.all() or not mask.any():  # the matte of a mask without a border is the mask
        return mask.astype("float32")
    return predictor.predict(encoded, mask).alpha
