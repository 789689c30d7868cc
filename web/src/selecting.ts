/** Turns clicks and boxes into masks, by way of the service; an answer that is outdated is dropped. */

import { isPrompt, type MaskedObject, type PageDocument } from "./document";
import { Latest } from "./latest";
import { begun, continued, corrected, hasScale, joined, merged, type Mark, type Prompt, type Scale } from "./prompt";

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

  /** @param ask The service's selection, of the mask's size; null where it begins from nothing. */
  constructor(
    private readonly page: PageDocument,
    private readonly ask: (prompt: Prompt, mask: Uint8Array | null, signal: AbortSignal) => Promise<Uint8Array>,
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
    if (prompt && hasScale(prompt)) this.#start(object, { ...prompt, scale, continues: false });
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
    const next = object.pending ? joined(object.pending, mark) : this.#next(object, mark);
    if (next) this.#start(object, next);
    else if (object.pending) this.#runOf(object).waiting.push(mark);
    else this.reporter.said("Nothing is selected yet. Choose Add, and click what you want to keep");
  }

  #next(object: MaskedObject, mark: Mark): Prompt | null {
    const prompt = object.mask.isEmpty ? null : promptOf(object);
    return prompt ? continued(prompt, mark) : begun(mark, object.mask.isEmpty, this.scale);
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
      const { mask } = object; // whatever else changes it gives this selection up
      const selected = await this.ask(prompt, prompt.continues ? mask.data : null, signal);
      if (signal.aborted) return;
      object.pending = null;
      const patch = mask.replace(merged(prompt, mask.data, selected));
      const isApart = prompt.box !== null && !prompt.isWhole;
      this.page.apply(object, "Selection", patch, isApart ? corrected(prompt, mask, this.page.maskScale) : prompt);
    } catch (error) {
      if (signal.aborted) return;
      object.pending = null;
      this.reporter.failed(error);
    }
    this.page.touch();
    for (const mark of this.#runOf(object).waiting.splice(0)) this.#mark(object, mark);
  }
}

/** The prompt being asked, or the one that the mask was made by. */
export function promptOf(object: MaskedObject): Prompt | null {
  if (object.pending) return object.pending;
  return isPrompt(object.source) ? object.source : null;
}
