"""A Gradio Space: click an object, get its cut-out."""

from functools import cache

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from mask2alpha import Mask2Alpha, Predictor
from mask2alpha.errors import Mask2AlphaError

Click = tuple[int, int, bool]
"""x and y in pixels of the photo, and whether the object is there."""


@cache
def load_predictor() -> Predictor:
    """The model, loaded with the first photo."""
    return Predictor(Mask2Alpha.from_pretrained("base"))


def cut_out(photo: NDArray[np.uint8], clicks: list[Click]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The cut-out (H, W, 4) and its alpha (H, W), both in [0, 255].

    Args:
        photo: (H, W, 3).
        clicks: On the object, or, with False, on what is not the object. None: what stands out is cut out.
    """
    try:
        encoded = load_predictor().encode(photo)
        points: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        for x, y, is_on in clicks:
            points[is_on].append((x, y))
        matte = load_predictor().predict(
            encoded, load_predictor().select(encoded, points=points[True], not_points=points[False])
        )
    except Mask2AlphaError as error:
        raise gr.Error(str(error)) from error
    cutout = matte.cutout()
    return cutout, cutout[..., 3]


def add_click(
    photo: NDArray[np.uint8], clicks: list[Click], kind: str, click: gr.SelectData
) -> tuple[list[Click], NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut out with one more click."""
    clicks = [*clicks, (*click.index, kind == "the object")]
    return clicks, *cut_out(photo, clicks)


with gr.Blocks(title="mask2alpha") as demo:
    gr.Markdown("# mask2alpha\nOpen a photo and click the object.")
    clicks = gr.State([])
    with gr.Row():
        photo = gr.Image(label="Photo", type="numpy", image_mode="RGB")
        cutout = gr.Image(label="Cut-out", format="png", interactive=False)
        alpha = gr.Image(label="Alpha", format="png", interactive=False)
    kind = gr.Radio(["the object", "not the object"], value="the object", label="A click is on")
    photo.select(add_click, [photo, clicks, kind], [clicks, cutout, alpha])
    photo.input(lambda: ([], None, None), None, [clicks, cutout, alpha])

if __name__ == "__main__":
    demo.launch()
