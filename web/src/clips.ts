/** A clip: its time line, the masks of its frames, the mattes as they come in, and the export. */

import type { Clip, ClipFormat, Output, Service, ServiceInfo } from "./api";
import type { PageDocument, Photo } from "./document";
import { clipFileName } from "./clip-files";
import { button, element, input, select } from "./dom";
import { save } from "./downloads";
import { Latest } from "./latest";
import { united, type Matting, type Reporter } from "./matting";
import { decodedHere } from "./photo";
import { bitmapOf, valuesOf } from "./pixels";
import { encodeGreyPng } from "./png";
import { PageError } from "./report";

const POLL_INTERVAL = 700;
const WORK = "clip";

interface FrameMask {
  values: Uint8Array;
  width: number;
  height: number;
}

/** What the page does for the clip. */
export interface ClipHost {
  /** Show a frame in place of what is shown; `isFirst`: of a clip that was just opened. */
  show(frame: Photo, isFirst: boolean): void;
  /** A colour; null: it is a picture. */
  background(): string | null;
}

export class ClipBar {
  #clip: Clip | null = null;
  #name = "";
  #opening: AbortController | null = null;
  readonly #masks = new Map<number, FrameMask>();
  /** The number of the frame on the stage; 0 before the first. */
  #shown = 0;
  #hasMatte = false;
  /** Of the shown frame's mask, before the person changed it. */
  #revision = 0;
  readonly #frame = new Latest(async (signal) => {
    await this.#attempt(this.#show(signal), signal);
    if (!signal.aborted) element("clip-bar").removeAttribute("aria-busy");
  }, 20);

  constructor(
    private readonly service: Service,
    private readonly page: PageDocument,
    private readonly matting: Matting,
    private readonly reporter: Reporter,
    private readonly host: ClipHost,
  ) {
    input("clip-frame").addEventListener("input", () => this.#look());
    button("clip-follow").addEventListener("click", () => void this.#attempt(this.#followOrStop()));
    button("clip-export").addEventListener("click", () => void this.#attempt(this.#export()));
    page.listen(() => this.#update());
  }

  /** Whether a frame of the open clip has a mask. */
  get hasMasks(): boolean {
    return this.#masks.size > 0;
  }

  /** @param info What the service offers; null where no service has answered yet. */
  async open(file: Blob, name: string, info: ServiceInfo | null): Promise<void> {
    if (info && !info.clips) throw new PageError("Clips need the service: run mask2alpha serve, and open its page.");
    if (info?.clips?.missing) throw new PageError(info.clips.missing);
    if (info?.clips && file.size > info.clips.bytes) {
      throw new PageError(`This clip is too large; the service takes ${Math.round(info.clips.bytes / 2 ** 20)} MB.`);
    }
    this.close();
    const tell = (share: number): void =>
      this.reporter.working(WORK, share < 1 ? "Sending the clip" : "Reading the clip", share < 1 ? share : null);
    const { signal } = (this.#opening = new AbortController());
    tell(0);
    try {
      const clip = await this.service.openClip(file, signal, tell);
      if (signal.aborted) return this.service.dropClip(clip);
      this.#clip = clip;
    } catch (error) {
      if (signal.aborted) return; // something else was opened
      throw error;
    } finally {
      if (!signal.aborted) this.reporter.finished(WORK);
    }
    this.#name = name;
    input("clip-frame").max = String(this.#clip.frames);
    input("clip-frame").value = "1";
    for (const warning of this.#clip.warnings) this.reporter.said(warning);
    await this.#show(signal);
  }

  close(): void {
    this.#opening?.abort();
    if (this.#clip) this.service.dropClip(this.#clip);
    this.#clip = null;
    this.#frame.cancel();
    this.#masks.clear();
    this.#shown = 0;
    this.reporter.finished(WORK);
    this.#update();
  }

  /** Show another frame, as many further on. */
  step(count: number): void {
    if (!this.#clip) return;
    input("clip-frame").value = String(input("clip-frame").valueAsNumber + count);
    this.#look();
  }

  /** Soon, show the frame that the time line points at. */
  #look(): void {
    element("clip-bar").setAttribute("aria-busy", "true");
    this.#frame.soon();
  }

  /** Show the frame that the time line points at, with its matte where there is one. */
  async #show(signal: AbortSignal): Promise<void> {
    const clip = this.#clip!;
    const number = input("clip-frame").valueAsNumber;
    const [file, matte] = await Promise.all([
      this.service.frame(clip, number, signal),
      number <= clip.matted ? this.service.frameMatte(clip, number, signal) : null,
    ]);
    const frame = await decodedHere(file, `${this.#name}, frame ${number}`);
    if (!frame) throw new PageError("This frame cannot be shown.");
    const draft = matte && (await bitmapOf({ kind: "alpha", picture: matte }));
    const matted = matte && (await valuesOf(matte, frame.width, frame.height));
    if (signal.aborted || this.#clip?.id !== clip.id) return;
    this.#keepMask();
    this.host.show(frame, this.#shown === 0);
    this.#shown = number;
    this.#hasMatte = matte !== null;
    const object = this.page.selected!;
    const values = this.#masks.get(number)?.values ?? matted?.map((value) => (value > 127 ? 255 : 0));
    const patch = values ? object.mask.replace(values) : null;
    if (draft) {
      const revision = object.revision + (patch ? 1 : 0);
      const alpha = { draft, detail: null };
      object.matte = { alpha, colours: null, revision, edges: this.matting.edges, isOfClip: true };
    }
    this.page.apply(object, "Mask", patch, null);
    this.page.history.clear();
    this.#revision = object.revision;
    this.page.touch();
  }

  get #isChanged(): boolean {
    return this.page.objects.some(({ revision }, index) => index > 0 || revision !== this.#revision);
  }

  /** Keep what the person marked in the shown frame. */
  #keepMask(): void {
    if (!this.#shown || !this.#isChanged) return;
    const marked = this.page.objects.filter(({ mask, isVisible }) => isVisible && !mask.isEmpty);
    if (marked.length) this.#masks.set(this.#shown, { values: united(marked).slice(), ...this.page.maskSize });
    else this.#masks.delete(this.#shown);
  }

  async #followOrStop(): Promise<void> {
    const clip = this.#clip!;
    if (clip.state !== "idle") {
      this.#clip = await this.service.stopClip(clip);
      this.#update();
      return;
    }
    this.#keepMask();
    if (!this.#masks.size)
      throw new PageError("Mark the target in a frame first; it is then followed through the clip.");
    const files = new Map<number, Blob>();
    for (const [number, { values, width, height }] of this.#masks) {
      files.set(number, await encodeGreyPng(values, width, height));
    }
    this.#revision = this.page.selected?.revision ?? 0; // what was marked is kept, and the matte that comes may be shown
    this.#hasMatte = false;
    await this.#wait(await this.service.matteClip(clip, files, this.matting.advanced));
    if (this.#clip?.is_matted) this.reporter.said("All frames are matted");
  }

  async #export(): Promise<void> {
    const clip = this.#clip!;
    if (!clip.is_matted) throw new PageError("Follow the target through the whole clip first, then export it.");
    const output = select("clip-output").value as Output;
    const format = select("clip-format").value as ClipFormat;
    const background = output === "composite" ? this.host.background() : "white";
    if (background === null) throw new PageError("Composites of a clip have a plain background: choose a colour.");
    await this.#wait(await this.service.exportClip(clip, output, format, background, this.matting.edges));
    if (!this.#clip?.is_exported) return;
    const name = clipFileName(this.#name, output, format);
    save(await this.service.exportedClip(this.#clip), name);
    this.reporter.said(`${name} downloaded`);
  }

  /** Tell how far the work is until it ends, and show the mattes as they come in. */
  async #wait(clip: Clip): Promise<void> {
    this.#clip = clip;
    try {
      while (this.#clip?.id === clip.id) {
        const { state, matted, exported, frames } = this.#clip;
        this.#update();
        if (this.#shown <= matted && !this.#hasMatte && !this.#isChanged) this.#look();
        if (state === "idle") break;
        const done = state === "exporting" ? exported : matted;
        const text = { waiting: "Waiting", matting: "Following the target", exporting: "Writing the clip" }[state];
        this.reporter.working(WORK, text, state === "waiting" ? null : done / frames);
        await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
        const known: Clip | null = this.#clip;
        if (known?.id !== clip.id) return;
        const now = await this.service.clip(known);
        if (this.#clip?.id === clip.id) this.#clip = now;
      }
    } finally {
      this.reporter.finished(WORK);
    }
    if (this.#clip?.id !== clip.id) return;
    if (this.#clip.problem) throw new PageError(this.#clip.problem);
    for (const warning of this.#clip.warnings) this.reporter.said(warning);
  }

  #update(): void {
    const clip = this.#clip;
    element("clip-bar").hidden = !clip;
    if (!clip) return;
    element("clip-number").textContent = `${input("clip-frame").value} / ${clip.frames}`;
    element("clip-track").style.setProperty("--matted", `${(100 * clip.matted) / clip.frames}%`);
    const places = new Set(this.#masks.keys());
    if (this.#shown && this.#isChanged && this.page.objects.some(({ mask }) => !mask.isEmpty)) places.add(this.#shown);
    element("clip-marks").replaceChildren(
      ...[...places].map((number) => {
        const mark = document.createElement("span");
        mark.style.left = `${(100 * (number - 1)) / Math.max(1, clip.frames - 1)}%`;
        return mark;
      }),
    );
    button("clip-follow").textContent = clip.state === "idle" ? "Follow" : "Stop";
    button("clip-export").disabled = !clip.is_matted || clip.state !== "idle";
  }

  async #attempt(work: Promise<void>, signal?: AbortSignal): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!signal?.aborted) this.reporter.failed(error);
    }
  }
}
