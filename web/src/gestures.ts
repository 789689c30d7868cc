/** Mouse, pen, fingers and keys on the stage: they select, paint, draw boxes, move and zoom. */

import type { PageDocument } from "./document";
import { clipped, isEmptyRect, rectOf, spanned, type Point, type Rect } from "./geometry";
import type { Mark } from "./prompt";
import type { View } from "./view";
import { moved, toPhoto, zoomedTo, type Viewport } from "./viewport";

const WHEEL_SPEED = 0.0016;
const KEY_STEP = 12;
const KEY_STEP_LARGE = 60;
/** Smaller boxes, on the stage, are slips of the hand. */
const SMALLEST_BOX = 6;
/** Milliseconds after which a press that rests begins a scribble. */
const LONG_PRESS = 450;
/** Corners of a scribble are at least that far apart, on the stage. */
const SCRIBBLE_STEP = 4;

export interface StageActions {
  /** With the Box tool. */
  boxDrawn(box: Rect): void;
  /** With the Select tool. */
  marked(mark: Mark): void;
  /** The pointer or the crosshair came to a place in the photograph's pixels; null: it left, or does something. */
  pointed(spot: { at: Point; isReversed: boolean } | null): void;
  viewMoved(): void;
  redraw(): void;
  /** For the screen reader. */
  say(text: string): void;
  /** For everyone. */
  tell(text: string): void;
}

type Drag =
  | { kind: "move"; last: Point }
  | { kind: "paint" }
  | { kind: "box"; from: Point }
  /** A click or a box; with a line, a scribble. */
  | { kind: "mark"; from: Point; line: Point[] | null; takesAway: boolean };

