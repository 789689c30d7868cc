/** A rough mask: one byte per pixel, 255 inside, 127 or 128 where it is unsure, soft values kept. Plain arithmetic. */

import { clipped, isEmptyRect, rectOf, type Point, type Rect, type Size } from "./geometry";

/** The grey of a trimap, where the network decides: of pixels that were not the target, and of those that were. */
const UNSURE_REST = 127;
const UNSURE_TARGET = 128;

export function isUnsure(value: number): boolean {
  return value === UNSURE_REST || value === UNSURE_TARGET;
}

/** What a brush marks. */
export type Paint = "target" | "rest" | "unsure";

/** What a change did to a rectangle of a mask; enough to undo and redo it. */
export interface Patch {
  rect: Rect;
  before: Uint8Array;
  after: Uint8Array;
}

export class Mask implements Size {
  readonly data: Uint8Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8Array(width * height);
  }

  /** Whether nothing is marked as the target. */
  get isEmpty(): boolean {
    return !this.data.some((value) => value > UNSURE_TARGET);
  }

  /**
   * Paint a straight line with a round brush; its border is smoothed over one pixel, except where it marks as unsure.
   *
   * @returns The rectangle that may have changed.
   */
  stroke(from: Point, to: Point, radius: number, paint: Paint): Rect {
    const reach = radius + 1;
    const rect = clipped(
      {
        left: Math.min(from.x, to.x) - reach,
        top: Math.min(from.y, to.y) - reach,
        right: Math.max(from.x, to.x) + reach,
        bottom: Math.max(from.y, to.y) + reach,
      },
      rectOf(this),
    );
    const dx = to.x - from.x;
    const dy = to.y - from.y;
    const lengthSquared = dx * dx + dy * dy;
    for (let row = rect.top; row < rect.bottom; row++) {
      for (let column = rect.left; column < rect.right; column++) {
        const x = column + 0.5 - from.x; // of the pixel's centre
        const y = row + 0.5 - from.y;
        const along = lengthSquared ? Math.min(1, Math.max(0, (x * dx + y * dy) / lengthSquared)) : 0;
        const distance = Math.hypot(x - along * dx, y - along * dy);
        const covered = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
        if (!covered) continue;
        const index = row * this.width + column;
        const value = this.data[index]!;
        if (paint === "target") this.data[index] = Math.max(value, covered);
        else if (paint === "rest") this.data[index] = Math.min(value, 255 - covered);
        else if (covered > 127) this.data[index] = value < UNSURE_TARGET ? UNSURE_REST : UNSURE_TARGET;
      }
    }
    return rect;
  }

  /** The values at a smaller size, of the nearest pixels. */
  shrunk(width: number, height: number): Uint8Array {
    const values = new Uint8Array(width * height);
    for (let y = 0, index = 0; y < height; y++) {
      const row = Math.floor(((y + 0.5) * this.height) / height) * this.width;
      for (let x = 0; x < width; x++, index++) {
        values[index] = this.data[row + Math.floor(((x + 0.5) * this.width) / width)]!;
      }
    }
    return values;
  }

  paste(rect: Rect, values: Uint8Array): void {
    const width = rect.right - rect.left;
    for (let row = 0; row < rect.bottom - rect.top; row++) {
      this.data.set(values.subarray(row * width, (row + 1) * width), (rect.top + row) * this.width + rect.left);
    }
  }

  /** Replace the whole content; the patch is null where nothing differs. */
  replace(values: Uint8Array): Patch | null {
    const before = this.data.slice();
    this.data.set(values);
    return this.patchSince(before, rectOf(this));
  }

  /** Add what another mask covers. */
  unite(values: Uint8Array): Patch | null {
    return this.replace(this.data.map((value, index) => Math.max(value, values[index]!)));
  }

  clear(): Patch | null {
    return this.replace(new Uint8Array(this.data.length));
  }

  /** The difference to an earlier copy of `data`, trimmed to what changed inside `rect`; null where nothing did. */
  patchSince(earlier: Uint8Array, rect: Rect): Patch | null {
    const changed: Rect = { left: rect.right, top: rect.bottom, right: rect.left, bottom: rect.top };
    for (let row = rect.top; row < rect.bottom; row++) {
      for (let column = rect.left; column < rect.right; column++) {
        const index = row * this.width + column;
        if (this.data[index] === earlier[index]) continue;
        if (column < changed.left) changed.left = column;
        if (column >= changed.right) changed.right = column + 1;
        if (row < changed.top) changed.top = row;
        changed.bottom = row + 1;
      }
    }
    if (isEmptyRect(changed)) return null;
    return {
      rect: changed,
      before: cropped(earlier, this.width, changed),
      after: cropped(this.data, this.width, changed),
    };
  }
}

function cropped(data: Uint8Array, stride: number, rect: Rect): Uint8Array {
  const width = rect.right - rect.left;
  const values = new Uint8Array(width * (rect.bottom - rect.top));
  for (let row = rect.top; row < rect.bottom; row++) {
    const start = row * stride + rect.left;
    values.set(data.subarray(start, start + width), (row - rect.top) * width);
  }
  return values;
}
