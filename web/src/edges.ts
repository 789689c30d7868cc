/** The controls of the mattes' edges: sliders, and the text that the service reads. */

import { button, element } from "./dom";

/** The slider of `band` ends here; there, the controls act everywhere. */
const EVERYWHERE = 65;

/** The text of the controls that are not at their default, such as "shift=-1,feather=2". */
export function edgesOf(values: readonly { name: string; value: number; neutral: number }[]): string {
  return values
    .filter(({ value, neutral }) => value !== neutral)
    .map(({ name, value }) => `${name}=${value}`)
    .join(",");
}

export class EdgeControls {
  readonly #sliders = [...element("edges").querySelectorAll<HTMLInputElement>("input[type=range]")];

  /** @param changed Called with the text after each change. */
  constructor(private readonly changed: (edges: string) => void) {
    for (const slider of this.#sliders) slider.addEventListener("input", () => this.#tell());
    button("edges-reset").addEventListener("click", () => {
      for (const slider of this.#sliders) slider.value = slider.defaultValue;
      this.#tell();
    });
    this.#show();
  }

  #tell(): void {
    this.#show();
    this.changed(this.#text);
  }

  get #text(): string {
    return edgesOf(
      this.#sliders.map((slider) => ({
        name: slider.name,
        value: slider.valueAsNumber,
        neutral: Number(slider.defaultValue),
      })),
    );
  }

  #show(): void {
    for (const slider of this.#sliders) {
      const text = worded(slider);
      slider.parentElement!.querySelector("output")!.textContent = text;
      slider.setAttribute("aria-valuetext", text);
    }
    button("edges-reset").disabled = this.#text === "";
  }
}

function worded({ name, valueAsNumber, dataset }: HTMLInputElement): string {
  if (name === "band" && valueAsNumber === EVERYWHERE) return "everywhere";
  if (name === "threshold" && valueAsNumber === 0) return "off";
  return dataset["unit"] ? `${valueAsNumber} ${dataset["unit"]}` : valueAsNumber.toFixed(2);
}
