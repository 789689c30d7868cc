/** Runs the network beside the page, and makes the pictures that the service would send. */

import { encodePng, estimateForeground, load, type Encoding, type Matte, type Rect, type Session } from "mask2alpha";
import type { Format, MatteOptions, Output } from "./api";
import { covering, shrunk } from "./geometry";
import { greyOf, pixelsOf } from "./pictures";

export type LocalTask =
  | { kind: "start"; model: string; engineBinary: string; engineScript: string }
  | { kind: "encode"; id: string; photo: Blob; maxSide: number; mostPixels: number }
  | { kind: "matte"; id: string; object: Blob; options: Omit<MatteOptions, "object"> }
  | { kind: "cancel" }
  | { kind: "drop"; id: string };

export type LocalAnswer =
  | { kind: "encoded"; width: number; height: number }
  | { kind: "matted"; pictures: Map<string, Blob> }
  | { kind: "stage"; stage: string }
  | { kind: "failed"; message: string };

/** A photograph that is open, whole and as small as it is shown meanwhile; encoded when that is first needed. */
interface Opened {
  id: string;
  whole: Version;
  draft: Version;
}

interface Version {
  photo: ImageData;
  encoding: Encoding | null;
}

const TYPES: Partial<Record<Format, string>> = { webp: "image/webp", jpeg: "image/jpeg" };
const QUALITY = 0.92;
const RED = [255, 25.5, 25.5];

const scope = self as unknown as Worker;
let session: Promise<Session> | null = null;
let opened: Opened | null = null;
/** Ends the task that runs. */
let running = new AbortController();
/** The newest matte: its pictures are often asked for one after the other. */
let newest: { key: string; version: Version; mask: Uint8Array; matte: Matte } | null = null;

scope.onmessage = async ({ data: task }: MessageEvent<LocalTask>): Promise<void> => {
  if (task.kind === "start") {
    session = loaded(task);
    session.catch(() => undefined); // told to the first task that needs it
    return;
  }
  if (task.kind === "cancel") {
    running.abort();
    return;
  }
  if (task.kind === "drop") {
    if (opened?.id === task.id) opened = newest = null;
    return;
  }
  running = new AbortController();
  try {
    const answer = await (task.kind === "encode" ? encode(task) : matte(task));
    scope.postMessage(answer);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    scope.postMessage({ kind: "failed", message } satisfies LocalAnswer);
  }
};

