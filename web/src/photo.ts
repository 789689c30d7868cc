/** Reading what the person drops, pastes or chooses. */

import type { Encoding, Service } from "./api";
import { DRAFT_SIDE, type Photo } from "./document";
import { shrunk } from "./geometry";
import { PageError } from "./report";

/** The photograph as this browser reads it, upright; null where it cannot. */
export async function decodedHere(file: Blob, name: string): Promise<Photo | null> {
  const whole = await createImageBitmap(file).catch(() => null);
  if (!whole) return null;
  const { width, height } = whole;
  const size = shrunk(whole, DRAFT_SIDE);
  if (size.width === width && size.height === height) {
    return { name, file, width, height, picture: { draft: whole, detail: null } };
  }
  const draft = await createImageBitmap(whole, {
    resizeWidth: size.width,
    resizeHeight: size.height,
    resizeQuality: "high",
  });
  whole.close();
  return { name, file, width, height, picture: { draft, detail: null } };
}

/** The photograph as the service reads it: for kinds of files that browsers do not know. */
export async function decodedThere(service: Service, encoding: Encoding, name: string): Promise<Photo> {
  const { width, height } = encoding;
  const file = await service.photo(encoding, Math.max(width, height), new AbortController().signal);
  const photo = await decodedHere(file, name);
  if (!photo) throw new PageError("This photograph cannot be shown.");
  return photo;
}

/** Whether two sizes have the same shape, up to rounding. */
export function hasShapeOf(a: { width: number; height: number }, b: { width: number; height: number }): boolean {
  return Math.abs((a.width / a.height) * (b.height / b.width) - 1) < 0.02;
}
