/** The service, as described in docs/service.md: one function per endpoint, errors in plain words. */

import type { Point, Rect, Size } from "./geometry";
import type { Scale } from "./prompt";

export interface ServiceInfo {
  version: string;
  model: string;
  /** A page without a service has no control of the trust. */
  defaults: { steps: number; error_threshold: number; trust?: number };
  /** Whether the model selects what is pointed at. */
  selects: boolean;
  needs_key: boolean;
  /** Suffixes of the files it reads. */
  input_formats: string[];
  limits: { body_bytes: number; pixels: number; side: number; steps: number };
  /** What clips it takes; undefined where no service answers. */
  clips?: { missing: string; bytes: number; frames: number };
  /** What there is where no service answers; undefined: everything. */
  offers?: { outputs: readonly Output[]; formats: readonly Format[] };
}

/** A photograph that the service keeps for a while. */
export interface Encoding extends Size {
  id: string;
  token: string;
  warnings: string[];
}

/** A clip that the service keeps for a while; its frames are counted from 1. */
export interface Clip extends Size {
  id: string;
  token: string;
  frames: number;
  state: "idle" | "waiting" | "matting" | "exporting";
  /** Frames that have a matte, from the first on. */
  matted: number;
  is_matted: boolean;
  exported: number;
  is_exported: boolean;
  /** Why the last work failed. */
  problem?: string;
  warnings: string[];
}

export type ClipFormat = "png" | "webm" | "mov";

export type Output =
  | "alpha"
  | "cutout"
  | "cutout_premultiplied"
  | "foreground"
  | "composite"
  | "comparison"
  | "passes"
  | "mask"
  | "error"
  | "active"
  | "steps";
export type Format = "png" | "webp" | "tiff" | "jpeg" | "exr";

export interface MatteOptions {
  /** The rough mask as a picture file, or a box in the photograph's pixels. */
  object: Blob | Rect;
  outputs: readonly Output[];
  format?: Format;
  background?: string | Blob;
  /** Longest side of a preview. */
  maxSide?: number;
  /** The outputs are cut to it, in the photograph's pixels. */
  region?: Rect;
  /** How far the mask is believed, in [0, 1]. */
  trust?: number;
  steps?: number;
  errorThreshold?: number;
  /** Controls of the edge, such as "shift=-1,feather=2"; lengths in the photograph's pixels. */
  edges?: string;
  /** Most pixels recomputed at full resolution. */
  activeBudget?: number;
}

export interface SelectOptions {
  /** Clicks and scribbles on the object; a click has one point. */
  target: (readonly Point[])[];
  /** The same on what is not the object. */
  rest: (readonly Point[])[];
  box: Rect | null;
  scale: Scale;
  /** A picture of the mask to begin from. */
  mask: Blob | null;
}

/** What the model says of the parts of a photograph, for comparing them in the page; token by token in raster order. */
export interface PhotoTokens extends Size {
  rows: number;
  columns: number;
  /** The belief that a token is part of the target, before anything was pointed at; 127 is 1. */
  prior: Int8Array;
  /** Vectors of unit length, of which 127 is 1. */
  features: Int8Array;
}

export interface Progress {
  state: "waiting" | "working";
  ahead?: number;
  stage?: string;
  done?: number;
}

