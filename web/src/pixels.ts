/** Calls into the worker that turns pictures into bitmaps. */

import type { Answer, Task } from "./pixels.worker";

const worker = new Worker(new URL("./pixels.worker.ts", import.meta.url), { type: "module" });
const waiting = new Map<number, (answer: Answer) => void>();
let count = 0;

worker.onmessage = ({ data: { id, answer } }: MessageEvent<{ id: number; answer: Answer }>): void => {
  waiting.get(id)?.(answer);
  waiting.delete(id);
};

async function ask(task: Task): Promise<Answer> {
  const id = count++;
  const answer = await new Promise<Answer>((resolve) => {
    waiting.set(id, resolve);
    worker.postMessage({ id, task });
  });
  if ("failed" in answer) throw new Error(answer.failed);
  return answer;
}

/** A bitmap to draw over the photograph: alpha as opacity, a map in colours. */
export async function bitmapOf(task: Exclude<Task, { kind: "values" }>): Promise<ImageBitmap> {
  return ((await ask(task)) as { bitmap: ImageBitmap }).bitmap;
}

/** A picture's brightness as a mask of the given size. */
export async function valuesOf(picture: Blob, width: number, height: number): Promise<Uint8Array> {
  return ((await ask({ kind: "values", picture, width, height })) as { values: Uint8Array }).values;
}
