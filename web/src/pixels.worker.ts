/** Turns grey pictures from the service into bitmaps to draw, beside the page's own thread. */

import { colourError, colourActive, colourSteps, type Rgba } from "./colours";
import { greyOf, pixelsOf } from "./pictures";

export type Task =
  /** Grey to white with that opacity. */
  | { kind: "alpha" | "error" | "active"; picture: Blob }
  /** For each step, 255 where a pixel was already decided. */
  | { kind: "steps"; pictures: Blob[] }
  /** Grey values of any picture, at a given size. */
  | { kind: "values"; picture: Blob; width: number; height: number };

export type Answer = { bitmap: ImageBitmap } | { values: Uint8Array<ArrayBuffer> } | { failed: string };

const scope = self as unknown as Worker;

scope.onmessage = async ({ data: { id, task } }: MessageEvent<{ id: number; task: Task }>): Promise<void> => {
  try {
    const answer = await run(task);
    const moved: Transferable[] =
      "bitmap" in answer ? [answer.bitmap] : "values" in answer ? [answer.values.buffer] : [];
    scope.postMessage({ id, answer }, moved);
  } catch (error) {
    scope.postMessage({ id, answer: { failed: String(error) } satisfies Answer });
  }
};

async function run(task: Task): Promise<Answer> {
  if (task.kind === "values") {
    return { values: greyOf(await pixelsOf(task.picture, task.width, task.height)) };
  }
  if (task.kind === "steps") {
    const steps = await Promise.all(task.pictures.map((picture) => pixelsOf(picture)));
    return {
      bitmap: await painted(steps[0]!, (index) => packed(colourSteps(steps.map(({ data }) => data[4 * index]!)))),
    };
  }
  const grey = await pixelsOf(task.picture);
  if (task.kind === "alpha") {
    for (let index = 0; index < grey.data.length; index += 4) {
      grey.data[index + 3] = grey.data[index]!;
      grey.data[index] = grey.data[index + 1] = grey.data[index + 2] = 255;
    }
    return { bitmap: await createImageBitmap(grey) };
  }
  const colour = task.kind === "error" ? colourError : colourActive;
  const table = Array.from({ length: 256 }, (_, value) => packed(colour(value)));
  return { bitmap: await painted(grey, (index) => table[grey.data[4 * index]!]!) };
}

function painted(size: ImageData, colourAt: (index: number) => number): Promise<ImageBitmap> {
  const colours = Uint32Array.from({ length: size.width * size.height }, (_, index) => colourAt(index));
  return createImageBitmap(new ImageData(new Uint8ClampedArray(colours.buffer), size.width, size.height));
}

/** As one number with red in its lowest byte, which is the order of `ImageData` on every machine in use. */
function packed([red, green, blue, opacity]: Rgba): number {
  return ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
