/**
 * What a click would take, found in the page from the tokens of the photograph; coarser than what the service selects.
 *
 * The first steps of `select` in pipeline/selection.py, for one click. The colours bring the outline from the tokens,
 * which are tens of pixels wide, to the pixels (joint bilateral upsampling, Kopf et al. 2007).
 */

import type { PhotoTokens } from "./api";
import type { Point, Size } from "./geometry";
import type { Scale } from "./prompt";

/** As in pipeline/selection.py. */
const KERNELS = [
  [0.6, 0.6],
  [0.2, 0.1],
] as const;
const LIKENESS = 0.5;
const NOISE = 0.02;
const PART_PRIOR = -0.4;
const MASK_SHARE = 0.3;
const REACH = 3;
/** In tokens. */
const BLUR = 0.8;
/** Of 255. */
const COLOUR_SPREAD = 20;
/** By a quarter of the squared distance of two colours; the last is as good as 0. */
const LIKENESSES = Float32Array.from({ length: 2048 }, (_, index) => Math.exp((-4 * index) / (2 * COLOUR_SPREAD ** 2)));
/** From the middle of a mark to its border. */
const MARK_REACH = 2;
/** Tokens along each axis that a pixel is a mean of. */
const TAPS = 4;

export interface Question {
  /** In the photograph's pixels. */
  at: Point;
  takesAway: boolean;
  scale: Scale;
  /** Of the size of the hints, 255 inside; null where it is empty. */
  mask: Uint8Array | null;
}

/** For the pixels along one axis: the first of the tokens that each is a mean of, and their weights. */
interface Taps {
  first: Int32Array;
  weights: Float32Array;
}

export class Hints implements Size {
  readonly #rows: Taps;
  readonly #columns: Taps;
  /** The token of each pixel. */
  readonly #owners: Int32Array;
  /** Mean colours of the tokens. */
  readonly #means: Float32Array;

