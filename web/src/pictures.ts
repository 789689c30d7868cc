/** Reads pictures into pixels, on a canvas that is not shown. */

export async function pixelsOf(picture: Blob, width?: number, height?: number): Promise<ImageData> {
  const bitmap = await createImageBitmap(picture);
  const size = { width: width ?? bitmap.width, height: height ?? bitmap.height };
  const context = new OffscreenCanvas(size.width, size.height).getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, size.width, size.height);
  bitmap.close();
  return context.getImageData(0, 0, size.width, size.height);
}

/** A mask's values: its opacity where that varies, else its brightness. */
export function greyOf({ data }: ImageData): Uint8Array<ArrayBuffer> {
  const values = new Uint8Array(data.length / 4);
  let least = 255;
  for (let index = 3; index < data.length; index += 4) least = Math.min(least, data[index]!);
  for (let index = 0; index < values.length; index++) {
    const at = 4 * index;
    values[index] =
      least < 255 ? data[at + 3]! : Math.round(0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!);
  }
  return values;
}
