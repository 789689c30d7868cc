/** The target's colours without the background that shines through; equals `pipeline/foreground.py`. */

import type { Pixels } from "./prepare.js";

const REGULARIZATION = 1e-5;
const SMALL_SIDE = 32;
const SWEEPS = 4;
const LAST_SWEEPS = 2;

/** (width, height) of a level, with the photograph's colours and alpha there. */
interface Level {
  width: number;
  height: number;
  /** Foreground and background, six numbers per pixel, in [0, 1]. */
  colours: Float32Array;
}

/**
 * Estimate the target's own colours.
 *
 * @param alpha One number per pixel, in [0, 1].
 * @returns Red, green and blue of each pixel, one byte each: the photograph's own where alpha is 1, and colours that
 *   continue those nearby where it is 0.
 */
export function estimateForeground(photo: Pixels, alpha: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const { width, height, data } = photo;
  const count = Math.max(1, Math.ceil(Math.log2(Math.max(width, height))));
  let level: Level = { width: 1, height: 1, colours: meanColours(photo, alpha) };
  for (let number = 0; number <= count; number++) {
    const isLast = number === count;
    const size = isLast
      ? { width, height }
      : { width: Math.round(width ** (number / count)), height: Math.round(height ** (number / count)) };
    level = solvedLevel(photo, alpha, resampled(level, size.width, size.height), isLast);
  }
  const made = new Uint8ClampedArray(3 * width * height);
  for (let index = 0; index < width * height; index++) {
    for (let channel = 0; channel < 3; channel++) {
      made[3 * index + channel] =
        alpha[index] === 1 ? data[4 * index + channel]! : 255 * level.colours[6 * index + channel]!;
    }
  }
  return made;
}

/** The means of the photograph weighted by alpha, and by what is left of it. */
function meanColours({ data, width, height }: Pixels, alpha: Float32Array): Float32Array {
  const sums = new Float64Array(8);
  const plain = new Float64Array(3);
  for (let index = 0; index < width * height; index++) {
    for (const [side, share] of [alpha[index]!, 1 - alpha[index]!].entries()) {
      sums[6 + side]! += share;
      for (let channel = 0; channel < 3; channel++) sums[3 * side + channel]! += share * data[4 * index + channel]!;
    }
    for (let channel = 0; channel < 3; channel++) plain[channel]! += data[4 * index + channel]!;
  }
  return Float32Array.from({ length: 6 }, (_, index) => {
    const total = sums[6 + Math.floor(index / 3)]!;
    return (total === 0 ? plain[index % 3]! / (width * height) : sums[index]! / total) / 255;
  });
}

/** For each place of an axis, the nearest one of another length. */
function nearest(from: number, to: number): Int32Array {
  return Int32Array.from({ length: to }, (_, index) => Math.min(from - 1, Math.trunc((index + 0.5) * (from / to))));
}

function resampled({ width, height, colours }: Level, newWidth: number, newHeight: number): Level {
  const [rows, columns] = [nearest(height, newHeight), nearest(width, newWidth)];
  const made = new Float32Array(6 * newWidth * newHeight);
  for (let y = 0, at = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++, at += 6) {
      const from = 6 * (rows[y]! * width + columns[x]!);
      for (let channel = 0; channel < 6; channel++) made[at + channel] = colours[from + channel]!;
    }
  }
  return { width: newWidth, height: newHeight, colours: made };
}

/** Improve the colours of a level, in place. */
function solvedLevel(photo: Pixels, alpha: Float32Array, level: Level, isLast: boolean): Level {
  const { width, height, colours } = level;
  const [rows, columns] = [nearest(photo.height, height), nearest(photo.width, width)];
  const matte = new Float32Array(width * height);
  const image = new Float32Array(3 * width * height);
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      const from = rows[y]! * photo.width + columns[x]!;
      matte[index] = alpha[from]!;
      for (let channel = 0; channel < 3; channel++) image[3 * index + channel] = photo.data[4 * from + channel]! / 255;
      const known = matte[index] === 1 ? 0 : matte[index] === 0 ? 3 : null;
      if (known !== null) colours.set(image.subarray(3 * index, 3 * index + 3), 6 * index + known);
    }
  }
  const isSolved = (index: number): boolean => {
    const value = matte[index]!;
    if ((value > 0 && value < 1) || (!isLast && Math.max(width, height) <= SMALL_SIDE)) return true;
    return !isLast && neighboursOf(index, width, height).some((other) => matte[other] !== value);
  };
  const solved = [...matte.keys()].filter(isSolved);
  const isBlack = (index: number): boolean => (Math.floor(index / width) + (index % width)) % 2 === 0;
  const halves = [solved.filter(isBlack), solved.filter((index) => !isBlack(index))];
  for (let sweep = 0; sweep < (isLast ? LAST_SWEEPS : SWEEPS); sweep++) {
    for (const half of halves) for (const index of half) solvePixel(level, image, matte, index);
  }
  return level;
}

/** Above, below, left and right; at the frame the pixel itself stands for a missing one. */
function neighboursOf(index: number, width: number, height: number): [number, number, number, number] {
  const column = index % width;
  return [
    index >= width ? index - width : index,
    index < (height - 1) * width ? index + width : index,
    column > 0 ? index - 1 : index,
    column < width - 1 ? index + 1 : index,
  ];
}

function solvePixel({ width, height, colours }: Level, image: Float32Array, matte: Float32Array, index: number): void {
  const share = matte[index]!;
  const means = [0, 0, 0, 0, 0, 0];
  let total = 0;
  for (const other of neighboursOf(index, width, height)) {
    const weight = Math.abs(matte[other]! - share) + REGULARIZATION;
    total += weight;
    for (let channel = 0; channel < 6; channel++) means[channel]! += weight * colours[6 * other + channel]!;
  }
  const scale = share ** 2 + (1 - share) ** 2 + total;
  for (let channel = 0; channel < 3; channel++) {
    const [foreground, background] = [means[channel]! / total, means[channel + 3]! / total];
    const unexplained = (image[3 * index + channel]! - share * foreground - (1 - share) * background) / scale;
    colours[6 * index + channel] = Math.min(1, Math.max(0, foreground + share * unexplained));
    colours[6 * index + channel + 3] = Math.min(1, Math.max(0, background + (1 - share) * unexplained));
  }
}
