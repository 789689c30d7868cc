/** Points, rectangles, and where the photograph lies on the stage. */

export interface Point {
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Right and bottom are outside. */
export interface Rect {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function rectOf(size: Size): Rect {
  return { left: 0, top: 0, right: size.width, bottom: size.height };
}

export function isEmptyRect(rect: Rect): boolean {
  return rect.right <= rect.left || rect.bottom <= rect.top;
}

export function joined(a: Rect | null, b: Rect): Rect {
  if (!a) return b;
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

/** The part of `rect` inside `bounds`, on whole pixels. */
export function clipped(rect: Rect, bounds: Rect): Rect {
  return {
    left: Math.max(bounds.left, Math.floor(rect.left)),
    top: Math.max(bounds.top, Math.floor(rect.top)),
    right: Math.min(bounds.right, Math.ceil(rect.right)),
    bottom: Math.min(bounds.bottom, Math.ceil(rect.bottom)),
  };
}

export function contains(outer: Rect, inner: Rect): boolean {
  return (
    outer.left <= inner.left && outer.top <= inner.top && outer.right >= inner.right && outer.bottom >= inner.bottom
  );
}

export function grown(rect: Rect, x: number, y: number): Rect {
  return { left: rect.left - x, top: rect.top - y, right: rect.right + x, bottom: rect.bottom + y };
}

/** The rectangle between two corners, in whichever order they were set. */
export function spanned(a: Point, b: Point): Rect {
  return {
    left: Math.min(a.x, b.x),
    top: Math.min(a.y, b.y),
    right: Math.max(a.x, b.x),
    bottom: Math.max(a.y, b.y),
  };
}

/** The size with its longest side at most `maxSide`; never enlarged. */
export function shrunk(size: Size, maxSide: number): Size {
  const factor = Math.min(1, maxSide / Math.max(size.width, size.height));
  return {
    width: Math.max(1, Math.round(size.width * factor)),
    height: Math.max(1, Math.round(size.height * factor)),
  };
}

/** The rectangle of a picture's aspect that just covers `frame`, centred on it. */
export function covering(picture: Size, frame: Rect): Rect {
  const width = frame.right - frame.left;
  const height = frame.bottom - frame.top;
  const factor = Math.max(width / picture.width, height / picture.height);
  const x = (picture.width * factor - width) / 2;
  const y = (picture.height * factor - height) / 2;
  return grown(frame, x, y);
}
