/** Mask-guided image matting in the browser: a photograph and a rough mask in, its matte out. */

import * as ort from "onnxruntime-web/wasm";
import { paddedSize, upsample, type Planes, type Rect } from "./arrays.js";
import { findBox } from "./box.js";
import { recoverDetail } from "./detail.js";
import { GRAPHS, Network, type Features, type ModelInfo } from "./network.js";
import {
  checkPhoto,
  readMask,
  shrinkMask,
  shrinkPhoto,
  STRIDE_MULTIPLE,
  thumbnailOf,
  type MaskPixels,
  type Pixels,
} from "./prepare.js";
import { networkShare } from "./reach.js";

export { estimateForeground } from "./foreground.js";
export { encodePng, type PngSamples } from "./png.js";
export type { MaskPixels, ModelInfo, Pixels, Rect };

export interface LoadOptions {
  /** Folder of the model's files; default: the one in this package, beside the code. */
  model?: string | URL;
  /** The engine's binary, and the address of the script beside it; default: those that ONNX Runtime Web finds. */
  engine?: { binary: ArrayBuffer; script: string };
  /** Threads of the engine. Default: up to 8 where COOP and COEP headers isolate the page, else 1. */
  threads?: number;
  /** Reads a file of the model; default: `fetch` or, for `file:` addresses, Node's file system. */
  read?: (address: URL) => Promise<Uint8Array>;
}

export interface PredictOptions {
  /** Decoding steps, at least 1; default: the model's. */
  steps?: number;
  /** In [0, 1]: pixels with a higher predicted error are recomputed at full resolution; default: the model's. */
  errorThreshold?: number;
  /** The part of the photograph that is wanted, in its pixels; the rest of the matte is 0. Default: all of it. */
  region?: Rect;
  /** Ends the work, with its reason as the error, before the next part of the network runs. */
  signal?: AbortSignal;
}

/** What a photograph gives, for any number of masks. */
export interface Encoding {
  readonly photo: Pixels;
  readonly features: Features;
}

/** The matte of one photograph and one mask. All maps have the photograph's size. */
export interface Matte {
  readonly width: number;
  readonly height: number;
  /** In [0, 1]; exactly 0 or 1 where the network is within 1/255 of it. */
  readonly alpha: Float32Array<ArrayBuffer>;
  /** 1 for the pixels that were recomputed at full resolution. */
  readonly active: Uint8Array<ArrayBuffer>;
  /** The network's guess at the error of alpha before that, in [0, 1]; computed at each call. */
  predictedError(): Float32Array<ArrayBuffer>;
  /** After each decoding step but the last: 1 where a pixel is decided; computed at each call. */
  decided(): Float32Array<ArrayBuffer>[];
}

/** Load the engine and the model; it takes seconds, and its result serves any number of photographs. */
export async function load({ model, engine, threads, read = readFile }: LoadOptions = {}): Promise<Session> {
  if (engine) {
    ort.env.wasm.wasmBinary = engine.binary;
    ort.env.wasm.wasmPaths = { mjs: engine.script };
  }
  const cores = globalThis.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency) : 1;
  ort.env.wasm.numThreads = threads ?? cores;
  const folder = new URL(model ?? new URL("../model/", import.meta.url), globalThis.location?.href);
  const get = (name: string): Promise<Uint8Array> => read(new URL(name, folder.href.replace(/\/?$/, "/")));
  const info = JSON.parse(new TextDecoder().decode(await get("model.json"))) as ModelInfo;
  const files = await Promise.all(GRAPHS.map(async (name) => [name, await get(`${name}.onnx`)] as const));
  return new Session(await Network.create(info, Object.fromEntries(files) as Parameters<typeof Network.create>[1]));
}

export class Session {
  constructor(private readonly network: Network) {}

  get info(): ModelInfo {
    return this.network.info;
  }

  /** Compute what depends on the photograph alone, for `predict` with any number of masks. */
  async encode(photo: Pixels): Promise<Encoding> {
    checkPhoto(photo);
    const image = shrinkPhoto(photo);
    return { photo, features: await this.network.encode(image, thumbnailOf(image)) };
  }

  /**
   * Matte a photograph with a mask.
   *
   * @param photo The photograph, or what `encode` gave.
   * @param mask Of the photograph's size. An empty one gives alpha 0 everywhere, a full one alpha 1.
   * @throws RangeError The photograph, the mask or an option cannot be used.
   */
  async predict(photo: Pixels | Encoding, mask: MaskPixels, options: PredictOptions = {}): Promise<Matte> {
    const { steps = this.info.steps, errorThreshold = this.info.error_threshold } = options;
    const pixels = "photo" in photo ? photo.photo : photo;
    checkPhoto(pixels);
    const { width, height } = pixels;
    const region = options.region ?? { top: 0, bottom: height, left: 0, right: width };
    if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`steps is ${steps}; accepted: 1 and more`);
    if (!(errorThreshold >= 0 && errorThreshold <= 1)) {
      throw new RangeError(`errorThreshold is ${errorThreshold}; accepted: 0 to 1`);
    }
    const values = readMask(mask, pixels);
    if (values.every((value) => value === values[0]) && values[0]! % 255 === 0) {
      return trivialMatte(width, height, values[0]! / 255);
    }
    const { features } = "photo" in photo ? photo : await this.encode(photo);
    const small = shrinkMask(values, [height, width], features.size);
    const coarse = await this.network.decode(features, small, findBox(small), steps, options.signal);
    const { alpha, active } = await recoverDetail(this.network, pixels, values, coarse, {
      threshold: errorThreshold,
      region,
      signal: options.signal,
    });
    const spanned = paddedSize([height, width], STRIDE_MULTIPLE);
    settle(alpha, values, networkShare(small), spanned, { top: 0, bottom: height, left: 0, right: width });
    const enlarged = (map: Planes): Float32Array<ArrayBuffer> =>
      upsample(map, spanned, { top: 0, bottom: height, left: 0, right: width });
    return {
      width,
      height,
      alpha,
      active,
      predictedError: () => enlarged(coarse.error),
      decided: () => coarse.decided.map(enlarged),
    };
  }

  /** Free the model's memory. */
  async release(): Promise<void> {
    await this.network.release();
  }
}

/** Turn what is within 1/255 of 0 or 1 into it; far from the border of a rough mask, take the mask's value. */
function settle(
  alpha: Float32Array,
  mask: Uint8Array,
  share: Planes | null,
  spanned: readonly [number, number],
  whole: Rect,
): void {
  const weight = share && upsample(share, spanned, whole);
  for (let index = 0; index < alpha.length; index++) {
    const value = Math.min(1, Math.max(0, (alpha[index]! * 255 - 1) / 253));
    const given = mask[index]! / 255;
    alpha[index] = weight ? given + weight[index]! * (value - given) : value;
  }
}

function trivialMatte(width: number, height: number, value: number): Matte {
  const zeros = (): Float32Array<ArrayBuffer> => new Float32Array(width * height);
  return {
    width,
    height,
    alpha: zeros().fill(value),
    active: new Uint8Array(width * height),
    predictedError: zeros,
    decided: () => [],
  };
}

async function readFile(address: URL): Promise<Uint8Array> {
  if (address.protocol === "file:") {
    const { readFile: read } = await import(/* @vite-ignore */ "node:fs/promises" as string);
    return read(address) as Promise<Uint8Array>;
  }
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address.href}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
