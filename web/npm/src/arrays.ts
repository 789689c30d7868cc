/** Planes of numbers, and their resampling; each function equals that of the same name in the Python package. */

/** (height, width). */
export type Size = readonly [number, number];

/** Channels of one picture, one after the other, row by row. */
export interface Planes {
  data: Float32Array<ArrayBuffer>;
  channels: number;
  size: Size;
}

/** Rows `top` to `bottom` and columns `left` to `right`; the last ones are outside. */
export interface Rect {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

export function paddedSize([height, width]: Size, multiple: number): Size {
  return [Math.ceil(height / multiple) * multiple, Math.ceil(width / multiple) * multiple];
}

/** The size nearest in shape whose longer side is at most `maxSide`; sides are multiples of `multiple`. */
export function shrinkToSide(size: Size, maxSide: number, multiple: number): Size {
  const longest = Math.max(...size);
  if (longest <= maxSide) return size;
  const largest = Math.floor(maxSide / multiple) * multiple;
  const shrink = (side: number): number =>
    Math.min(largest, Math.max(multiple, roundHalfEven((side * largest) / longest / multiple) * multiple));
  return [shrink(size[0]), shrink(size[1])];
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** A part of each plane. */
export function cut(planes: Planes, { top, bottom, left, right }: Rect): Planes {
  const [height, width] = planes.size;
  const [rows, columns] = [bottom - top, right - left];
  const data = new Float32Array(planes.channels * rows * columns);
  for (let channel = 0; channel < planes.channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const start = (channel * height + top + row) * width + left;
      data.set(planes.data.subarray(start, start + columns), (channel * rows + row) * columns);
    }
  }
  return { data, channels: planes.channels, size: [rows, columns] };
}

/** The inverse of `cut`: planes of `size`, with `outside` around the part. */
export function spread(part: Planes, rect: Rect, size: Size, outside: number): Planes {
  const data = new Float32Array(part.channels * size[0] * size[1]).fill(outside);
  const [rows, columns] = part.size;
  for (let channel = 0; channel < part.channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const start = (channel * rows + row) * columns;
      data.set(part.data.subarray(start, start + columns), (channel * size[0] + rect.top + row) * size[1] + rect.left);
    }
  }
  return { data, channels: part.channels, size };
}

/** The mean of each 2 x 2 pixels: rows first, then columns, as docs/export.md states. */
export function halve({ data, channels, size: [height, width] }: Planes): Planes {
  const [rows, columns] = [height / 2, width / 2];
  const halved = new Float32Array(channels * rows * columns);
  for (let row = 0, index = 0; row < channels * rows; row++) {
    const upper = 2 * row * width;
    const lower = upper + width;
    for (let column = 0; column < width; column += 2, index++) {
      const left = Math.fround(data[upper + column]! + data[lower + column]!);
      const right = Math.fround(data[upper + column + 1]! + data[lower + column + 1]!);
      halved[index] = Math.fround(left + right) * 0.25;
    }
  }
  return { data: halved, channels, size: [rows, columns] };
}

/** A plane at another size; each pixel is the mean of the pixels that it touches. */
export function shrinkByArea({ data, size: [height, width] }: Planes, [rows, columns]: Size): Planes {
  const made = new Float32Array(rows * columns);
  const line = new Float64Array(width);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor((row * height) / rows);
    const last = Math.ceil(((row + 1) * height) / rows);
    line.fill(0);
    for (let y = first; y < last; y++) {
      for (let x = 0; x < width; x++) line[x]! += data[y * width + x]!;
    }
    for (let column = 0; column < columns; column++) {
      const left = Math.floor((column * width) / columns);
      const right = Math.ceil(((column + 1) * width) / columns);
      let sum = 0;
      for (let x = left; x < right; x++) sum += line[x]!;
      made[row * columns + column] = sum / ((last - first) * (right - left));
    }
  }
  return { data: made, channels: 1, size: [rows, columns] };
}

/** For one axis of a bilinear enlargement: the two cells of each place, and the weight of the second. */
interface Axis {
  lower: Int32Array;
  upper: Int32Array;
  weight: Float32Array;
}

function bilinearAxis(first: number, count: number, length: number, spanned: number): Axis {
  const axis: Axis = { lower: new Int32Array(count), upper: new Int32Array(count), weight: new Float32Array(count) };
  for (let index = 0; index < count; index++) {
    const source = Math.max(0, (first + index + 0.5) * (length / spanned) - 0.5);
    const lower = Math.floor(source);
    axis.weight[index] = source - lower;
    axis.lower[index] = Math.min(lower, length - 1);
    axis.upper[index] = Math.min(lower + 1, length - 1);
  }
  return axis;
}

/** The pixels of `rect` of a plane that is enlarged bilinearly to `spanned`. */
export function upsample(
  { data, size: [height, width] }: Planes,
  spanned: Size,
  rect: Rect,
): Float32Array<ArrayBuffer> {
  const [rows, columns] = [rect.bottom - rect.top, rect.right - rect.left];
  const y = bilinearAxis(rect.top, rows, height, spanned[0]);
  const x = bilinearAxis(rect.left, columns, width, spanned[1]);
  const made = new Float32Array(rows * columns);
  for (let row = 0, index = 0; row < rows; row++) {
    const [upper, lower, down] = [y.lower[row]! * width, y.upper[row]! * width, y.weight[row]!];
    for (let column = 0; column < columns; column++, index++) {
      const [left, right, across] = [x.lower[column]!, x.upper[column]!, x.weight[column]!];
      const above = data[upper + left]! * (1 - across) + data[upper + right]! * across;
      const below = data[lower + left]! * (1 - across) + data[lower + right]! * across;
      made[index] = above * (1 - down) + below * down;
    }
  }
  return made;
}

export function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}
