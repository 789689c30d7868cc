/** Draws the stage: everything is composed at the stage's own size, whatever the photograph's. */

import type { Layered, MaskedObject, PageDocument, Photo, Stroke } from "./document";
import { covering, rectOf, type Point, type Rect } from "./geometry";
import { isUnsure } from "./mask";
import type { Line } from "./prompt";
import { promptOf } from "./selecting";
import { isBrushTool, type View } from "./view";
import { onStage, toStage } from "./viewport";

/** From this many screen pixels for one of the photograph on, its pixels are shown as squares. */
const PIXELS_FROM = 3;
const CHECKER_SIZE = 12;
/** Of what lies under an overlay, as a share of the dimming of what is not kept. */
const OVERLAY_DIMMING = 0.6;
/** Of the points of the Select tool, on the stage. */
const MARK_RADIUS = 7;
const HINT_OPACITY = 0.45;
const TAKEN_AWAY = "#33353b";
const ERASED = "#787882";
/** Opacity of what is unsure, of 255: all but this covers the tint that the outlines are cut from. */
const UNSURE_COVER = 200;

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

/** Colours of the stage, from the style sheet. */
interface Palette {
  scrim: string;
  checkerLight: string;
  checkerDark: string;
}

export class Renderer {
  readonly #context: CanvasRenderingContext2D;
  /** For what has to be composed before it is drawn. */
  readonly #scratch = new OffscreenCanvas(1, 1).getContext("2d")!;
  /** For a picture of two parts, as one. */
  readonly #joint = new OffscreenCanvas(1, 1).getContext("2d")!;
  readonly #maskCanvases = new WeakMap<MaskedObject, OffscreenCanvas>();
  #palette: Palette;
  #isRequested = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly page: PageDocument,
    private readonly view: View,
  ) {
    this.#context = canvas.getContext("2d", { alpha: true })!;
    this.#palette = readPalette(canvas);
    page.listen((event) => {
      if (event.kind === "mask") this.#updateMask(event.object, event.rect);
      this.redraw();
    });
  }

  /** At the next frame. */
  readonly redraw = (): void => {
    if (this.#isRequested) return;
    this.#isRequested = true;
    requestAnimationFrame(() => {
      this.#isRequested = false;
      this.#draw();
    });
  };

  /** After the theme changed. */
  readColours(): void {
    this.#palette = readPalette(this.canvas);
    this.redraw();
  }

  resize(width: number, height: number): void {
    for (const canvas of [this.canvas, this.#scratch.canvas, this.#joint.canvas]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    this.view.stage = { width, height };
    this.redraw();
  }

  #draw(): void {
    const context = this.#context;
    const { photo } = this.page;
    this.#prepare(context);
    if (!photo) return;
    const frame = onStage(this.view.viewport, rectOf(photo));
    const shown = this.page.objects.filter(({ isVisible, matte }) => isVisible && matte);
    context.save();
    clip(context, frame);
    if (this.view.mode === "edit") this.#drawEdit(photo, shown);
    else if (this.view.mode === "alpha") this.#drawAlpha(frame, shown);
    else this.#drawResult(photo, frame, shown);
    this.#drawOverlay(photo);
    this.#drawHint(frame);
    this.#drawStrokes();
    context.restore();
    this.#drawOutlines();
    this.#drawMarks();
    const { scribble } = this.view;
    if (scribble) this.#drawLine(scribble.line, scribble.takesAway ? TAKEN_AWAY : this.page.selected!.colour);
    this.#drawBox(this.view.box);
    this.#drawCursor();
  }

  #prepare(context: Context): void {
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, this.view.stage.width, this.view.stage.height);
    context.imageSmoothingEnabled = this.view.viewport.scale * devicePixelRatio < PIXELS_FROM;
    context.imageSmoothingQuality = "high";
  }

  /** The photograph, dimmed where nothing is kept. */
  #drawEdit(photo: Photo, shown: MaskedObject[]): void {
    this.#drawPicture(this.#context, photo, photo.picture);
    if (!shown.length || this.view.overlay !== "none") return;
    const scratch = this.#scratch;
    this.#prepare(scratch);
    scratch.fillStyle = this.#palette.scrim;
    scratch.fillRect(0, 0, this.view.stage.width, this.view.stage.height);
    scratch.globalCompositeOperation = "destination-out";
    for (const { matte } of shown) this.#drawPicture(scratch, photo, matte!.alpha);
    this.#put();
  }

  #drawAlpha(frame: Rect, shown: MaskedObject[]): void {
    this.#context.fillStyle = "#000";
    fill(this.#context, frame);
    for (const { matte } of shown) this.#drawPicture(this.#context, this.page.photo!, matte!.alpha);
  }

  #drawResult(photo: Photo, frame: Rect, shown: MaskedObject[]): void {
    const context = this.#context;
    this.#drawBackground(frame);
    for (const { matte } of shown) {
      const scratch = this.#scratch;
      this.#prepare(scratch);
      this.#drawPicture(scratch, photo, matte!.alpha);
      scratch.globalCompositeOperation = "source-in";
      this.#drawPicture(scratch, photo, matte!.colours ?? photo.picture);
      this.#put();
    }
    if (this.view.mode === "compare") {
      context.save();
      clip(context, { ...frame, right: this.view.split * this.view.stage.width });
      this.#drawPicture(context, photo, photo.picture);
      context.restore();
    }
  }

  #drawBackground(frame: Rect): void {
    const context = this.#context;
    const { background } = this.view;
    if (background.kind === "colour") {
      context.fillStyle = background.value;
      fill(context, frame);
    } else if (background.kind === "picture") {
      const { left, top, right, bottom } = covering(background.bitmap, frame);
      context.imageSmoothingEnabled = true;
      context.drawImage(background.bitmap, left, top, right - left, bottom - top);
      this.#context.imageSmoothingEnabled = this.view.viewport.scale * devicePixelRatio < PIXELS_FROM;
    } else {
      const pattern = context.createPattern(this.#checker(), "repeat")!;
      context.fillStyle = pattern;
      fill(context, frame);
    }
  }

  #drawOverlay(photo: Photo): void {
    const { overlay, overlayPicture, mode } = this.view;
    if (overlay === "none" || overlayPicture?.kind !== overlay || overlayPicture.object !== this.page.selected) return;
    if (!overlayPicture.picture || !overlayPicture.object.isVisible) return;
    if (mode !== "alpha") {
      this.#context.globalAlpha = OVERLAY_DIMMING;
      this.#context.fillStyle = this.#palette.scrim;
      this.#context.fillRect(0, 0, this.view.stage.width, this.view.stage.height);
      this.#context.globalAlpha = 1;
    }
    this.#drawPicture(this.#context, photo, overlayPicture.picture);
  }

  /** What a click would take, tinted. */
  #drawHint(frame: Rect): void {
    const { hint } = this.view;
    if (!hint) return;
    const scratch = this.#scratch;
    this.#prepare(scratch);
    scratch.imageSmoothingEnabled = true;
    drawInto(scratch, hint.picture, frame);
    scratch.globalCompositeOperation = "source-in";
    scratch.fillStyle = hint.takesAway ? TAKEN_AWAY : this.page.selected!.colour;
    scratch.fillRect(0, 0, this.view.stage.width, this.view.stage.height);
    this.#context.globalAlpha = HINT_OPACITY;
    this.#put();
    this.#context.globalAlpha = 1;
  }

  /** Strokes that the matte does not know of yet. */
  #drawStrokes(): void {
    for (const object of this.page.objects) {
      for (const stroke of object.strokes) {
        const colour = stroke.paint === "rest" ? ERASED : object.colour;
        this.#context.strokeStyle = `${colour}${stroke.paint === "unsure" ? "55" : "99"}`;
        this.#drawStroke(stroke);
      }
    }
  }

  #drawStroke({ points, radius }: Stroke): void {
    const context = this.#context;
    const [first, ...others] = points.map((point) => toStage(this.view.viewport, point));
    context.lineWidth = 2 * radius * this.view.viewport.scale;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(first!.x, first!.y);
    if (!others.length) context.lineTo(first!.x + 0.01, first!.y);
    for (const { x, y } of others) context.lineTo(x, y);
    context.stroke();
  }

  /** Thin lines around the rough masks, and a light tint where they are unsure, in the objects' colours. */
  #drawOutlines(): void {
    if (this.view.mode !== "edit" || this.view.overlay !== "none") return;
    const { photo } = this.page;
    for (const object of this.page.objects) {
      const mask = this.#maskCanvases.get(object);
      if (!object.isVisible || !mask) continue;
      const { left, top, right, bottom } = onStage(this.view.viewport, rectOf(photo!));
      const reach = object === this.page.selected ? 1.5 : 1;
      const scratch = this.#scratch;
      this.#prepare(scratch);
      const draw = (dx: number, dy: number): void =>
        scratch.drawImage(mask, left + dx, top + dy, right - left, bottom - top);
      for (const [dx, dy] of AROUND) draw(dx * reach, dy * reach);
      scratch.globalCompositeOperation = "source-in";
      scratch.fillStyle = object.colour;
      scratch.fillRect(0, 0, this.view.stage.width, this.view.stage.height);
      scratch.globalCompositeOperation = "destination-out";
      draw(0, 0);
      this.#put();
    }
  }

  /** What the selected object was, or is being, selected by. */
  #drawMarks(): void {
    const { selected } = this.page;
    const prompt = selected && promptOf(selected);
    if (!prompt || this.view.tool !== "select" || this.view.mode !== "edit") return;
    if (selected.pending) this.#drawBox(prompt.box);
    for (const [lines, colour] of [[prompt.target, selected.colour] as const, [prompt.rest, TAKEN_AWAY] as const]) {
      for (const line of lines) {
        this.#drawLine(line, colour);
        this.#drawMark(line[0]!, colour, lines === prompt.target);
      }
    }
  }

  #drawLine(line: Line, colour: string): void {
    const context = this.#context;
    context.lineCap = context.lineJoin = "round";
    for (const [style, width] of [["#fff", 6] as const, [colour, 3.5] as const]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      for (const { x, y } of line.map((point) => toStage(this.view.viewport, point))) context.lineTo(x, y);
      context.stroke();
    }
  }

  #drawMark(point: Point, colour: string, isPlus: boolean): void {
    const { x, y } = toStage(this.view.viewport, point);
    const context = this.#context;
    context.beginPath();
    context.arc(x, y, MARK_RADIUS, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.moveTo(x - MARK_RADIUS / 2, y);
    context.lineTo(x + MARK_RADIUS / 2, y);
    if (isPlus) {
      context.moveTo(x, y - MARK_RADIUS / 2);
      context.lineTo(x, y + MARK_RADIUS / 2);
    }
    context.stroke();
  }

  #drawBox(box: Rect | null): void {
    if (!box) return;
    const { left, top, right, bottom } = onStage(this.view.viewport, box);
    const context = this.#context;
    context.setLineDash([6, 4]);
    for (const [style, width] of [["rgb(0 0 0 / 60%)", 3] as const, ["#fff", 1.5] as const]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
  }

  #drawCursor(): void {
    const { cursor, tool, brushSize, isCrosshair } = this.view;
    if (!cursor) return;
    const context = this.#context;
    const isBrush = isBrushTool(tool);
    for (const [style, width] of [["rgb(0 0 0 / 55%)", 3] as const, ["#fff", 1.25] as const]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      if (isBrush) context.arc(cursor.x, cursor.y, brushSize / 2, 0, 2 * Math.PI);
      if (isCrosshair || (isBrush && brushSize > 24)) {
        const reach = isCrosshair && !isBrush ? 14 : 4;
        context.moveTo(cursor.x - reach, cursor.y);
        context.lineTo(cursor.x + reach, cursor.y);
        context.moveTo(cursor.x, cursor.y - reach);
        context.lineTo(cursor.x, cursor.y + reach);
      }
      context.stroke();
    }
  }

  /** A picture of the whole photograph where the photograph lies, its sharper part in place of the coarse one. */
  #drawPicture(context: Context, photo: Photo, { draft, detail }: Layered): void {
    const whole = onStage(this.view.viewport, rectOf(photo));
    if (!detail) {
      drawInto(context, draft, whole);
      return;
    }
    const part = onStage(this.view.viewport, detail.rect);
    const { width, height } = this.view.stage;
    // compositing with "in" would clear what lies outside of the part: draw both as one
    this.#prepare(this.#joint);
    drawInto(this.#joint, draft, whole);
    this.#joint.clearRect(part.left, part.top, part.right - part.left, part.bottom - part.top);
    drawInto(this.#joint, detail.bitmap, part);
    context.drawImage(this.#joint.canvas, 0, 0, width, height);
  }

  /** Draw what was composed onto the stage. */
  #put(): void {
    const { width, height } = this.view.stage;
    this.#context.drawImage(this.#scratch.canvas, 0, 0, width, height);
  }

  #updateMask(object: MaskedObject, rect: Rect): void {
    const { mask } = object;
    let canvas = this.#maskCanvases.get(object);
    if (!canvas) {
      canvas = new OffscreenCanvas(mask.width, mask.height);
      this.#maskCanvases.set(object, canvas);
    }
    const width = rect.right - rect.left;
    const height = rect.bottom - rect.top;
    if (width <= 0 || height <= 0) return;
    const picture = new ImageData(width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const value = mask.data[(rect.top + row) * mask.width + rect.left + column]!;
        picture.data[4 * (row * width + column) + 3] = isUnsure(value) ? UNSURE_COVER : value;
      }
    }
    canvas.getContext("2d")!.putImageData(picture, rect.left, rect.top);
  }

  #checker(): OffscreenCanvas {
    const tile = new OffscreenCanvas(2 * CHECKER_SIZE, 2 * CHECKER_SIZE);
    const context = tile.getContext("2d")!;
    context.fillStyle = this.#palette.checkerLight;
    context.fillRect(0, 0, 2 * CHECKER_SIZE, 2 * CHECKER_SIZE);
    context.fillStyle = this.#palette.checkerDark;
    context.fillRect(0, 0, CHECKER_SIZE, CHECKER_SIZE);
    context.fillRect(CHECKER_SIZE, CHECKER_SIZE, CHECKER_SIZE, CHECKER_SIZE);
    return tile;
  }
}

const AROUND: [number, number][] = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
  [-0.7, -0.7],
  [0.7, -0.7],
  [-0.7, 0.7],
  [0.7, 0.7],
];

function drawInto(context: Context, picture: CanvasImageSource, rect: Rect): void {
  context.drawImage(picture, rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top);
}

function clip(context: Context, rect: Rect): void {
  context.beginPath();
  context.rect(rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top);
  context.clip();
}

function fill(context: Context, rect: Rect): void {
  context.fillRect(rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top);
}

function readPalette(element: HTMLElement): Palette {
  const style = getComputedStyle(element);
  return {
    scrim: style.getPropertyValue("--scrim"),
    checkerLight: style.getPropertyValue("--checker-light"),
    checkerDark: style.getPropertyValue("--checker-dark"),
  };
}
