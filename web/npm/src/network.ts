/** The network, in six ONNX graphs; docs/export.md of mask2alpha describes them and the order in which they run. */

import * as ort from "onnxruntime-web/wasm";
import { cut, type Planes, type Rect, type Size, sigmoid, spread } from "./arrays.js";
import { atStride, FAR_LOGIT } from "./box.js";

export const GRAPHS = ["encoder", "state", "guide", "fusion", "step", "detail"] as const;
type Graph = (typeof GRAPHS)[number];
type Tensors = Record<string, ort.Tensor>;

/** What `model.json` says beside the graphs. */
export interface ModelInfo {
  name: string;
  /** Decoding steps. */
  steps: number;
  /** Pixels with a higher predicted error are recomputed at full resolution. */
  error_threshold: number;
}

/** What a photograph gives, for any number of masks; stays outside of the engine. */
export interface Features {
  tokens: ort.Tensor;
  /** Maps of the photograph alone, by name. */
  maps: Record<string, Planes>;
  /** The photograph at a quarter of the encoded size. */
  thumbnail: Planes;
  size: Size;
}

/** The result of the decoding steps, at a quarter of the encoded size; of the whole photograph. */
export interface Coarse {
  logits: Planes;
  error: Planes;
  features: Planes;
  colours: Planes;
  /** After each step but the last: 1 where a pixel is decided. */
  decided: Planes[];
}

export class Network {
  private constructor(
    readonly info: ModelInfo,
    private readonly sessions: Record<Graph, ort.InferenceSession>,
  ) {}

  static async create(info: ModelInfo, files: Record<Graph, Uint8Array>): Promise<Network> {
    const options: ort.InferenceSession.SessionOptions = {
      executionProviders: ["wasm"],
      enableMemPattern: false,
      extra: { session: { intra_op: { allow_spinning: "0" } } }, // threads that wait leave the cores to others
    };
    const sessions: Partial<Record<Graph, ort.InferenceSession>> = {};
    // one after the other: together they would need the memory of all files twice
    for (const name of GRAPHS) sessions[name] = await ort.InferenceSession.create(files[name], options);
    return new Network(info, sessions as Record<Graph, ort.InferenceSession>);
  }

  async release(): Promise<void> {
    for (const name of GRAPHS) await this.sessions[name].release();
  }

  async encode(image: Planes, thumbnail: Planes): Promise<Features> {
    const { tokens, ...maps } = await this.#run("encoder", { image: tensorOf(image) });
    const planes = Object.entries(maps).map(([name, tensor]) => [name, planesOf(tensor)] as const);
    return { tokens: tokens!, maps: Object.fromEntries(planes), thumbnail, size: image.size };
  }

