/** How the document is looked at: everything here can be changed without changing what is downloaded. */

import type { Layered, MaskedObject } from "./document";
import type { Point, Rect, Size } from "./geometry";
import type { Viewport } from "./viewport";

export type Tool = "select" | "brush" | "eraser" | "unsure" | "box" | "hand";
export type Mode = "edit" | "result" | "compare" | "alpha";
export type Overlay = "none" | "error" | "active" | "steps";

/** Behind the objects; also of the composite that is downloaded, where the checkerboard counts as white. */
export type Background =
  { kind: "checker" } | { kind: "colour"; value: string } | { kind: "picture"; file: Blob; bitmap: ImageBitmap };

export interface View {
  tool: Tool;
  /** Whether a click of the Select tool takes away. */
  takesAway: boolean;
  mode: Mode;
  background: Background;
  overlay: Overlay;
  /** The newest overlay that came; the picture is null where there is nothing to show, as of a full mask. */
  overlayPicture: { object: MaskedObject; kind: Overlay; picture: Layered | null } | null;
  /** Diameter of the brush on the stage. */
  brushSize: number;
  viewport: Viewport;
  /** Of the stage, in CSS pixels. */
  stage: Size;
  /** Where the stage shows the photograph as it was, from the left, in [0, 1]. */
  split: number;
  /** Where the brush is, on the stage. */
  cursor: Point | null;
  /** Whether the cursor is moved with the keyboard. */
  isCrosshair: boolean;
  /** The box being drawn, in the photograph's pixels. */
  box: Rect | null;
  /** The scribble being drawn, in the photograph's pixels. */
  scribble: { line: readonly Point[]; takesAway: boolean } | null;
  /** What a click would take, or take away, where the pointer rests: opaque there, at any size. */
  hint: { picture: OffscreenCanvas; takesAway: boolean } | null;
}

export function initialView(): View {
  return {
    tool: "select",
    takesAway: false,
    mode: "edit",
    background: { kind: "checker" },
    overlay: "none",
    overlayPicture: null,
    brushSize: 36,
    viewport: { scale: 1, x: 0, y: 0 },
    stage: { width: 1, height: 1 },
    split: 0.5,
    cursor: null,
    isCrosshair: false,
    box: null,
    scribble: null,
    hint: null,
  };
}

/** Whether the objects are shown in their own colours, clean of the old background. */
export function showsColours(view: View): boolean {
  return view.mode === "result" || view.mode === "compare";
}

/** Whether a tool paints, with a size. */
export function isBrushTool(tool: Tool): boolean {
  return tool === "brush" || tool === "eraser" || tool === "unsure";
}
