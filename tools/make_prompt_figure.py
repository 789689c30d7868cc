"""Draw docs/images/prompts.webp: prompts on the example photographs, GrabCut's masks, and the mattes.

python tools/make_prompt_figure.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mask2alpha import Mask2Alpha, Predictor
from mask2alpha.prompts.grabcut import GrabCut
from mask2alpha.prompts.prompt import Prompt

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "chelsea": Prompt(box_xyxy=(2, 0, 400, 299)),
    "astronaut": Prompt(
        box_xyxy=(14, 8, 511, 511),
        target=(((190, 60), (230, 45), (275, 75)), ((60, 320), (160, 330), (300, 330)), ((310, 480), (470, 390))),
        rest=(((20, 20), (60, 160), (100, 200)), ((420, 30), (440, 200), (400, 270)), ((390, 300), (505, 330))),
    ),
}
TILE_WIDTH = 400
COMPOSITE = (0.13, 0.38, 0.44)


def main() -> None:
    """Write the picture."""
    predictor = Predictor(Mask2Alpha.from_pretrained("small"))
    rows = [draw_row(predictor, name, prompt) for name, prompt in EXAMPLES.items()]
    figure = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    top = 0
    for row in rows:
        figure.paste(row, (0, top))
        top += row.height
    figure.save(ROOT / "docs" / "images" / "prompts.webp", quality=85)


def draw_row(predictor: Predictor, name: str, prompt: Prompt) -> Image.Image:
    """Prompt, mask, alpha and composite side by side."""
    image = np.asarray(Image.open(ROOT / "examples" / "photos" / f"{name}.png").convert("RGB"))
    mask = GrabCut().make_mask(image, prompt)
    matte = predictor.predict(image, mask)
    tiles = [
        draw_prompt(image, prompt),
        Image.fromarray(mask).convert("RGB"),
        Image.fromarray(np.rint(matte.alpha * 255).astype(np.uint8)).convert("RGB"),
        Image.fromarray(matte.composite(COMPOSITE)),
    ]
    height = round(image.shape[0] * TILE_WIDTH / image.shape[1])
    row = Image.new("RGB", (len(tiles) * TILE_WIDTH, height))
    for index, tile in enumerate(tiles):
        row.paste(tile.resize((TILE_WIDTH, height), Image.Resampling.LANCZOS), (index * TILE_WIDTH, 0))
    return row


def draw_prompt(image: np.ndarray, prompt: Prompt) -> Image.Image:
    """The photograph with the box in yellow, strokes over the target in green and over the rest in red."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    if prompt.box_xyxy is not None:
        draw.rectangle(prompt.box_xyxy, outline="yellow", width=3)
    for strokes, colour in ((prompt.target, "lime"), (prompt.rest, "red")):
        for stroke in strokes:
            draw.line(stroke, fill=colour, width=8, joint="curve")
    return picture


if __name__ == "__main__":
    main()
