/** Turns clicks and boxes into masks, by way of the service; an answer that is outdated is dropped. */

import type { MaskedObject, PageDocument } from "./document";
import { Latest } from "./latest";
import { begun, continued, hasScale, merged, type Mark, type Prompt, type Scale } from "./prompt";

export interface Told {
  said(text: string): void;
  failed(error: unknown): void;
}

interface Run {
  latest: Latest;
  /** Marks that change what the running prompt results in. */
  waiting: Mark[];
}

export class Selecting {
  /** How much the first click on an object takes. */
  scale: Scale = "object";
  readonly #runs = new Map<MaskedObject, Run>();

  /** @param ask The service's selection, of the mask's size. */
  constructor(
    private readonly page: PageDocument,
    private readonly ask: (prompt: Prompt, signal: AbortSignal) => Promise<Uint8Array>,
    private readonly reporter: Told,
  ) {
    page.listen((event) => {
      if (event.kind === "mask" && event.object.pending && this.cancel(event.object)) {
        this.reporter.said("The selection was given up, because the mask changed meanwhile");
      }
      if (event.kind === "mask") return;
      for (const object of this.#runs.keys()) if (!page.objects.includes(object)) this.cancel(object);
    });
  }

  /** Apply a click or a box to the selected object. */
  mark(mark: Mark): void {
    if (this.page.selected) this.#mark(this.page.selected, mark);
  }

  /** Let the last clicks take more or less, or else the next one. */
  rescale(scale: Scale): void {
    const object = this.page.selected;
    const prompt = object && promptOf(object);
    this.scale = scale;
    if (prompt && hasScale(prompt)) this.#start(object, { ...prompt, scale });
    this.page.touch();
  }

  /** How much a click on the selected object takes; null where a mask or a box says it. */
  get shownScale(): Scale | null {
    const object = this.page.selected;
    const prompt = object && promptOf(object);
    if (prompt) return hasScale(prompt) ? prompt.scale : null;
    return object && !object.mask.isEmpty ? null : this.scale;
  }

  /** Give up what was asked for an object; false where nothing was. */
  cancel(object: MaskedObject): boolean {
    const run = this.#runs.get(object);
    run?.latest.cancel();
    this.#runs.delete(object);
    const wasPending = object.pending !== null;
    object.pending = null;
    return wasPending;
  }

  #mark(object: MaskedObject, mark: Mark): void {
    const prompt = promptOf(object);
    const further = prompt && continued(prompt, mark);
    if (!further && object.pending) {
      this.#runOf(object).waiting.push(mark);
      return;
    }
    const base = object.mask.isEmpty ? null : object.mask.data.slice();
    const next = further ?? begun(mark, base, this.scale);
    if (next) this.#start(object, next);
    else this.reporter.said("Nothing is selected yet. Choose Add, and click what you want to keep");
  }

  #start(object: MaskedObject, prompt: Prompt): void {
    object.pending = prompt;
    this.#runOf(object).latest.now();
    this.page.touch();
  }

  #runOf(object: MaskedObject): Run {
    const known = this.#runs.get(object);
    if (known) return known;
    const run = { latest: new Latest((signal) => this.#select(object, signal)), waiting: [] };
    this.#runs.set(object, run);
    return run;
  }

  async #select(object: MaskedObject, signal: AbortSignal): Promise<void> {
    const prompt = object.pending!;
    try {
      const selected = await this.ask(prompt, signal);
      if (signal.aborted) return;
      object.pending = null;
      this.page.apply(object, "Selection", object.mask.replace(merged(prompt, selected)), prompt);
    } catch (error) {
      if (signal.aborted) return;
      object.pending = null;
      this.reporter.failed(error);
    }
    this.page.touch();
    for (const mark of this.#runOf(object).waiting.splice(0)) this.#mark(object, mark);
  }
}

/** The prompt being asked, or the one that the mask was made from and has not been changed since. */
export function promptOf(object: MaskedObject): Prompt | null {
  if (object.pending) return object.pending;
  return object.source instanceof Blob ? null : object.source;
}
