/** The service's place where there is none: a worker in this browser runs the network. */

import { engineBinary, engineScript } from "virtual:engine";
import {
  Service,
  ServiceError,
  type Encoding,
  type Format,
  type MatteOptions,
  type Output,
  type Progress,
  type ServiceInfo,
} from "./api";
import type { LocalAnswer, LocalTask } from "./local.worker";

const MEGAPIXELS = 24;
const OUTPUTS: readonly Output[] = [
  "alpha",
  "cutout",
  "cutout_premultiplied",
  "foreground",
  "composite",
  "comparison",
  "mask",
  "error",
  "active",
];
const FORMATS: readonly Format[] = ["png", "webp", "jpeg"];

export class LocalService extends Service {
  #worker: Worker | null = null;
  /** Tasks run one after the other; this is the last one's end. */
  #last: Promise<unknown> = Promise.resolve();
  #stage: string | undefined;
  #count = 0;

  override async info(): Promise<ServiceInfo> {
    const model = (await (await fetched("model/model.json")).json()) as {
      name: string;
      steps: number;
      error_threshold: number;
    };
    return {
      version: document.documentElement.dataset["version"] ?? "",
      model: model.name,
      defaults: { steps: model.steps, error_threshold: model.error_threshold },
      selects: false,
      needs_key: false,
      input_formats: ["png", "jpg", "jpeg", "webp", "avif"],
      limits: { body_bytes: 2 ** 28, pixels: MEGAPIXELS * 1e6, side: 16_384, steps: 8 },
      offers: { outputs: OUTPUTS, formats: FORMATS },
    };
  }

  override async example(): Promise<{ photo: Blob; mask: Blob }> {
    const [photo, mask] = await Promise.all([fetched("example/photo.jpg"), fetched("example/mask.png")]);
    return { photo: await photo.blob(), mask: await mask.blob() };
  }

  override async encode(photo: Blob, maxSide: number, signal: AbortSignal): Promise<Encoding> {
    const id = String(++this.#count);
    const answer = await this.#run({ kind: "encode", id, photo, maxSide, mostPixels: MEGAPIXELS * 1e6 }, signal);
    if (answer.kind !== "encoded") throw new Error(answer.kind);
    return { id, token: "", width: answer.width, height: answer.height, warnings: [] };
  }

  override photo(): Promise<Blob> {
    throw new ServiceError("This browser cannot read the photograph. Use a PNG, JPEG or WebP file.", "picture-refused");
  }

  override drop({ id }: Encoding): void {
    this.#worker?.postMessage({ kind: "drop", id } satisfies LocalTask);
  }

  override select(): Promise<Blob> {
    throw new ServiceError(
      "This page cannot select by a click: it runs without a service. Paint instead.",
      "selection",
    );
  }

  override async matte(
    { id }: Encoding,
    { object, ...options }: MatteOptions,
    signal: AbortSignal,
  ): Promise<Map<string, Blob>> {
    if (!(object instanceof Blob)) {
      throw new ServiceError("This page finds no objects in boxes: it runs without a service. Paint instead.", "box");
    }
    const answer = await this.#run({ kind: "matte", id, object, options }, signal);
    if (answer.kind !== "matted") throw new Error(answer.kind);
    return answer.pictures;
  }

  override async matteFile(encoding: Encoding, options: MatteOptions, signal: AbortSignal): Promise<Blob> {
    return (await this.matte(encoding, options, signal)).get(options.outputs[0]!)!;
  }

  override progress(): Promise<Progress | null> {
    return Promise.resolve({ state: "working", stage: this.#stage });
  }

  #run(task: LocalTask, signal: AbortSignal): Promise<LocalAnswer> {
    const run = this.#last.then(() => {
      signal.throwIfAborted();
      const cancel = (): void => this.#worker?.postMessage({ kind: "cancel" } satisfies LocalTask);
      signal.addEventListener("abort", cancel);
      return this.#ask(task).finally(() => signal.removeEventListener("abort", cancel));
    });
    this.#last = run.catch(() => undefined);
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      run.then(resolve, reject);
    });
  }

  #ask(task: LocalTask): Promise<LocalAnswer> {
    const worker = (this.#worker ??= this.#start());
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<LocalAnswer>): void => {
        if (data.kind === "stage") this.#stage = data.stage;
        else if (data.kind === "failed") reject(new ServiceError(data.message, "picture-refused"));
        else resolve(data);
      };
      worker.onerror = (event) => {
        this.#worker = null; // the next task starts anew
        worker.terminate();
        reject(new ServiceError(`The network stopped: ${event.message || "it could not be loaded"}.`, "unreachable"));
      };
      worker.postMessage(task);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./local.worker.ts", import.meta.url), { type: "module" });
    const model = new URL("model/", document.baseURI).href;
    worker.postMessage({ kind: "start", model, engineBinary, engineScript } satisfies LocalTask);
    return worker;
  }
}

async function fetched(address: string): Promise<Response> {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new ServiceError(`${address} cannot be loaded. Reload the page.`, "unreachable");
  return response;
}