  /**
   * @param tokens Of the photograph.
   * @param colours Four bytes per pixel, of the photograph at the size of the hints.
   * @param photo Size of the photograph.
   */
  constructor(
    private readonly tokens: PhotoTokens,
    private readonly colours: Uint8ClampedArray,
    readonly width: number,
    readonly height: number,
    private readonly photo: Size,
  ) {
    this.#rows = tapsOf(height, (tokens.rows * photo.height) / tokens.height);
    this.#columns = tapsOf(width, (tokens.columns * photo.width) / tokens.width);
    this.#owners = Int32Array.from({ length: width * height }, (_, index) =>
      this.#tokenAt({
        x: ((index % width) + 0.5) / this.#scale,
        y: (Math.floor(index / width) + 0.5) / this.#scale,
      }),
    );
    this.#means = new Float32Array(3 * tokens.rows * tokens.columns);
    for (let channel = 0; channel < 3; channel++) {
      const mean = this.#meanOf((index) => colours[4 * index + channel]!);
      mean.forEach((value, token) => (this.#means[3 * token + channel] = value));
    }
  }

  /** One byte per pixel of the hints, 255 where the click takes; all 0 where it would change nothing. */
  answer({ at, takesAway, scale, mask }: Question): Uint8Array {
    const { tokens } = this;
    const seen = this.#tokenAt(at);
    const prior = Float32Array.from(tokens.prior, (value) => (scale === "part" && !mask ? PART_PRIOR : value / 127));
    let near: boolean[] | null = null;
    if (mask) {
      const believed = this.#meanOf((index) => mask[index]!).map((value) => (2 * value) / 255 - 1);
      believed.forEach((value, token) => (prior[token]! += MASK_SHARE * (value - prior[token]!)));
      near = this.#near(seen, believed, takesAway ? -1 : 1);
      if (!near) return new Uint8Array(this.width * this.height);
    }
    const belief = this.#observed(seen, prior, takesAway ? -1 : 1);
    const region = this.#enlarged(belief);
    for (let index = 0; index < region.length; index++) {
      if (takesAway) region[index] = 255 - region[index]!;
      const isFar = near && !near[this.#owners[index]!];
      const isDone = mask && mask[index]! > 127 !== takesAway;
      if (isFar || isDone) region[index] = 0;
    }
    return scale === "group" && !mask ? region : this.#piece(region, at);
  }

  get #scale(): number {
    return this.width / this.photo.width;
  }

  /** Prior beliefs after one observation: the posterior mean of a Gaussian process. */
  #observed(seen: number, prior: Float32Array, label: number): Float32Array {
    const { rows, columns, width, height, features } = this.tokens;
    const dimensions = features.length / (rows * columns);
    const kernel = (token: number): number => {
      const dx = (((token % columns) - (seen % columns)) * width) / columns;
      const dy = ((Math.floor(token / columns) - Math.floor(seen / columns)) * height) / rows;
      const distance = (dx * dx + dy * dy) / (width * height);
      let cosine = 0;
      for (let index = 0; index < dimensions; index++) {
        cosine += features[token * dimensions + index]! * features[seen * dimensions + index]!;
      }
      const nearness = KERNELS.reduce(
        (sum, [weight, radius]) => sum + weight * Math.exp(-distance / (2 * radius ** 2)),
        0,
      );
      return nearness * Math.exp((cosine / 127 ** 2 - 1) / LIKENESS);
    };
    const gain = (label - prior[seen]!) / (kernel(seen) + NOISE);
    return prior.map((value, token) => value + gain * kernel(token));
  }

  /** Where a click may change a mask; null where the mask says already what the click says. */
  #near(seen: number, believed: Float32Array, label: number): boolean[] | null {
    if (label * believed[seen]! > 0) return null;
    const { rows, columns, width, height } = this.tokens;
    const side = Math.sqrt((width * height) / (rows * columns));
    const places = Array.from(believed, (_, token) => ({
      x: (((token % columns) + 0.5) * width) / columns,
      y: ((Math.floor(token / columns) + 0.5) * height) / rows,
    }));
    const { x, y } = places[seen]!;
    const distances = places.map((place) => Math.hypot(place.x - x, place.y - y));
    const edge = Math.min(x, y, this.photo.width - x, this.photo.height - y);
    const depth = distances.reduce(
      (least, distance, token) => (label * believed[token]! > 0 ? Math.min(least, distance - side / 2) : least),
      edge,
    );
    return distances.map((distance) => distance <= REACH * Math.max(side / 2, depth));
  }

  /** The pixels whose belief is positive: 255. */
  #enlarged(belief: Float32Array): Uint8Array {
    const region = new Uint8Array(this.width * this.height);
    const [rows, columns] = [this.#rows, this.#columns];
    const values = new Float32Array(TAPS * TAPS);
    const taps = new Int32Array(TAPS * TAPS);
    for (let y = 0, index = 0; y < this.height; y++) {
      let last = NaN;
      let sign = 0;
      for (let x = 0; x < this.width; x++, index++) {
        if (columns.first[x] !== last) {
          last = columns.first[x]!;
          for (let tap = 0; tap < TAPS * TAPS; tap++) {
            taps[tap] = this.#clamped(rows.first[y]! + (tap >> 2), last + (tap & 3));
            values[tap] = belief[taps[tap]!]!;
          }
          sign = values.every((value) => value > 0) ? 1 : values.every((value) => value <= 0) ? -1 : 0;
        }
        let sum = sign; // of what is decided at once
        for (let tap = 0; !sign && tap < TAPS * TAPS; tap++) {
          const nearness = rows.weights[TAPS * y + (tap >> 2)]! * columns.weights[TAPS * x + (tap & 3)]!;
          sum += nearness * (this.#likeness(4 * index, 3 * taps[tap]!) + 1e-3) * values[tap]!;
        }
        if (sum > 0) region[index] = 255;
      }
    }
    return region;
  }

  #likeness(pixel: number, token: number): number {
    const red = this.colours[pixel]! - this.#means[token]!;
    const green = this.colours[pixel + 1]! - this.#means[token + 1]!;
    const blue = this.colours[pixel + 2]! - this.#means[token + 2]!;
    return LIKENESSES[Math.min(LIKENESSES.length - 1, (red * red + green * green + blue * blue) >> 2)]!;
  }

  /** The part of a region that hangs together with the mark of a click. */
  #piece(region: Uint8Array, at: Point): Uint8Array {
    const { width, height } = this;
    const piece = new Uint8Array(region.length);
    const [column, row] = [Math.floor(at.x * this.#scale), Math.floor(at.y * this.#scale)];
    const waiting: number[] = [];
    for (let y = Math.max(0, row - MARK_REACH); y <= Math.min(height - 1, row + MARK_REACH); y++) {
      for (let x = Math.max(0, column - MARK_REACH); x <= Math.min(width - 1, column + MARK_REACH); x++) {
        waiting.push(y * width + x);
      }
    }
    while (waiting.length) {
      const index = waiting.pop()!;
      if (!region[index] || piece[index]) continue;
      piece[index] = 255;
      if (index % width > 0) waiting.push(index - 1);
      if (index % width < width - 1) waiting.push(index + 1);
      if (index >= width) waiting.push(index - width);
      if (index < width * (height - 1)) waiting.push(index + width);
    }
    return piece;
  }

  /** A mean per token of what there is at each pixel; 0 for tokens beyond the photograph. */
  #meanOf(value: (index: number) => number): Float32Array {
    const { rows, columns } = this.tokens;
    const sums = new Float32Array(rows * columns);
    const counts = new Uint32Array(rows * columns);
    this.#owners.forEach((token, index) => {
      sums[token]! += value(index);
      counts[token]!++;
    });
    return sums.map((sum, token) => sum / Math.max(1, counts[token]!));
  }

  #tokenAt({ x, y }: Point): number {
    const { rows, columns, width, height } = this.tokens;
    return this.#clamped(Math.floor((y * rows) / height), Math.floor((x * columns) / width));
  }

  #clamped(row: number, column: number): number {
    const { rows, columns } = this.tokens;
    return Math.max(0, Math.min(rows - 1, row)) * columns + Math.max(0, Math.min(columns - 1, column));
  }
}

/** @param tokens How many tokens the pixels span. */
function tapsOf(pixels: number, tokens: number): Taps {
  const first = new Int32Array(pixels);
  const weights = new Float32Array(TAPS * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const place = ((pixel + 0.5) * tokens) / pixels - 0.5;
    first[pixel] = Math.floor(place) - 1;
    for (let tap = 0; tap < TAPS; tap++) {
      weights[TAPS * pixel + tap] = Math.exp(-((place - first[pixel]! - tap) ** 2) / (2 * BLUR ** 2));
    }
  }
  return { first, weights };
}