/** What went wrong, in words for the person. */
export class ServiceError extends Error {
  constructor(
    message: string,
    /** The end of the problem's type, such as `queue-full`; `unreachable` where no answer came. */
    readonly kind: string,
    /** Seconds after which it may work, where the service says so. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

const KEY_NAME = "mask2alpha-key";
const MAX_RETRIES = 20;

export class Service {
  /** Asks the person for the API key; null where there is none. */
  askKey: () => Promise<string | null> = () => Promise.resolve(null);
  /** Told when a busy service makes a request wait. */
  onBusy: (seconds: number) => void = () => undefined;

  async info(): Promise<ServiceInfo> {
    return (await this.#send("v1/info")).json() as Promise<ServiceInfo>;
  }

  async example(): Promise<{ photo: Blob; mask: Blob }> {
    const [photo, mask] = await Promise.all([this.#send("v1/example/photo"), this.#send("v1/example/mask")]);
    return { photo: await photo.blob(), mask: await mask.blob() };
  }

  /** @param onSent Told the share of the file that has left, in [0, 1]. */
  async encode(
    photo: Blob,
    maxSide: number,
    signal: AbortSignal,
    requestId: string,
    onSent: (share: number) => void,
  ): Promise<Encoding> {
    const form = new FormData();
    form.append("photo", photo, "photo");
    form.append("max_side", String(maxSide));
    const response = await this.#retrying(signal, () =>
      upload("v1/encodings", form, this.#headers(requestId), signal, onSent),
    );
    return response.json() as Promise<Encoding>;
  }

  /** The photograph as the service reads it, for formats that a browser cannot show. */
  async photo(encoding: Encoding, maxSide: number, signal: AbortSignal): Promise<Blob> {
    const address = `v1/encodings/${encoding.id}/photo?max_side=${maxSide}&format=jpeg`;
    return (await this.#send(address, { headers: tokenOf(encoding), signal })).blob();
  }

  /** Free what the service keeps; nothing depends on the answer, which may come after the page is gone. */
  drop(encoding: Encoding): void {
    const headers = { ...this.#headers(), ...tokenOf(encoding) };
    void fetch(`v1/encodings/${encoding.id}`, { method: "DELETE", headers, keepalive: true }).catch(() => undefined);
  }

  /** The rough mask of what is pointed at, no larger than `maxSide`. */
  async select(
    encoding: Encoding,
    { target, rest, box, scale, mask }: SelectOptions,
    maxSide: number,
    signal: AbortSignal,
    requestId: string,
  ): Promise<Blob> {
    const selection = {
      strokes: target.map(pairs),
      not_strokes: rest.map(pairs),
      boxes: box ? [[box.left, box.top, box.right, box.bottom]] : [],
      scale,
      ...(mask && { mask: await base64Of(mask) }),
    };
    const response = await this.#send(`v1/encodings/${encoding.id}/selections?max_side=${maxSide}`, {
      method: "POST",
      body: JSON.stringify(selection),
      signal,
      headers: { "Content-Type": "application/json", ...tokenOf(encoding), ...this.#headers(requestId) },
    });
    return response.blob();
  }

  /** The tokens of a photograph; their width and height are what they span, in the photograph's pixels. */
  async tokens(encoding: Encoding, maxSide: number, signal: AbortSignal): Promise<PhotoTokens> {
    const address = `v1/encodings/${encoding.id}/hints?max_side=${maxSide}`;
    const response = await this.#send(address, { headers: tokenOf(encoding), signal });
    const hints = (await response.json()) as Omit<PhotoTokens, "prior" | "features"> &
      Record<"prior" | "features", string>;
    return { ...hints, prior: bytesOf(hints.prior), features: bytesOf(hints.features) };
  }

  /** Pictures by output; `steps` gives several, `step-1_fine` and so on. */
  async matte(
    encoding: Encoding,
    options: MatteOptions,
    signal: AbortSignal,
    requestId: string,
  ): Promise<Map<string, Blob>> {
    const response = await this.#matte(encoding, options, signal, requestId, "multipart/form-data");
    if (!response.headers.get("Content-Type")?.startsWith("multipart/")) {
      return new Map([[options.outputs[0]!, await response.blob()]]);
    }
    const parts = [...(await response.formData()).entries()];
    return new Map(parts.map(([name, value]) => [name.split("/").at(-1)!, value as Blob]));
  }

  /** A file to keep: the picture, or a zip archive where the output is several. */
  async matteFile(encoding: Encoding, options: MatteOptions, signal: AbortSignal, requestId: string): Promise<Blob> {
    return (await this.#matte(encoding, options, signal, requestId, "application/zip")).blob();
  }

  /** @param onSent Told the share of the file that has left, in [0, 1]. */
  async openClip(file: Blob, signal: AbortSignal, onSent: (share: number) => void): Promise<Clip> {
    const form = new FormData();
    form.append("clip", file, "clip");
    const response = await this.#retrying(signal, () => upload("v1/clips", form, this.#headers(), signal, onSent));
    return response.json() as Promise<Clip>;
  }

  /** The clip as it is now. */
  clip(clip: Clip): Promise<Clip> {
    return this.#ofClip(clip, "");
  }

  /** A frame, as a small picture. */
  async frame(clip: Clip, number: number, signal: AbortSignal): Promise<Blob> {
    return (await this.#send(`v1/clips/${clip.id}/frames/${number}`, { headers: ownerOf(clip), signal })).blob();
  }

  async frameMatte(clip: Clip, number: number, signal: AbortSignal): Promise<Blob> {
    return (await this.#send(`v1/clips/${clip.id}/frames/${number}/matte`, { headers: ownerOf(clip), signal })).blob();
  }

  /** Begin to matte a clip from masks of some of its frames. */
  matteClip(
    clip: Clip,
    masks: Map<number, Blob>,
    { trust, steps, errorThreshold }: Partial<MatteOptions>,
  ): Promise<Clip> {
    const form = formOf({ trust, steps, error_threshold: errorThreshold });
    for (const [number, mask] of masks) form.append("mask", mask, `${number}.png`);
    return this.#ofClip(clip, "/mattes", { method: "POST", body: form });
  }

  stopClip(clip: Clip): Promise<Clip> {
    return this.#ofClip(clip, "/mattes", { method: "DELETE" });
  }

  /** Begin to write a matted clip as a file, which `exportedClip` fetches. */
  exportClip(clip: Clip, output: Output, format: ClipFormat, background: string, edges: string): Promise<Clip> {
    const form = formOf({ output, format, background, edges: edges || undefined });
    return this.#ofClip(clip, "/export", { method: "POST", body: form });
  }

  async exportedClip(clip: Clip): Promise<Blob> {
    return (await this.#send(`v1/clips/${clip.id}/export`, { headers: ownerOf(clip) })).blob();
  }

  /** Free what the service keeps of a clip; as `drop`. */
  dropClip(clip: Clip): void {
    const headers = { ...this.#headers(), ...ownerOf(clip) };
    void fetch(`v1/clips/${clip.id}`, { method: "DELETE", headers, keepalive: true }).catch(() => undefined);
  }

  async #ofClip(clip: Clip, address: string, init: RequestInit = {}): Promise<Clip> {
    const response = await this.#send(`v1/clips/${clip.id}${address}`, { ...init, headers: ownerOf(clip) });
    return { ...((await response.json()) as Clip), token: clip.token };
  }

  /** How far a request is; null before it arrived and after it is done. */
  async progress(requestId: string): Promise<Progress | null> {
    const response = await fetch(`v1/progress/${requestId}`, { headers: this.#headers() }).catch(() => null);
    return response?.ok ? (response.json() as Promise<Progress>) : null;
  }

  #matte(
    encoding: Encoding,
    options: MatteOptions,
    signal: AbortSignal,
    requestId: string,
    accepted: string,
  ): Promise<Response> {
    const form = new FormData();
    if (options.object instanceof Blob) form.append("mask", options.object, "mask");
    else form.append("box", numbers(options.object));
    const fields: [string, string | number | Blob | undefined][] = [
      ["outputs", options.outputs.join(",")],
      ["format", options.format],
      ["background", options.background],
      ["max_side", options.maxSide],
      ["region", options.region && numbers(options.region)],
      ["trust", options.trust],
      ["steps", options.steps],
      ["error_threshold", options.errorThreshold],
      ["edges", options.edges || undefined],
      ["active_budget", options.activeBudget],
    ];
    for (const [name, value] of fields) {
      if (value instanceof Blob) form.append(name, value, name);
      else if (value !== undefined) form.append(name, String(value));
    }
    return this.#send(`v1/encodings/${encoding.id}/mattes`, {
      method: "POST",
      body: form,
      signal,
      headers: { Accept: accepted, ...tokenOf(encoding), ...this.#headers(requestId) },
    });
  }

  #headers(requestId?: string): Record<string, string> {
    const key = sessionStorage.getItem(KEY_NAME);
    return { ...(key && { Authorization: `Bearer ${key}` }), ...(requestId && { "X-Request-Id": requestId }) };
  }

  async #send(address: string, init: RequestInit = {}): Promise<Response> {
    return this.#retrying(init.signal ?? null, () =>
      fetch(address, { ...init, headers: { ...this.#headers(), ...(init.headers as Record<string, string>) } }),
    );
  }

  /** Ask for the key where it is missing, and come back where the service is busy. */
  async #retrying(signal: AbortSignal | null, send: () => Promise<Response>): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      const response = await send().catch((error: unknown) => {
        if (signal?.aborted) throw error;
        throw new ServiceError("The service cannot be reached. Is it still running?", "unreachable");
      });
      if (response.ok) return response;
      const error = await problemOf(response);
      if (error.kind === "key-needed") {
        const key = await this.askKey();
        if (key === null) throw error;
        sessionStorage.setItem(KEY_NAME, key);
      } else if (error.retryAfter !== null && error.kind !== "deadline" && attempt < MAX_RETRIES) {
        this.onBusy(error.retryAfter);
        await pause(error.retryAfter * 1000, signal);
      } else {
        throw error;
      }
    }
  }
}

export function newRequestId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function ownerOf(clip: Clip): Record<string, string> {
  return { "X-Clip-Token": clip.token };
}

function formOf(fields: Record<string, string | number | undefined>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
  return form;
}

function tokenOf(encoding: Encoding): Record<string, string> {
  return { "X-Encoding-Token": encoding.token };
}

function numbers(rect: Rect): string {
  return [rect.left, rect.top, rect.right, rect.bottom].map(Math.round).join(",");
}

function pairs(points: readonly Point[]): [number, number][] {
  return points.map(({ x, y }) => [x, y]);
}

async function base64Of(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  }
  return btoa(text);
}

function bytesOf(base64: string): Int8Array {
  return Int8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function problemOf(response: Response): Promise<ServiceError> {
  const retryAfter = Number(response.headers.get("Retry-After") ?? NaN);
  const problem = (await response.json().catch(() => null)) as {
    type?: string;
    title?: string;
    detail?: string;
    errors?: { field: string; message: string }[];
  } | null;
  const detail = problem?.detail ?? problem?.title ?? `The service answered ${response.status}.`;
  const fields = (problem?.errors ?? []).map(({ field, message }) => `${field}: ${message}`);
  return new ServiceError(
    [detail, ...fields.filter((text) => !detail.includes(text))].join(" "),
    problem?.type?.split(":").at(-1) ?? String(response.status),
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}

function pause(milliseconds: number, signal: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("superseded", "AbortError"));
    });
  });
}

/** A POST that tells how much has left, which `fetch` cannot. */
function upload(
  address: string,
  form: FormData,
  headers: Record<string, string>,
  signal: AbortSignal,
  onSent: (share: number) => void,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.loaded / event.total);
    request.onerror = () => reject(new TypeError("no answer"));
    request.onabort = () => reject(new DOMException("superseded", "AbortError"));
    request.onload = () => {
      const answered = new Headers();
      const retryAfter = request.getResponseHeader("Retry-After");
      if (retryAfter) answered.set("Retry-After", retryAfter);
      resolve(new Response(request.responseText, { status: request.status, headers: answered }));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