export class Gestures {
  readonly #fingers = new Map<number, Point>();
  #drag: Drag | null = null;
  #pinch: { distance: number; middle: Point } | null = null;
  #isSpaceDown = false;
  #holding: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly page: PageDocument,
    private readonly view: View,
    private readonly actions: StageActions,
  ) {
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(name, (event) => this.#up(event));
    }
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#leaveKeyboard());
    for (const name of ["keydown", "keyup"] as const) {
      addEventListener(name, (event) => {
        if (event.key === "Alt") this.#point(name === "keydown");
      });
    }
    addEventListener("keydown", (event) => {
      if (event.key === " " && (event.target === document.body || event.target === canvas)) this.#setSpace(true, event);
    });
    addEventListener("keyup", (event) => {
      if (event.key === " ") this.#setSpace(false, event);
    });
  }

  #setSpace(isDown: boolean, event: KeyboardEvent): void {
    if (isDown) event.preventDefault();
    this.#isSpaceDown = isDown;
    this.canvas.classList.toggle("is-moving", isDown);
  }

  #at(event: MouseEvent): Point {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #down(event: PointerEvent): void {
    if (!this.page.photo) return;
    const point = this.#at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.view.isCrosshair = false;
    if (event.pointerType === "touch") {
      this.#fingers.set(event.pointerId, point);
      if (this.#fingers.size === 2) {
        this.#abandon();
        this.#pinch = pinchOf(this.#fingers);
      }
      if (this.#fingers.size > 1) return;
    }
    const isMoving = this.view.tool === "hand" || this.#isSpaceDown || event.button === 1;
    const spot = toPhoto(this.view.viewport, point);
    this.actions.pointed(null);
    if (isMoving) this.#drag = { kind: "move", last: point };
    else if (this.view.tool === "box") this.#drag = { kind: "box", from: spot };
    else if (this.view.tool === "select") {
      this.#drag = { kind: "mark", from: spot, line: null, takesAway: this.view.takesAway !== isOther(event) };
      if (event.ctrlKey || event.metaKey) this.#scribble();
      else this.#holding = setTimeout(() => this.#scribble(), LONG_PRESS);
    } else this.#paint(spot, isOther(event));
  }

  #paint(spot: Point, isReversed: boolean): void {
    const { tool } = this.view;
    const paint = (tool === "eraser") !== isReversed ? "rest" : tool === "unsure" ? "unsure" : "target";
    if (paint === "unsure" && this.page.selected?.mask.isEmpty) {
      this.actions.tell("Mark the object first. Unsure is for the band in which its edge lies.");
      return;
    }
    this.#drag = { kind: "paint" };
    this.page.beginStroke(spot, this.#brushRadius, paint);
  }

  /** What was begun with the Select tool is a scribble. */
  #scribble(): void {
    if (this.#drag?.kind !== "mark") return;
    this.#drag.line = [this.#drag.from];
    this.#show(this.#drag, this.#drag.from);
  }

  /** The box or the scribble that is being drawn, up to a place in the photograph. */
  #show(drag: Drag & { kind: "box" | "mark" }, spot: Point): void {
    const line = drag.kind === "mark" && drag.line;
    if (line) {
      const last = line.at(-1)!;
      if (Math.hypot(spot.x - last.x, spot.y - last.y) * this.view.viewport.scale >= SCRIBBLE_STEP) line.push(spot);
      this.view.scribble = { line, takesAway: drag.takesAway };
    } else this.view.box = spanned(drag.from, spot);
    this.actions.redraw();
  }

  #move(event: PointerEvent): void {
    const point = this.#at(event);
    if (this.#fingers.has(event.pointerId)) this.#fingers.set(event.pointerId, point);
    if (this.#pinch) {
      this.#pinchTo(pinchOf(this.#fingers));
      return;
    }
    this.#hover(event.pointerType === "touch" ? null : point, isOther(event));
    const drag = this.#drag;
    if (drag?.kind === "move") {
      this.#setViewport(this.#movedBy(point.x - drag.last.x, point.y - drag.last.y));
      drag.last = point;
    } else if (drag?.kind === "box" || drag?.kind === "mark") {
      const spot = toPhoto(this.view.viewport, point);
      const moved = Math.hypot(spot.x - drag.from.x, spot.y - drag.from.y) * this.view.viewport.scale;
      if (moved > SMALLEST_BOX) clearTimeout(this.#holding);
      this.#show(drag, spot);
    } else if (drag?.kind === "paint") {
      const events = event.getCoalescedEvents();
      for (const step of events.length ? events : [event]) {
        this.page.continueStroke(toPhoto(this.view.viewport, this.#at(step)));
      }
    }
  }

  #up(event: PointerEvent): void {
    clearTimeout(this.#holding);
    this.#fingers.delete(event.pointerId);
    if (this.#pinch) {
      if (this.#fingers.size === 0) this.#pinch = null;
      return;
    }
    const drag = this.#drag;
    this.#drag = null;
    if (event.type === "pointercancel") this.#abandon();
    else if (drag?.kind === "paint") this.page.endStroke();
    else if (drag?.kind === "box" || drag?.kind === "mark") this.#finish(drag);
  }

  /** A box or a scribble, or a point where the Select tool was hardly moved. */
  #finish(drag: Drag & { kind: "box" | "mark" }): void {
    const box = this.#takeBox();
    if (drag.kind === "box") {
      if (box) this.actions.boxDrawn(box);
      return;
    }
    const { from: at, takesAway } = drag;
    const line = (drag.line ?? [at]).filter((point) => this.#isOnPhoto(point));
    if (box) this.actions.marked({ kind: "box", box, takesAway });
    else if (line.length) this.actions.marked({ kind: "line", line, takesAway });
  }

  #isOnPhoto({ x, y }: Point): boolean {
    const { photo } = this.page;
    return photo !== null && x >= 0 && y >= 0 && x < photo.width && y < photo.height;
  }

  /** The box that was drawn, on the photograph; null for a slip of the hand. */
  #takeBox(): Rect | null {
    const { box, viewport } = this.view;
    this.view.box = this.view.scribble = null;
    this.actions.redraw();
    if (!box || !this.page.photo) return null;
    const inside = clipped(box, rectOf(this.page.photo));
    const smallest = SMALLEST_BOX / viewport.scale;
    const isSlip = inside.right - inside.left < smallest || inside.bottom - inside.top < smallest;
    return isSlip || isEmptyRect(inside) ? null : inside;
  }

  /** Give up what a first finger began. */
  #abandon(): void {
    clearTimeout(this.#holding);
    this.page.cancelStroke();
    this.#drag = null;
    this.view.box = this.view.scribble = null;
    this.actions.redraw();
  }

  #hover(point: Point | null, isReversed = false): void {
    this.view.cursor = point;
    this.#point(isReversed);
    this.actions.redraw();
  }

  #point(isReversed: boolean): void {
    const { cursor, viewport } = this.view;
    const at = cursor && toPhoto(viewport, cursor);
    const isFree = at && !this.#drag && this.#isOnPhoto(at);
    this.actions.pointed(isFree ? { at, isReversed } : null);
  }

  #wheel(event: WheelEvent): void {
    if (!this.page.photo) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    if (event.shiftKey) {
      this.#setViewport(this.#movedBy(-(event.deltaX + event.deltaY) * lines, 0));
      return;
    }
    const speed = event.ctrlKey ? 6 * WHEEL_SPEED : WHEEL_SPEED; // with ctrl: a pinch on a touch pad
    const scale = this.view.viewport.scale * Math.exp(-event.deltaY * lines * speed);
    this.#setViewport(zoomedTo(this.view.viewport, scale, this.#at(event), this.page.photo, this.view.stage));
  }

  #pinchTo(next: { distance: number; middle: Point }): void {
    const { photo } = this.page;
    const last = this.#pinch!;
    this.#pinch = next;
    if (!photo || this.#fingers.size < 2) return;
    const shifted = this.#movedBy(next.middle.x - last.middle.x, next.middle.y - last.middle.y);
    const scale = shifted.scale * (next.distance / last.distance);
    this.#setViewport(zoomedTo(shifted, scale, next.middle, photo, this.view.stage));
  }

  /** Arrows move a crosshair, Enter does with the tool what the mouse button does. */
  #key(event: KeyboardEvent): void {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (!this.page.photo || (hasModifier && event.key !== "Enter")) return;
    const direction = DIRECTIONS[event.key];
    if (direction) {
      event.preventDefault();
      const step = event.shiftKey ? KEY_STEP_LARGE : KEY_STEP;
      this.#moveCrosshair(direction.x * step, direction.y * step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.#pressCrosshair(event);
    } else if (event.key === "Escape") this.#leaveKeyboard();
  }

  #moveCrosshair(dx: number, dy: number): void {
    const { stage, viewport, tool } = this.view;
    if (tool === "hand") {
      this.#setViewport(this.#movedBy(-dx, -dy));
      return;
    }
    const from =
      this.view.isCrosshair && this.view.cursor ? this.view.cursor : { x: stage.width / 2, y: stage.height / 2 };
    const to = {
      x: Math.min(stage.width, Math.max(0, from.x + dx)),
      y: Math.min(stage.height, Math.max(0, from.y + dy)),
    };
    this.view.isCrosshair = true;
    const spot = toPhoto(viewport, to);
    if (this.#drag?.kind === "paint") this.page.continueStroke(spot);
    if (this.#drag?.kind === "box" || this.#drag?.kind === "mark") this.#show(this.#drag, spot);
    this.#hover(to);
    this.actions.say(`${Math.round(spot.x)}, ${Math.round(spot.y)}`);
  }

  #pressCrosshair(event: KeyboardEvent): void {
    const { cursor, isCrosshair, tool, viewport } = this.view;
    if (!isCrosshair || !cursor) {
      this.#moveCrosshair(0, 0);
      return;
    }
    const spot = toPhoto(viewport, cursor);
    const drag = this.#drag;
    this.#drag = null;
    if (drag?.kind === "paint") {
      this.page.endStroke();
      this.actions.say("Stroke finished");
    } else if (drag?.kind === "box" || drag?.kind === "mark") this.#finish(drag);
    else if (tool === "box") {
      this.#drag = { kind: "box", from: spot };
      this.actions.say(SECOND_CORNER);
    } else if (tool === "select") {
      this.#drag = { kind: "mark", from: spot, line: null, takesAway: this.view.takesAway !== event.altKey };
      if (event.ctrlKey || event.metaKey) {
        this.#scribble();
        this.actions.say("Scribbling. Move with the arrow keys, press Enter to stop.");
      } else if (event.shiftKey) this.actions.say(SECOND_CORNER);
      else this.#pressCrosshair(event); // a click
    } else if (tool !== "hand") {
      this.#paint(spot, false);
      if (this.#drag) this.actions.say("Painting. Move with the arrow keys, press Enter to stop.");
    }
  }

  #leaveKeyboard(): void {
    if (!this.view.isCrosshair) return;
    this.#abandon();
    this.view.isCrosshair = false;
    this.#hover(null);
  }

  get #brushRadius(): number {
    return this.view.brushSize / 2 / this.view.viewport.scale;
  }

  #movedBy(dx: number, dy: number): Viewport {
    return moved(this.view.viewport, dx, dy, this.page.photo!, this.view.stage);
  }

  #setViewport(viewport: Viewport): void {
    this.view.viewport = viewport;
    this.actions.viewMoved();
  }
}

/** Whether a press does the reverse of what the tool does: Alt, the right button, or the pen's eraser. */
function isOther(event: PointerEvent): boolean {
  return event.altKey || event.button === 2 || event.button === 5;
}

const SECOND_CORNER = "First corner set. Move to the other corner and press Enter.";

const DIRECTIONS: Record<string, Point> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

function pinchOf(fingers: Map<number, Point>): { distance: number; middle: Point } {
  const [a, b] = [...fingers.values()];
  if (!a || !b) return { distance: 1, middle: a ?? { x: 0, y: 0 } };
  return { distance: Math.hypot(a.x - b.x, a.y - b.y), middle: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 } };
}
