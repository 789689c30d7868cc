/** Keeps the mattes of all objects up to date with their masks, by way of the service. */

import {
  newRequestId,
  ServiceError,
  type Encoding,
  type Format,
  type MatteOptions,
  type Output,
  type PhotoTokens,
  type Progress,
  type Service,
} from "./api";
import { DRAFT_SIDE, type Layered, type MaskedObject, type ObjectMatte, type PageDocument } from "./document";
import { clipped, contains, grown, rectOf, type Rect } from "./geometry";
import { Latest } from "./latest";
import { bitmapOf, valuesOf } from "./pixels";
import { encodeGreyPng } from "./png";
import { marksFor, type Prompt } from "./prompt";
import { showsColours, type View } from "./view";
import { inSight } from "./viewport";

/** Milliseconds without a change after which the colours and the detail are asked for. */
const PAUSE = 250;
/** Most pixels that a draft recomputes: after the first stroke on a large object nearly all of it is unsure. */
const DRAFT_ACTIVE_PIXELS = 400_000;
const PROGRESS_INTERVAL = 300;
/** Work that takes less shows no progress. */
const PATIENCE = 700;

/** What the person set; the rest is the model's own. */
export type Advanced = Pick<MatteOptions, "trust" | "steps" | "errorThreshold">;

interface CloseRegion {
  inSight: Rect;
  /** With a margin, so that moving a little needs nothing new. */
  rect: Rect;
}

/** Told to the person. */
export interface Reporter {
  /** Whether mattes are being made. */
  busy(isBusy: boolean): void;
  working(id: string, text: string, share: number | null): void;
  finished(id: string): void;
  failed(error: unknown): void;
  said(text: string): void;
}

/** The photograph at the service; sent again where the service has forgotten it. */
export class SentPhoto {
  readonly #closed = new AbortController();
  #encoding: Promise<Encoding> | null = null;
  #kept: Encoding | null = null;

  constructor(
    private readonly service: Service,
    private readonly file: Blob,
    private readonly reporter: Reporter,
  ) {}

  get encoding(): Promise<Encoding> {
    this.#encoding ??= this.#send();
    return this.#encoding;
  }

  async use<T>(work: (encoding: Encoding) => Promise<T>): Promise<T> {
    try {
      return await work(await this.encoding);
    } catch (error) {
      if (!(error instanceof ServiceError && error.kind === "encoding-not-found")) throw error;
      this.#encoding = null;
      return work(await this.encoding);
    }
  }

  close(): void {
    this.#closed.abort();
    if (this.#kept) this.service.drop(this.#kept);
  }

  async #send(): Promise<Encoding> {
    const id = newRequestId();
    const follow = (share: number): void => {
      if (share < 1) this.reporter.working(id, "Sending the photograph", share);
    };
    try {
      const encoding = await followed(this.service, this.reporter, id, "Reading the photograph", () =>
        this.service.encode(this.file, DRAFT_SIDE, this.#closed.signal, id, follow),
      );
      this.#kept = encoding;
      return encoding;
    } catch (error) {
      this.#encoding = null;
      throw error;
    }
  }
}

export class Matting {
  advanced: Advanced = {};
  #edges = "";
  #photo: SentPhoto | null = null;
  #running = 0;
  readonly #runs = new Map<MaskedObject, { draft: Latest; finish: Latest }>();
  readonly #photoDetail = new Latest(() => this.#sharpenPhoto(), PAUSE);

  constructor(
    private readonly service: Service,
    private readonly page: PageDocument,
    private readonly view: View,
    private readonly reporter: Reporter,
    private readonly redraw: () => void,
  ) {
    page.listen((event) => {
      if (event.kind === "photo") this.#forgetAll();
      if (event.kind === "objects") this.refresh();
      if (event.kind === "mask") this.#changed(event.object, event.isComplete);
    });
  }

