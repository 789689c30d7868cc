/** Detail at full size, in windows, so that memory does not grow with the photograph. */

import { cut, paddedSize, sigmoid, upsample, type Planes, type Rect, type Size } from "./arrays.js";
import { FAR_LOGIT } from "./box.js";
import type { Coarse, Network } from "./network.js";
import { STRIDE_MULTIPLE, type Pixels } from "./prepare.js";

/** Longest side of a window without its halo, in pixels. */
const WINDOW_SIDE = 768;
/** Most pixels of a photograph that is one window. */
const ONE_WINDOW = 1.5 * 2 ** 20;
/** Pixels around a window on which its result depends: 10 cells of 2 x 2, and one for the weight of their rim. */
const HALO = 22;

export interface Detailed {
  /** As the network gives it: not yet settled at 0 and 1. */
  alpha: Float32Array<ArrayBuffer>;
  /** 1 for the pixels that were recomputed. */
  active: Uint8Array<ArrayBuffer>;
}

/**
 * Recompute the unsure pixels of a coarse matte at full size.
 *
 * @param options The predicted error above which pixels are recomputed; the part of the photograph that is wanted, as
 *   alpha stays 0 elsewhere; and what ends the work.
 */
export async function recoverDetail(
  network: Network,
  photo: Pixels,
  mask: Uint8Array,
  coarse: Coarse,
  { threshold, region, signal }: { threshold: number; region: Rect; signal: AbortSignal | undefined },
): Promise<Detailed> {
  const size: Size = [photo.height, photo.width];
  const made: Detailed = { alpha: new Float32Array(size[0] * size[1]), active: new Uint8Array(size[0] * size[1]) };
  const spanned = paddedSize(size, STRIDE_MULTIPLE);
  const side = size[0] * size[1] <= ONE_WINDOW ? Infinity : WINDOW_SIDE;
  const axes = [0, 1].map((axis) =>
    windowsOf(axis ? [region.left, region.right] : [region.top, region.bottom], {
      side,
      length: size[axis]!,
      spanned: spanned[axis]!,
      cells: coarse.logits.size[axis]!,
    }),
  );
  for (const row of axes[0]!) {
    for (const column of axes[1]!) {
      await recoverWindow(network, photo, mask, coarse, { threshold, signal, row, column, spanned }, made);
    }
  }
  return made;
}

/** Along one axis: the pixels that a window gives, those that it reads, and the cells of the coarse maps over these. */
interface Span {
  inner: [number, number];
  outer: [number, number];
  cells: [number, number];
  /** Pixels that the cells cover. */
  covered: number;
}

/**
 * Windows that begin where a cell of the coarse maps begins at an even pixel: there, the coarse maps can be cut without
 * a change of what is interpolated between their cells.
 */
function windowsOf(
  [first, last]: [number, number],
  { side, length, spanned, cells }: { side: number; length: number; spanned: number; cells: number },
): Span[] {
  const unit = cells / greatestDivisor(cells, spanned / 2);
  const pixels = (unit * spanned) / cells;
  const halo = HALO + Math.ceil(spanned / cells);
  const count = Math.max(1, Math.ceil((last - first) / side));
  return Array.from({ length: count }, (_, index) => {
    const inner: [number, number] = [
      Math.floor(first + ((last - first) * index) / count),
      Math.floor(first + ((last - first) * (index + 1)) / count),
    ];
    const begin = Math.max(0, Math.floor((inner[0] - halo) / pixels));
    const end = Math.min(Math.ceil(cells / unit), Math.ceil((inner[1] + halo) / pixels));
    return {
      inner,
      outer: [begin * pixels, Math.min(length, end * pixels)],
      cells: [begin * unit, Math.min(cells, end * unit)],
      covered: (end - begin) * pixels,
    };
  });
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** A window, and how it is worked. */
interface Work {
  threshold: number;
  signal: AbortSignal | undefined;
  row: Span;
  column: Span;
  spanned: Size;
}

async function recoverWindow(
  network: Network,
  photo: Pixels,
  mask: Uint8Array,
  coarse: Coarse,
  { threshold, signal, row, column, spanned }: Work,
  made: Detailed,
): Promise<void> {
  const inner: Rect = { top: row.inner[0], bottom: row.inner[1], left: column.inner[0], right: column.inner[1] };
  const outer: Rect = { top: row.outer[0], bottom: row.outer[1], left: column.outer[0], right: column.outer[1] };
  const cells: Rect = { top: row.cells[0], bottom: row.cells[1], left: column.cells[0], right: column.cells[1] };
  const part = {
    logits: cut(coarse.logits, cells),
    error: cut(coarse.error, cells),
    features: cut(coarse.features, cells),
    colours: cut(coarse.colours, cells),
  };
  if (part.error.data.every((error) => error <= threshold)) {
    if (part.logits.data.every((logit) => logit === FAR_LOGIT)) return;
    paste(upsample(coarse.logits, spanned, inner).map(sigmoid), inner, inner, photo.width, made.alpha);
    return;
  }
  const covered: Size = [row.covered, column.covered];
  const { alpha, active } = await network.recover(
    coloursIn(photo, outer),
    maskIn(mask, photo.width, outer),
    part,
    covered,
    threshold,
    signal,
  );
  paste(alpha, outer, inner, photo.width, made.alpha);
  const columns = Math.ceil((outer.right - outer.left) / 2);
  for (let y = inner.top; y < inner.bottom; y++) {
    const start = ((y - outer.top) >> 1) * columns;
    for (let x = inner.left; x < inner.right; x++) {
      made.active[y * photo.width + x] = active[start + ((x - outer.left) >> 1)]!;
    }
  }
}

/** Copy the `inner` part of the values of `outer` to where it belongs. */
function paste(values: Float32Array, outer: Rect, inner: Rect, width: number, target: Float32Array): void {
  const stride = outer.right - outer.left;
  for (let y = inner.top; y < inner.bottom; y++) {
    const start = (y - outer.top) * stride - outer.left;
    target.set(values.subarray(start + inner.left, start + inner.right), y * width + inner.left);
  }
}

function coloursIn({ data, width }: Pixels, { top, bottom, left, right }: Rect): Planes {
  const area = (bottom - top) * (right - left);
  const planes = new Float32Array(3 * area);
  for (let y = top, index = 0; y < bottom; y++) {
    for (let at = 4 * (y * width + left); at < 4 * (y * width + right); at += 4, index++) {
      planes[index] = data[at]! / 255;
      planes[area + index] = data[at + 1]! / 255;
      planes[2 * area + index] = data[at + 2]! / 255;
    }
  }
  return { data: planes, channels: 3, size: [bottom - top, right - left] };
}

function maskIn(mask: Uint8Array, width: number, { top, bottom, left, right }: Rect): Planes {
  const data = new Float32Array((bottom - top) * (right - left));
  for (let y = top, index = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, index++) data[index] = mask[y * width + x]! / 255;
  }
  return { data, channels: 1, size: [bottom - top, right - left] };
}
