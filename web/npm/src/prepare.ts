/** From a photograph and a mask of any size to what the graphs read; equals `pipeline/encoder_input.py`. */

import { halve, paddedSize, shrinkByArea, shrinkToSide, type Planes, type Size } from "./arrays.js";

/** Sides of an encoded photograph are multiples of this. */
export const STRIDE_MULTIPLE = 64;
/** Longest side that is encoded; larger photographs are encoded smaller. */
const MAX_ENCODED_SIDE = 2432;
const MAX_SIDE = 65_500;

/** Pixels as in `ImageData`: red, green, blue and opacity, one byte each, row by row. Opacity is ignored. */
export interface Pixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A rough mask: `ImageData`, whose brightness counts, or one byte per pixel. 255 is the target, 0 the rest. */
export type MaskPixels = Pixels;

export function checkPhoto({ data, width, height }: Pixels): void {
  const isSize = (side: number): boolean => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE;
  if (!isSize(width) || !isSize(height)) {
    throw new RangeError(`image is ${width} x ${height} pixels; accepted: 1 to ${MAX_SIDE} on each side`);
  }
  if (data.length !== 4 * width * height) {
    throw new RangeError(`image has ${data.length} bytes; accepted: 4 per pixel, ${4 * width * height}`);
  }
}

/** One byte per pixel. */
export function readMask({ data, width, height }: MaskPixels, photo: { width: number; height: number }): Uint8Array {
  if (width !== photo.width || height !== photo.height) {
    throw new RangeError(
      `mask is ${width} x ${height}, the image ${photo.width} x ${photo.height}; accepted: one size`,
    );
  }
  const count = width * height;
  if (data.length === count) return new Uint8Array(data.buffer, data.byteOffset, count);
  if (data.length !== 4 * count) {
    throw new RangeError(`mask has ${data.length} bytes; accepted: 1 or 4 per pixel, ${count} or ${4 * count}`);
  }
  return Uint8Array.from({ length: count }, (_, index) =>
    Math.round(0.299 * data[4 * index]! + 0.587 * data[4 * index + 1]! + 0.114 * data[4 * index + 2]!),
  );
}

/** The size at which a photograph of (height, width) is encoded. */
export function encodedSize(size: Size): Size {
  return shrinkToSide(paddedSize(size, STRIDE_MULTIPLE), MAX_ENCODED_SIDE, STRIDE_MULTIPLE);
}

/** The padded photograph at its encoded size, in [0, 1]. */
export function shrinkPhoto({ data, width, height }: Pixels): Planes {
  const size = encodedSize([height, width]);
  const padded = paddedSize([height, width], STRIDE_MULTIPLE);
  if (size[0] === padded[0] && size[1] === padded[1]) return padPhoto(data, [height, width], size);
  const small: Size = [Math.floor((height * size[0]) / padded[0]), Math.floor((width * size[1]) / padded[1])];
  const wide = resizeColumns(data, [height, width], small[1], padded[1] / size[1]);
  return padPhoto(resizeRows(wide, [height, small[1]], small[0], padded[0] / size[0]), small, size);
}

/** Planes of a photograph, its last row and column repeated. */
function padPhoto(data: ArrayLike<number>, [height, width]: Size, size: Size): Planes {
  const [rows, columns] = size;
  const planes = new Float32Array(3 * rows * columns);
  for (let channel = 0, index = 0; channel < 3; channel++) {
    for (let row = 0; row < rows; row++) {
      const start = Math.min(row, height - 1) * width;
      for (let column = 0; column < columns; column++, index++) {
        planes[index] = data[4 * (start + Math.min(column, width - 1)) + channel]! / 255;
      }
    }
  }
  return { data: planes, channels: 3, size };
}

/** Of one pixel of a shrunk axis: the first of the pixels that it is made of, and their weights. */
interface Window {
  first: number;
  weights: Float64Array;
}

/** Triangular weights for a shrunk axis, as whole numbers of 1 / `unit`: PyTorch shrinks bytes in such arithmetic. */
function triangles(length: number, newLength: number, scale: number): { windows: Window[]; unit: number } {
  const windows = Array.from({ length: newLength }, (_, index) => {
    const centre = scale * (index + 0.5);
    const first = Math.max(0, Math.trunc(centre - scale + 0.5));
    const last = Math.min(length, Math.trunc(centre + scale + 0.5));
    const weights = Float64Array.from({ length: last - first }, (_, offset) =>
      Math.max(0, 1 - Math.abs((first + offset - centre + 0.5) / scale)),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
  const largest = Math.max(...windows.map(({ weights }) => Math.max(...weights)));
  let unit = 1;
  while (unit < 2 ** 22 && Math.trunc(0.5 + largest * 2 * unit) < 2 ** 15) unit *= 2;
  const whole = windows.map(({ first, weights }) => ({
    first,
    weights: weights.map((weight) => Math.trunc(weight * unit + 0.5)),
  }));
  return { windows: whole, unit };
}

/** Rounded to bytes after each axis, as PyTorch does it. */
function resizeColumns(
  data: ArrayLike<number>,
  [height, width]: Size,
  columns: number,
  scale: number,
): Uint8ClampedArray {
  const { windows, unit } = triangles(width, columns, scale);
  const made = new Uint8ClampedArray(4 * height * columns);
  for (let row = 0, index = 0; row < height; row++) {
    for (const { first, weights } of windows) {
      let [red, green, blue] = [0, 0, 0];
      for (let offset = 0, at = 4 * (row * width + first); offset < weights.length; offset++, at += 4) {
        const weight = weights[offset]!;
        red += weight * data[at]!;
        green += weight * data[at + 1]!;
        blue += weight * data[at + 2]!;
      }
      made[index++] = Math.floor(red / unit + 0.5);
      made[index++] = Math.floor(green / unit + 0.5);
      made[index++] = Math.floor(blue / unit + 0.5);
      made[index++] = 255;
    }
  }
  return made;
}

function resizeRows(data: Uint8ClampedArray, [height, width]: Size, rows: number, scale: number): Uint8ClampedArray {
  const made = new Uint8ClampedArray(4 * rows * width);
  const line = new Float64Array(4 * width);
  const { windows, unit } = triangles(height, rows, scale);
  windows.forEach(({ first, weights }, row) => {
    line.fill(0);
    weights.forEach((weight, offset) => {
      const start = 4 * (first + offset) * width;
      for (let x = 0; x < line.length; x++) line[x]! += weight * data[start + x]!;
    });
    for (let x = 0; x < line.length; x++) made[4 * row * width + x] = Math.floor(line[x]! / unit + 0.5);
  });
  return made;
}

/** The photograph averaged over 4 x 4 pixels. */
export function thumbnailOf(image: Planes): Planes {
  return halve(halve(image));
}

/** The padded mask at the encoded size, in [0, 1]. */
export function shrinkMask(mask: Uint8Array, [height, width]: Size, size: Size): Planes {
  const [rows, columns] = paddedSize([height, width], STRIDE_MULTIPLE);
  const data = new Float32Array(rows * columns);
  for (let row = 0, index = 0; row < rows; row++) {
    const start = Math.min(row, height - 1) * width;
    for (let column = 0; column < columns; column++, index++) {
      data[index] = mask[start + Math.min(column, width - 1)]! / 255;
    }
  }
  const padded: Planes = { data, channels: 1, size: [rows, columns] };
  return rows === size[0] && columns === size[1] ? padded : shrinkByArea(padded, size);
}
