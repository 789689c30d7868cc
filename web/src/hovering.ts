/** Shows what a click would take, while the pointer rests. */

import type { PhotoTokens } from "./api";
import type { PageDocument, Photo } from "./document";
import { shrunk, type Point } from "./geometry";
import { Hints } from "./hints";
import type { Selecting } from "./selecting";
import type { View } from "./view";

/** Milliseconds. */
const REST = 40;
/** Longest side of what is shown. */
const SIDE = 512;

export class Hovering {
  #hints: Hints | null = null;
  #spot: { at: Point; isReversed: boolean } | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly page: PageDocument,
    private readonly view: View,
    private readonly selecting: Selecting,
    private readonly redraw: () => void,
  ) {
    page.listen((event) => {
      if (event.kind === "photo") this.#hints = null;
      this.refresh();
    });
  }

  /** The tokens of the photograph, from now on. */
  use(photo: Photo, tokens: PhotoTokens): void {
    const { width, height } = shrunk(photo, SIDE);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    context.imageSmoothingQuality = "high";
    context.drawImage(photo.picture.draft, 0, 0, width, height);
    this.#hints = new Hints(tokens, context.getImageData(0, 0, width, height).data, width, height, photo);
    this.refresh();
  }

  /** After what a click would do has changed. */
  refresh(): void {
    this.point(this.#spot);
  }

  /** @param spot Where the pointer is, in the photograph's pixels; null: not on the photograph, or busy. */
  point(spot: { at: Point; isReversed: boolean } | null): void {
    this.#spot = spot;
    clearTimeout(this.#timer);
    if (this.view.hint) {
      this.view.hint = null;
      this.redraw();
    }
    if (spot && this.#hints) this.#timer = setTimeout(() => this.#show(), REST);
  }

  #show(): void {
    const { selected } = this.page;
    const [spot, hints] = [this.#spot, this.#hints];
    if (!spot || !hints || !selected || selected.pending || this.page.isStroking) return;
    if (this.view.tool !== "select" || this.view.mode !== "edit") return;
    const { width, height } = hints;
    const mask = selected.mask.isEmpty ? null : selected.mask.shrunk(width, height);
    const takesAway = this.view.takesAway !== spot.isReversed;
    if (takesAway && !mask) return;
    const region = hints.answer({ at: spot.at, takesAway, scale: this.selecting.shownScale ?? "object", mask });
    const picture = new ImageData(width, height);
    region.forEach((value, index) => (picture.data[4 * index + 3] = value));
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")!.putImageData(picture, 0, 0);
    this.view.hint = { picture: canvas, takesAway };
    this.redraw();
  }
}
