/** The box around a small target, in which its mask is decoded; equals `find_box` of `model/box.py`. */

import type { Planes, Rect } from "./arrays.js";

const MULTIPLE = 64;
const LEAST_MARGIN = 128;
const MARGIN_SHARE = 0.25;
const LARGEST_SHARE = 0.6;
const LEAST_MEANT = 0.05;
/** Logit of alpha outside the box. */
export const FAR_LOGIT = -20;

/** In pixels of the encoded photograph; null where the box would cover most of it, or the mask is empty. */
export function findBox({ data, size: [height, width] }: Planes): Rect | null {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let row = 0, index = 0; row < height; row++) {
    for (let column = 0; column < width; column++, index++) {
      if (data[index]! <= LEAST_MEANT) continue;
      top = Math.min(top, row);
      bottom = row + 1;
      left = Math.min(left, column);
      right = Math.max(right, column + 1);
    }
  }
  if (bottom === 0) return null;
  const margin = Math.max(LEAST_MARGIN, MARGIN_SHARE * Math.max(bottom - top, right - left));
  const box: Rect = {
    top: Math.max(0, MULTIPLE * Math.floor((top - margin) / MULTIPLE)),
    bottom: Math.min(height, MULTIPLE * Math.ceil((bottom + margin) / MULTIPLE)),
    left: Math.max(0, MULTIPLE * Math.floor((left - margin) / MULTIPLE)),
    right: Math.min(width, MULTIPLE * Math.ceil((right + margin) / MULTIPLE)),
  };
  return (box.bottom - box.top) * (box.right - box.left) <= LARGEST_SHARE * height * width ? box : null;
}

/** The same rectangle on a map that is `stride` times smaller. */
export function atStride({ top, bottom, left, right }: Rect, stride: number): Rect {
  return { top: top / stride, bottom: bottom / stride, left: left / stride, right: right / stride };
}
