/** Tells the person what happens: a bar for long work, a line for what is done, a box for what failed. */

import { ServiceError } from "./api";
import { button, element } from "./dom";
import type { Reporter } from "./matting";

const SHOWN_FOR = 2500;

export class PageReporter implements Reporter {
  readonly #works = new Map<string, { text: string; share: number | null }>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    button("toast-close").addEventListener("click", () => this.clear());
  }

  busy(isBusy: boolean): void {
    element("canvas").setAttribute("aria-busy", String(isBusy));
  }

  working(id: string, text: string, share: number | null): void {
    this.#works.set(id, { text, share });
    this.#show();
  }

  finished(id: string): void {
    if (this.#works.delete(id)) this.#show();
  }

  /** Shown for a moment, and read out. */
  said(text: string): void {
    element("status").textContent = text;
    if (this.#works.size) return;
    this.#pill(text);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(), SHOWN_FOR);
  }

  /** Stays until it is dismissed or the next thing is opened. */
  failed(error: unknown): void {
    if (!(error instanceof ServiceError || error instanceof PageError)) console.error(error);
    const isKnown = error instanceof ServiceError || error instanceof PageError;
    element("toast-text").textContent = isKnown
      ? error.message
      : "Something went wrong in this page. Reload it to go on.";
    element("toast").hidden = false;
  }

  clear(): void {
    element("toast").hidden = true;
  }

  #show(): void {
    const work = [...this.#works.values()].at(-1);
    const bar = element("progress");
    bar.hidden = !work;
    if (!work) {
      element("status-pill").hidden = true;
      return;
    }
    clearTimeout(this.#timer);
    const percent = work.share === null ? null : Math.round(100 * work.share);
    const text = percent === null ? `${work.text}…` : `${work.text}… ${percent} %`;
    this.#pill(text);
    if (element("status").textContent !== `${work.text}…`) element("status").textContent = `${work.text}…`;
    bar.classList.toggle("is-endless", percent === null);
    if (percent === null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", String(percent));
    element("progress-bar").style.width = percent === null ? "" : `${percent}%`;
  }

  #pill(text: string): void {
    const pill = element("status-pill");
    pill.textContent = text;
    pill.hidden = false;
  }
}

/** Something the person can do otherwise; the message says what. */
export class PageError extends Error {}