  /** The photograph that the document shows from now on. */
  use(photo: SentPhoto): void {
    if (this.#photo !== photo) this.#photo?.close();
    this.#photo = photo;
  }

  close(): void {
    this.#photo?.close();
  }

  /** After the trust, the steps, the threshold or the overlay changed. */
  recompute(): void {
    for (const object of this.page.objects) if (object.matte) object.matte.revision = -1;
    this.view.overlayPicture = null;
    for (const { draft, finish } of this.#runs.values()) {
      draft.cancel();
      finish.cancel();
    }
    this.refresh();
  }

  get edges(): string {
    return this.#edges;
  }

  /** Change the edge; the service has the mattes, so that only their pictures are made again. */
  reshape(edges: string): void {
    this.#edges = edges;
    for (const { finish } of this.#runs.values()) finish.cancel();
    this.refresh();
  }

  /** Ask for what is in sight and missing: mattes of shown objects, their colours, the detail when zoomed in. */
  refresh(): void {
    for (const object of this.page.objects) {
      if (!object.isVisible && object !== this.page.selected) continue;
      const runs = this.#runsOf(object);
      if (this.#isOutdated(object)) runs.draft.soon();
      else runs.finish.soon();
    }
    this.#photoDetail.soon();
    this.redraw();
  }

  /** After the photograph was moved or zoomed: other parts may be wanted at full size. */
  look(): void {
    for (const { draft, finish } of this.#runs.values()) if (!draft.isBusy) finish.soon();
    this.#photoDetail.soon();
    this.redraw();
  }

  /** The rough mask that the service reads in a file, or finds by GrabCut in a box; no larger than what is painted on. */
  async roughMask(object: Blob | Rect): Promise<Blob> {
    const id = newRequestId();
    const text = object instanceof Blob ? "Reading the mask" : "Looking for the object in the box";
    const signal = new AbortController().signal;
    const pictures = await followed(this.service, this.reporter, id, text, () =>
      this.#ask({ object, outputs: ["mask"], maxSide: this.#draftSide }, signal, id),
    );
    return pictures.get("mask")!;
  }

  /** The rough mask of what a prompt means, of the size of the masks, beginning from `values` or from nothing. */
  async select(prompt: Prompt, values: Uint8Array | null, signal: AbortSignal): Promise<Uint8Array> {
    const id = newRequestId();
    const { width, height } = this.page.maskSize;
    this.reporter.busy(++this.#running > 0);
    try {
      const mask = values && (await encodeGreyPng(values, width, height));
      const options = { ...marksFor(prompt), box: prompt.box, scale: prompt.scale, mask };
      const picture = await followed(this.service, this.reporter, id, "Selecting", () =>
        this.#photo!.use((encoding) => this.service.select(encoding, options, DRAFT_SIDE, signal, id)),
      );
      return await valuesOf(picture, width, height);
    } finally {
      this.reporter.busy(--this.#running > 0);
    }
  }

  /** The tokens of the photograph in use. */
  tokens(signal: AbortSignal): Promise<PhotoTokens> {
    return this.#photo!.use((encoding) => this.service.tokens(encoding, DRAFT_SIDE, signal));
  }

  /** A file at full size, for keeping: of one object, or of several as one. */
  async file(
    objects: MaskedObject[],
    output: Output,
    format: Format,
    background: string | Blob | undefined,
    signal: AbortSignal,
  ): Promise<Blob> {
    const id = newRequestId();
    const { width, height } = this.page.maskSize;
    const object =
      objects.length === 1 ? await this.#maskOf(objects[0]!) : await encodeGreyPng(united(objects), width, height);
    const own: MatteOptions = { object, outputs: [output], format, background };
    const options = { ...this.advanced, edges: this.#edges, ...own };
    return followed(this.service, this.reporter, id, "Making the picture at full size", () =>
      this.#photo!.use((encoding) => this.service.matteFile(encoding, options, signal, id)),
    );
  }

  get #draftSide(): number | undefined {
    const { width, height } = this.page.photo!;
    return Math.max(width, height) > DRAFT_SIDE ? DRAFT_SIDE : undefined;
  }

  #ask(options: MatteOptions, signal: AbortSignal, id = newRequestId()): Promise<Map<string, Blob>> {
    return this.#photo!.use((encoding) =>
      this.service.matte(encoding, { ...this.advanced, edges: this.#edges, ...options }, signal, id),
    );
  }

  #changed(object: MaskedObject, isComplete: boolean): void {
    const runs = this.#runsOf(object);
    runs.finish.cancel();
    if (object.mask.isEmpty) {
      runs.draft.cancel();
      object.matte = null;
      if (isComplete) object.strokes = [];
      this.redraw();
    } else if (isComplete) runs.draft.now();
    else runs.draft.soon();
  }

  #runsOf(object: MaskedObject): { draft: Latest; finish: Latest } {
    const known = this.#runs.get(object);
    if (known) return known;
    const runs = {
      draft: new Latest((signal) => this.#reporting(signal, () => this.#draft(object, signal))),
      finish: new Latest((signal) => this.#reporting(signal, () => this.#finish(object, signal)), PAUSE),
    };
    this.#runs.set(object, runs);
    return runs;
  }

  #forgetAll(): void {
    for (const { draft, finish } of this.#runs.values()) {
      draft.cancel();
      finish.cancel();
    }
    this.#runs.clear();
    this.view.overlayPicture = null;
  }

  async #reporting(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    this.reporter.busy(++this.#running > 0);
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) this.reporter.failed(error);
    } finally {
      this.reporter.busy(--this.#running > 0);
    }
  }

  #isOutdated(object: MaskedObject): boolean {
    if (object.mask.isEmpty) return false;
    const { overlay, overlayPicture } = this.view;
    const wantsOverlay = object === this.page.selected && overlay !== "none";
    const lacksOverlay = wantsOverlay && (overlayPicture?.object !== object || overlayPicture.kind !== overlay);
    return lacksOverlay || object.matte?.revision !== object.revision || object.matte.edges !== this.#edges;
  }

  /** The matte, as small as it is shown, and the overlay where one is wanted. */
  async #draft(object: MaskedObject, signal: AbortSignal): Promise<void> {
    if (!this.#isOutdated(object)) return;
    const started = performance.now();
    const { revision } = object;
    const edges = this.#edges;
    const overlay = object === this.page.selected ? this.view.overlay : "none";
    const mask = await this.#maskOf(object);
    const id = newRequestId();
    const pictures = await followed(this.service, this.reporter, id, "Matting", () =>
      this.#ask(
        {
          object: mask,
          outputs: overlay === "none" ? ["alpha"] : ["alpha", overlay],
          maxSide: this.#draftSide,
          edges,
          activeBudget: DRAFT_ACTIVE_PIXELS,
        },
        signal,
        id,
      ),
    );
    const draft = await bitmapOf({ kind: "alpha", picture: pictures.get("alpha")! });
    const map = await overlayOf(overlay, pictures);
    if (signal.aborted) return;
    object.matte = { alpha: { draft, detail: null }, colours: null, revision, edges };
    object.strokes = object.strokes.filter((stroke) => stroke.revision > revision);
    if (overlay !== "none") {
      this.view.overlayPicture = { object, kind: overlay, picture: map && { draft: map, detail: null } };
    }
    this.redraw();
    this.reporter.said(`Matte of ${object.name} updated in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    this.#runsOf(object).finish.soon();
  }

  /** What need not follow every stroke: clean colours, and the part looked at closely at full size. */
  async #finish(object: MaskedObject, signal: AbortSignal): Promise<void> {
    const { matte } = object;
    if (!matte || matte.isOfClip || !object.isVisible || this.page.isStroking) return;
    const wantsColours = showsColours(this.view);
    if (wantsColours && !matte.colours) {
      const options: MatteOptions = {
        object: await this.#maskOf(object),
        outputs: ["foreground"],
        format: "jpeg",
        maxSide: this.#draftSide,
      };
      const pictures = await this.#ask(options, signal);
      matte.colours = { draft: await createImageBitmap(pictures.get("foreground")!), detail: null };
      this.redraw();
    }
    const region = this.#closeRegion();
    if (region) await this.#sharpen(object, matte, region, signal);
  }

  /** The matte, colours and overlay of a part of the photograph at full size, where they are not there yet. */
  async #sharpen(object: MaskedObject, matte: ObjectMatte, region: CloseRegion, signal: AbortSignal): Promise<void> {
    const { overlay, overlayPicture } = this.view;
    const map = overlay !== "none" && overlayPicture?.object === object ? overlayPicture.picture : null;
    const wanted: [Output, Layered | null][] = [
      ["alpha", matte.alpha],
      ["foreground", showsColours(this.view) ? matte.colours : null],
      [overlay === "none" ? "alpha" : overlay, map],
    ];
    const isSharp = ({ detail }: Layered): boolean => detail !== null && contains(detail.rect, region.inSight);
    const missing = wanted.filter((entry): entry is [Output, Layered] => entry[1] !== null && !isSharp(entry[1]));
    if (!missing.length) return;
    const id = newRequestId();
    const mask = await this.#maskOf(object);
    const pictures = await followed(this.service, this.reporter, id, "Matting at full size", () =>
      this.#ask({ object: mask, outputs: missing.map(([output]) => output), region: region.rect }, signal, id),
    );
    for (const [output, layered] of missing) {
      const bitmap =
        output === "alpha"
          ? await bitmapOf({ kind: "alpha", picture: pictures.get("alpha")! })
          : output === "foreground"
            ? await createImageBitmap(pictures.get("foreground")!)
            : await overlayOf(overlay, pictures);
      if (bitmap) layered.detail = { bitmap, rect: region.rect };
    }
    this.redraw();
  }

  async #sharpenPhoto(): Promise<void> {
    const { photo } = this.page;
    const region = this.#closeRegion();
    const sharp = photo?.picture.detail?.rect;
    if (!photo || !region || (sharp && contains(sharp, region.inSight))) return;
    const { left, top, right, bottom } = region.rect;
    const bitmap = await createImageBitmap(photo.file, left, top, right - left, bottom - top);
    photo.picture.detail?.bitmap.close();
    photo.picture.detail = { bitmap, rect: region.rect };
    this.redraw();
  }

  /** What to show at full size: null unless the stage shows more than the draft has. */
  #closeRegion(): CloseRegion | null {
    const { photo, maskScale } = this.page;
    if (!photo || this.view.viewport.scale * devicePixelRatio <= maskScale * 1.1 || maskScale === 1) return null;
    const sight = inSight(this.view.viewport, this.view.stage);
    const margin = { x: (sight.right - sight.left) / 3, y: (sight.bottom - sight.top) / 3 };
    const bounds = rectOf(photo);
    return { inSight: clipped(sight, bounds), rect: clipped(grown(sight, margin.x, margin.y), bounds) };
  }

  async #maskOf(object: MaskedObject): Promise<Blob> {
    const { source, mask } = object;
    return source instanceof Blob ? source : encodeGreyPng(mask.data, mask.width, mask.height);
  }
}

/** One mask of several objects. */
export function united(objects: MaskedObject[]): Uint8Array {
  const [first, ...others] = objects;
  return others.reduce(
    (values, { mask }) => values.map((value, index) => Math.max(value, mask.data[index]!)),
    first!.mask.data,
  );
}

async function overlayOf(overlay: View["overlay"], pictures: Map<string, Blob>): Promise<ImageBitmap | null> {
  if (overlay === "none") return null;
  if (overlay === "steps") {
    const names = [...pictures.keys()].filter((name) => name.endsWith("_fine")).sort((a, b) => stepOf(a) - stepOf(b));
    return names.length ? bitmapOf({ kind: "steps", pictures: names.map((name) => pictures.get(name)!) }) : null;
  }
  return bitmapOf({ kind: overlay, picture: pictures.get(overlay)! });
}

function stepOf(name: string): number {
  return Number(/step-(\d+)_/.exec(name)?.[1]);
}

/** Run a request and, where it takes long, tell how far it is. */
async function followed<T>(
  service: Service,
  reporter: Reporter,
  id: string,
  text: string,
  send: () => Promise<T>,
): Promise<T> {
  let isOver = false;
  const poll = async (): Promise<void> => {
    const progress = await service.progress(id);
    if (isOver) return;
    reporter.working(id, progress ? described(progress) : text, progress?.done ?? null);
    timer = setTimeout(() => void poll(), PROGRESS_INTERVAL);
  };
  let timer = setTimeout(() => void poll(), PATIENCE);
  try {
    return await send();
  } finally {
    isOver = true;
    clearTimeout(timer);
    reporter.finished(id);
  }
}

const STAGES: Record<string, string> = {
  reading: "Reading the photograph",
  encoding: "Studying the photograph",
  masking: "Making the rough mask",
  matting: "Matting",
  colours: "Cleaning the colours",
  writing: "Writing the picture",
};

function described({ state, ahead, stage }: Progress): string {
  if (state === "waiting") return ahead ? `Waiting for ${ahead} other request${ahead > 1 ? "s" : ""}` : "Waiting";
  return STAGES[stage ?? ""] ?? "Working";
}
