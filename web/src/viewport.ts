/** Where the photograph lies on the stage: `scale` stage pixels for one of the photograph, its corner at (x, y). */

import type { Point, Rect, Size } from "./geometry";

const FIT_MARGIN = 24;
const MAX_SCALE = 32;
/** Of the photograph, this many stage pixels stay in sight however far it is moved. */
const MIN_IN_SIGHT = 48;

export interface Viewport {
  scale: number;
  x: number;
  y: number;
}

/** The whole photograph in the middle of the stage, no larger than its own pixels unless it is tiny. */
export function fitted(photo: Size, stage: Size): Viewport {
  const margin = Math.min(FIT_MARGIN, stage.width / 16, stage.height / 16);
  const room = { width: Math.max(1, stage.width - 2 * margin), height: Math.max(1, stage.height - 2 * margin) };
  const scale = Math.min(room.width / photo.width, room.height / photo.height, 4);
  return {
    scale,
    x: (stage.width - photo.width * scale) / 2,
    y: (stage.height - photo.height * scale) / 2,
  };
}

/** Zoomed to `scale` with the photograph's point under `anchor` (on the stage) kept in place. */
export function zoomedTo(view: Viewport, scale: number, anchor: Point, photo: Size, stage: Size): Viewport {
  const smallest = Math.min(fitted(photo, stage).scale, 1) / 2;
  const next = Math.min(MAX_SCALE, Math.max(smallest, scale));
  const point = toPhoto(view, anchor);
  return kept({ scale: next, x: anchor.x - point.x * next, y: anchor.y - point.y * next }, photo, stage);
}

export function moved(view: Viewport, dx: number, dy: number, photo: Size, stage: Size): Viewport {
  return kept({ scale: view.scale, x: view.x + dx, y: view.y + dy }, photo, stage);
}

export function toPhoto(view: Viewport, point: Point): Point {
  return { x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale };
}

export function toStage(view: Viewport, point: Point): Point {
  return { x: point.x * view.scale + view.x, y: point.y * view.scale + view.y };
}

export function onStage(view: Viewport, rect: Rect): Rect {
  const from = toStage(view, { x: rect.left, y: rect.top });
  const to = toStage(view, { x: rect.right, y: rect.bottom });
  return { left: from.x, top: from.y, right: to.x, bottom: to.y };
}

/** The part of the photograph in sight, in its pixels; not clipped to it. */
export function inSight(view: Viewport, stage: Size): Rect {
  const from = toPhoto(view, { x: 0, y: 0 });
  const to = toPhoto(view, { x: stage.width, y: stage.height });
  return { left: from.x, top: from.y, right: to.x, bottom: to.y };
}

function kept(view: Viewport, photo: Size, stage: Size): Viewport {
  const clamp = (value: number, length: number, room: number): number =>
    Math.min(room - MIN_IN_SIGHT, Math.max(MIN_IN_SIGHT - length, value));
  return {
    scale: view.scale,
    x: clamp(view.x, photo.width * view.scale, stage.width),
    y: clamp(view.y, photo.height * view.scale, stage.height),
  };
}