  /**
   * Stages 1 and 2 for a mask.
   *
   * @param mask Of the encoded size, in [0, 1].
   * @param box The part of the encoded photograph in which the mask is decoded.
   * @param signal As for `recover`.
   */
  async decode(
    features: Features,
    mask: Planes,
    box: Rect | null,
    steps: number,
    signal?: AbortSignal,
  ): Promise<Coarse> {
    const { guided } = await this.#run("guide", { mask: tensorOf(mask), tokens: features.tokens });
    const whole = quartered(mask);
    const first = await this.#state(features.thumbnail, whole, whole, whole, null, 0);

    const inBox = (planes: Planes): Planes =>
      box ? cut(planes, atStride(box, features.size[0] / planes.size[0])) : planes;
    const [maskOs4, thumbnail] = [inBox(whole), inBox(features.thumbnail)];
    let state: Tensors = {
      mixed_matte: tensorOf(maskOs4),
      is_fine: falseOf(maskOs4),
      cues: tensorOf(inBox(planesOf(first["cues"]!))),
      local_colours: tensorOf(inBox(planesOf(first["local_colours"]!))),
    };
    const maps = Object.entries(features.maps).map(([name, planes]) => [name, tensorOf(inBox(planes))] as const);
    const { prepared, features: fused } = await this.#run("fusion", {
      mask_os4: tensorOf(maskOs4),
      cues: state["cues"]!,
      guided: tensorOf(inBox(planesOf(guided!))),
      ...Object.fromEntries(maps),
    });

    const quarter: Size = [features.size[0] / 4, features.size[1] / 4];
    const onWhole = (tensor: ort.Tensor, outside = 0): Planes =>
      box ? spread(planesOf(tensor), atStride(box, 4), quarter, outside) : planesOf(tensor);
    const decided: Planes[] = [];
    for (let step = 1; ; step++) {
      await checked(signal);
      const { mixed_matte, is_fine, cues } = state;
      const made = await this.#run("step", {
        prepared: prepared!,
        mixed_matte: mixed_matte!,
        is_fine: is_fine!,
        cues: cues!,
      });
      const [logits, error] = [made["alpha_logits"]!, made["predicted_error"]!];
      if (step === steps) {
        return {
          logits: onWhole(logits, FAR_LOGIT),
          error: onWhole(error),
          features: onWhole(fused!),
          colours: onWhole(state["local_colours"]!),
          decided,
        };
      }
      const alpha = { ...planesOf(logits), data: (logits.data as Float32Array<ArrayBuffer>).map(sigmoid) };
      const share = 1 - Math.cos(((Math.PI / 2) * step) / steps);
      state = await this.#state(thumbnail, maskOs4, alpha, planesOf(error), is_fine!, share);
      decided.push(
        onWhole(new ort.Tensor("float32", Float32Array.from(state["is_fine"]!.data as Uint8Array), logits.dims)),
      );
    }
  }

  /**
   * Stage 3, or a window of it.
   *
   * @param image Of the window, at full size.
   * @param coarse What covers the window exactly, and more at the right and at the bottom.
   * @param spanned (height, width) that `coarse` covers, in pixels of the window.
   * @param signal Ends the work, with its reason as the error, before the next graph runs.
   * @returns Alpha, and the cells of 2 x 2 pixels that were recomputed.
   */
  async recover(
    image: Planes,
    mask: Planes,
    coarse: Omit<Coarse, "decided">,
    spanned: Size,
    threshold: number,
    signal?: AbortSignal,
  ): Promise<{ alpha: Float32Array; active: Uint8Array }> {
    await checked(signal);
    const made = await this.#run("detail", {
      image: tensorOf(image),
      mask: tensorOf(mask),
      alpha_logits: tensorOf(coarse.logits),
      predicted_error: tensorOf(coarse.error),
      features: tensorOf(coarse.features),
      local_colours: tensorOf(coarse.colours),
      spanned: new ort.Tensor("float32", Float32Array.from(spanned), [2]),
      least_error: new ort.Tensor("float32", Float32Array.of(threshold), [1, 1, 1, 1]),
    });
    return { alpha: made["alpha"]!.data as Float32Array, active: made["active"]!.data as Uint8Array };
  }

  #state(
    thumbnail: Planes,
    mask: Planes,
    alpha: Planes,
    error: Planes,
    wasFine: ort.Tensor | null,
    fineShare: number,
  ): Promise<Tensors> {
    return this.#run("state", {
      thumbnail: tensorOf(thumbnail),
      mask_os4: tensorOf(mask),
      alpha: tensorOf(alpha),
      last_error: tensorOf(error),
      was_fine: wasFine ?? falseOf(mask),
      fine_share: new ort.Tensor("float64", Float64Array.of(fineShare), []),
    });
  }

  async #run(graph: Graph, feeds: Tensors): Promise<Tensors> {
    return (await this.sessions[graph].run(feeds)) as Tensors;
  }
}

/** Let other messages of this thread be heard, of which one may abort the signal. */
async function checked(signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return;
  await new Promise((resolve) => setTimeout(resolve));
  signal.throwIfAborted();
}

function tensorOf({ data, channels, size }: Planes): ort.Tensor {
  return new ort.Tensor("float32", data, [1, channels, ...size]);
}

function planesOf(tensor: ort.Tensor): Planes {
  const [, channels, height, width] = tensor.dims as [number, number, number, number];
  return { data: tensor.data as Float32Array<ArrayBuffer>, channels, size: [height, width] };
}

function falseOf({ size }: Planes): ort.Tensor {
  return new ort.Tensor("bool", new Uint8Array(size[0] * size[1]), [1, 1, ...size]);
}

/** The mean of each 4 x 4 pixels. */
function quartered({ data, size: [height, width] }: Planes): Planes {
  const [rows, columns] = [height / 4, width / 4];
  const made = new Float32Array(rows * columns);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      made[(row >> 2) * columns + (column >> 2)]! += data[row * width + column]! / 16;
    }
  }
  return { data: made, channels: 1, size: [rows, columns] };
}
