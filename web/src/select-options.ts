/** The controls of the Select tool: whether a click adds or takes away, and how much it takes. */

import type { PageDocument } from "./document";
import { element, radios } from "./dom";
import { SCALES, type Scale } from "./prompt";
import type { Selecting } from "./selecting";
import type { View } from "./view";

export class SelectOptions {
  constructor(
    page: PageDocument,
    private readonly view: View,
    private readonly selecting: Selecting,
  ) {
    for (const radio of radios("mark")) {
      radio.addEventListener("change", () => this.#setTakesAway(radio.value === "away"));
    }
    for (const radio of radios("scale")) {
      radio.addEventListener("change", () => selecting.rescale(radio.value as Scale));
    }
    page.listen((event) => {
      if (event.kind === "photo") this.#setTakesAway(false);
      if (event.kind !== "mask" || event.isComplete) this.#showScale();
    });
  }

  toggle(): void {
    if (this.#isUsed) this.#setTakesAway(!this.view.takesAway);
  }

  /** Part, object, group, and part again. */
  cycle(): void {
    const { shownScale } = this.selecting;
    if (!this.#isUsed || !shownScale) return;
    this.selecting.rescale(SCALES[(SCALES.indexOf(shownScale) + 1) % SCALES.length]!);
  }

  get #isUsed(): boolean {
    return this.view.tool === "select";
  }

  #setTakesAway(takesAway: boolean): void {
    this.view.takesAway = takesAway;
    for (const radio of radios("mark")) radio.checked = (radio.value === "away") === takesAway;
  }

  #showScale(): void {
    const { shownScale } = this.selecting;
    for (const radio of radios("scale")) {
      radio.disabled = shownScale === null;
      radio.checked = radio.value === (shownScale ?? this.selecting.scale);
    }
    element("scale-options").title = shownScale
      ? "How much a click takes (G)"
      : "How much a click takes: for the first clicks on an empty object";
  }
}