async function loaded(task: LocalTask & { kind: "start" }): Promise<Session> {
  const response = await fetch(task.engineBinary);
  if (!response.ok) throw new Error("The network cannot be loaded. Reload the page.");
  const binary = await new Response(response.body!.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return load({ model: task.model, engine: { binary, script: task.engineScript } });
}

function tell(stage: string): void {
  scope.postMessage({ kind: "stage", stage } satisfies LocalAnswer);
}

async function encode({ id, photo, maxSide, mostPixels }: LocalTask & { kind: "encode" }): Promise<LocalAnswer> {
  tell("reading");
  const pixels = await pixelsOf(photo).catch(() => {
    throw new Error("This picture cannot be read here. Use a PNG, JPEG or WebP file.");
  });
  const { width, height } = pixels;
  if (width * height > mostPixels) {
    const [given, most] = [width * height, mostPixels].map((count) => Math.round(count / 1e6));
    throw new Error(`This photograph has ${given} megapixels; this page takes up to ${most}.`);
  }
  const small = shrunk(pixels, maxSide);
  const whole: Version = { photo: pixels, encoding: null };
  const draft: Version =
    small.width === width ? whole : { photo: await pixelsOf(photo, small.width, small.height), encoding: null };
  opened = { id, whole, draft };
  newest = null;
  await encodingOf(draft);
  return { kind: "encoded", width, height };
}

async function encodingOf(version: Version): Promise<Encoding> {
  const ready = await session!;
  if (version.encoding) return version.encoding;
  tell("encoding");
  return (version.encoding = await ready.encode(version.photo));
}

async function matte({ id, object, options }: LocalTask & { kind: "matte" }): Promise<LocalAnswer> {
  if (opened?.id !== id) throw new Error("The photograph is no longer open. Open it again.");
  const version = options.maxSide === undefined ? opened.whole : opened.draft;
  const { photo } = version;
  tell("masking");
  const mask = await maskOf(object, photo);
  const isMask = options.outputs.every((output) => output === "mask");
  const made = isMask ? null : await predicted(version, mask, options);
  tell("writing");
  const pictures = new Map<string, Blob>();
  const scene = { photo, mask, matte: made!, region: options.region ?? null, options };
  for (const output of options.outputs) {
    if (output !== "steps") pictures.set(output, await render(scene, output));
    else for (const [name, picture] of await stepPictures(scene)) pictures.set(name, picture);
  }
  return { kind: "matted", pictures };
}

/** The mask at a size; one with only two values keeps two values. */
async function maskOf(object: Blob, { width, height }: ImageData): Promise<Uint8Array> {
  const own = await pixelsOf(object);
  const values = greyOf(own);
  if (own.width === width && own.height === height) return values;
  const isHard = values.every((value) => value === 0 || value === 255);
  const scaled = greyOf(await pixelsOf(object, width, height));
  return isHard ? scaled.map((value) => (value >= 128 ? 255 : 0)) : scaled;
}

async function predicted(version: Version, mask: Uint8Array, options: Omit<MatteOptions, "object">): Promise<Matte> {
  const { steps, errorThreshold, region } = options;
  const key = JSON.stringify([steps, errorThreshold, region]);
  if (newest?.key === key && newest.version === version && isEqual(newest.mask, mask)) return newest.matte;
  const encoding = await encodingOf(version);
  tell("matting");
  const { width, height } = version.photo;
  const ready = await session!;
  const given = { data: mask, width, height };
  const made = await ready.predict(encoding, given, { steps, errorThreshold, region, signal: running.signal });
  newest = { key, version, mask, matte: made };
  return made;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

interface Scene {
  photo: ImageData;
  mask: Uint8Array;
  matte: Matte;
  region: Rect | null;
  options: Omit<MatteOptions, "object">;
}

/** Samples of a picture, row by row. */
interface Picture {
  samples: Uint8ClampedArray<ArrayBuffer>;
  channels: 1 | 3 | 4;
}

async function render(scene: Scene, output: Output): Promise<Blob> {
  const { width, height } = scene.photo;
  const panels = output === "comparison" ? await comparison(scene) : [await panel(scene, output)];
  const region = scene.region ?? { left: 0, top: 0, right: width, bottom: height };
  const { channels } = panels[0]!;
  const [columns, rows] = [region.right - region.left, region.bottom - region.top];
  const samples = new Uint8ClampedArray(rows * columns * panels.length * channels);
  panels.forEach((part, number) => {
    for (let row = 0; row < rows; row++) {
      const from = ((region.top + row) * width + region.left) * channels;
      const to = (row * panels.length + number) * columns * channels;
      samples.set(part.samples.subarray(from, from + columns * channels), to);
    }
  });
  return written({ samples, channels }, columns * panels.length, rows, scene.options.format ?? "png");
}

async function panel(scene: Scene, output: Output): Promise<Picture> {
  const { matte: made, mask } = scene;
  if (output === "alpha") return greyPicture(made.alpha);
  if (output === "error") return greyPicture(made.predictedError());
  if (output === "active") return greyPicture(made.active);
  if (output === "mask") return { samples: new Uint8ClampedArray(mask), channels: 1 };
  const colours = estimateForeground(scene.photo, made.alpha);
  if (output === "foreground") return { samples: colours, channels: 3 };
  if (output === "composite") return { samples: await composite(scene, colours), channels: 3 };
  return { samples: withOpacity(colours, made.alpha, output === "cutout_premultiplied"), channels: 4 };
}

function greyPicture(values: Float32Array | Uint8Array): Picture {
  return { samples: Uint8ClampedArray.from(values, (value) => 255 * value), channels: 1 };
}

function withOpacity(
  colours: Uint8ClampedArray,
  alpha: Float32Array,
  isPremultiplied: boolean,
): Uint8ClampedArray<ArrayBuffer> {
  const samples = new Uint8ClampedArray(4 * alpha.length);
  for (let index = 0; index < alpha.length; index++) {
    const factor = isPremultiplied ? alpha[index]! : 1;
    for (let channel = 0; channel < 3; channel++) samples[4 * index + channel] = factor * colours[3 * index + channel]!;
    samples[4 * index + 3] = 255 * alpha[index]!;
  }
  return samples;
}

async function composite(
  { photo: { width, height }, matte: { alpha }, options: { background = "white" } }: Scene,
  colours: Uint8ClampedArray,
): Promise<Uint8ClampedArray<ArrayBuffer>> {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  if (background instanceof Blob) {
    const bitmap = await createImageBitmap(background);
    const frame = covering(bitmap, { left: 0, top: 0, right: width, bottom: height });
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top);
  } else {
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
  }
  const behind = context.getImageData(0, 0, width, height).data;
  const samples = new Uint8ClampedArray(3 * alpha.length);
  for (let index = 0; index < alpha.length; index++) {
    for (let channel = 0; channel < 3; channel++) {
      const under = behind[4 * index + channel]!;
      samples[3 * index + channel] = under + alpha[index]! * (colours[3 * index + channel]! - under);
    }
  }
  return samples;
}

/** The photograph, the mask over it in red, alpha, and the composite. */
async function comparison(scene: Scene): Promise<Picture[]> {
  const { photo, mask } = scene;
  const alpha = await panel(scene, "alpha");
  const panels = Array.from({ length: 3 }, () => new Uint8ClampedArray(3 * mask.length));
  for (let index = 0; index < mask.length; index++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = photo.data[4 * index + channel]!;
      panels[0]![3 * index + channel] = value;
      panels[1]![3 * index + channel] = value + (mask[index]! / 255) * 0.5 * (RED[channel]! - value);
      panels[2]![3 * index + channel] = alpha.samples[index]!;
    }
  }
  return [...panels.map((samples): Picture => ({ samples, channels: 3 })), await panel(scene, "composite")];
}

/** For each step, 255 where a pixel is decided; after the last, all are. */
async function stepPictures({ photo: { width, height }, matte: made }: Scene): Promise<[string, Blob][]> {
  const maps = [...made.decided(), new Float32Array(width * height).fill(1)];
  return Promise.all(
    maps.map(async (map, index): Promise<[string, Blob]> => {
      const { samples } = greyPicture(map.map(Math.round));
      return [`step-${index + 1}_fine`, await encodePng(samples, width, height, 1)];
    }),
  );
}

async function written({ samples, channels }: Picture, width: number, height: number, format: Format): Promise<Blob> {
  const type = TYPES[format];
  if (!type) return encodePng(samples, width, height, channels);
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let index = 0; index < width * height; index++) {
    for (let channel = 0; channel < Math.max(3, channels); channel++) {
      pixels[4 * index + channel] = samples[channels * index + (channels === 1 ? 0 : channel)]!;
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.convertToBlob({ type, quality: QUALITY });
}
