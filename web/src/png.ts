/** Writes grey 8-bit PNG: a quarter of the data that a canvas would encode, and the same everywhere. */

import { encodePng } from "mask2alpha/png";

/** @param values One byte per pixel, row by row. */
export function encodeGreyPng(values: Uint8Array, width: number, height: number): Promise<Blob> {
  return encodePng(values, width, height, 1);
}
