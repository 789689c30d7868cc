/** How far a mask's outline may be wrong; beyond that, alpha is the mask's value. Equals `pipeline/mask_reach.py`. */

import { shrinkByArea, type Planes } from "./arrays.js";

const REACH = 3;
const SOLID = 0.9;
const CELLS = 256;

/** 1 where the network decides alpha, 0 where the mask does, on a coarse grid; null: the network decides everywhere. */
export function networkShare(mask: Planes): Planes | null {
  const [height, width] = mask.size;
  const side = Math.max(height, width);
  const cell = [1, 2, 4, 8, 16, 32, 64].find((size) => side <= size * CELLS) ?? 64;
  let total = 0;
  for (const value of mask.data) total += value;
  if (Math.min(total, mask.data.length - total) >= (side / REACH) ** 2) return null;
  const target = cell > 1 ? shrinkByArea(mask, [height / cell, width / cell]) : mask;
  const rest: Planes = { ...target, data: target.data.map((value) => 1 - value) };
  const ofTarget = reached(target, false);
  const ofRest = reached(rest, true);
  const data = ofTarget.map((share, index) => Math.min(share, ofRest[index]!));
  return data.every((share) => share === 1) ? null : { data, channels: 1, size: target.size };
}

function reached({ data, size: [rows, columns] }: Planes, isGap: boolean): Float32Array<ArrayBuffer> {
  const sums = runningSums(data, rows, columns);
  const side = Math.max(rows, columns);
  const filled = (2 * sums[sums.length - 1]!) / (side / REACH) ** 2;
  const best = new Float64Array(rows * columns);
  for (let power = 0; power <= Math.ceil(Math.log2(side)); power++) {
    const radius = 2 ** power;
    const found = boxSums(sums, rows, columns, radius, radius + 1).map((sum) => sum / (radius / REACH) ** 2);
    if (isGap) {
      const width = Math.ceil(radius / REACH);
      const before = Math.floor(width / 2);
      const solid = boxSums(sums, rows, columns, before, width - before).map((sum) => sum / (SOLID * width ** 2));
      const largest = largestWithin(solid, rows, columns, radius);
      found.forEach((value, index) => (found[index] = Math.min(value, Math.max(filled, largest[index]!))));
    }
    found.forEach((value, index) => (best[index] = Math.max(best[index]!, value)));
  }
  return Float32Array.from(best, (value) => Math.min(1, Math.max(0, 2 * value - 1)));
}

/** Running sums along both axes, with a row and a column of zeros in front. */
function runningSums(data: Float32Array, rows: number, columns: number): Float64Array {
  const sums = new Float64Array((rows + 1) * (columns + 1));
  for (let row = 0; row < rows; row++) {
    let line = 0;
    for (let column = 0; column < columns; column++) {
      line += data[row * columns + column]!;
      sums[(row + 1) * (columns + 1) + column + 1] = sums[row * (columns + 1) + column + 1]! + line;
    }
  }
  return sums;
}

function boxSums(sums: Float64Array, rows: number, columns: number, before: number, after: number): Float64Array {
  const found = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const top = Math.max(0, row - before) * (columns + 1);
    const bottom = Math.min(rows, row + after) * (columns + 1);
    for (let column = 0; column < columns; column++) {
      const left = Math.max(0, column - before);
      const right = Math.min(columns, column + after);
      found[row * columns + column] =
        sums[bottom + right]! - sums[top + right]! - sums[bottom + left]! + sums[top + left]!;
    }
  }
  return found;
}

function largestWithin(values: Float64Array, rows: number, columns: number, radius: number): Float64Array {
  const wide = slidingLargest(values, rows, columns, 1, columns, radius);
  return slidingLargest(wide, columns, rows, columns, 1, radius);
}

/** The largest value within `radius` along lines of `length` values that are `step` apart. */
function slidingLargest(
  values: Float64Array,
  lines: number,
  length: number,
  step: number,
  lineStep: number,
  radius: number,
): Float64Array {
  const made = new Float64Array(values.length);
  const queue = new Int32Array(length); // places of falling values
  for (let line = 0; line < lines; line++) {
    const valueAt = (place: number): number => values[line * lineStep + place * step]!;
    let [head, tail, next] = [0, 0, 0];
    for (let place = 0; place < length; place++) {
      for (; next < length && next <= place + radius; next++) {
        while (tail > head && valueAt(queue[tail - 1]!) <= valueAt(next)) tail--;
        queue[tail++] = next;
      }
      while (queue[head]! < place - radius) head++;
      made[line * lineStep + place * step] = valueAt(queue[head]!);
    }
  }
  return made;
}
