/** The list of objects: choose, name, colour, show or hide, delete. */

import type { MaskedObject, PageDocument } from "./document";
import { button, element } from "./dom";

export class ObjectsPanel {
  readonly #rows = new Map<MaskedObject, HTMLLIElement>();

  constructor(private readonly page: PageDocument) {
    button("add-object").addEventListener("click", () => {
      const row = this.#rows.get(page.addObject());
      row?.scrollIntoView({ block: "nearest" });
    });
    button("clear").addEventListener("click", () => {
      const object = page.selected;
      if (object) page.apply(object, `Clear ${object.name}`, object.mask.clear(), null);
    });
    page.listen((event) => {
      if (event.kind !== "mask") this.#update();
      else if (event.isComplete) this.#updateClear();
    });
  }

  #update(): void {
    for (const [object, row] of this.#rows) {
      if (this.page.objects.includes(object)) continue;
      row.remove();
      this.#rows.delete(object);
    }
    const list = element("objects");
    this.page.objects.forEach((object, index) => {
      const row = this.#rows.get(object) ?? this.#build(object);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
      this.#fill(row, object);
    });
    this.#updateClear();
  }

  #updateClear(): void {
    button("clear").disabled = this.page.selected?.mask.isEmpty ?? true;
  }

  #build(object: MaskedObject): HTMLLIElement {
    const template = element<HTMLTemplateElement>("object-template");
    const row = template.content.firstElementChild!.cloneNode(true) as HTMLLIElement;
    this.#rows.set(object, row);
    const name = part<HTMLInputElement>(row, ".object-name");
    row.addEventListener("click", ({ target }) => {
      if (!this.page.objects.includes(object)) return; // it was just deleted
      if (object !== this.page.selected) this.page.select(object);
      else if (target === name) this.#rename(name);
    });
    name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      if (name.readOnly) this.#rename(name);
      else name.readOnly = true;
    });
    name.addEventListener("blur", () => {
      name.readOnly = true;
    });
    name.addEventListener("change", () => {
      object.name = name.value.trim() || object.name;
      this.page.touch();
    });
    const colour = part<HTMLInputElement>(row, ".object-colour input");
    colour.addEventListener("input", () => {
      object.colour = colour.value;
      this.page.touch();
    });
    part(row, ".object-eye").addEventListener("click", () => {
      object.isVisible = !object.isVisible;
      this.page.touch();
    });
    part(row, ".object-delete").addEventListener("click", () => {
      this.page.removeObject(object);
      const next = this.page.selected && this.#rows.get(this.page.selected);
      if (next) part(next, ".object-eye").focus();
    });
    return row;
  }

  /** Names are read-only until then, so that choosing an object on a phone brings up no keyboard. */
  #rename(name: HTMLInputElement): void {
    if (!name.readOnly) return;
    name.readOnly = false;
    name.select();
  }

  #fill(row: HTMLLIElement, object: MaskedObject): void {
    const { name, colour, isVisible } = object;
    const isSelected = object === this.page.selected;
    row.classList.toggle("is-selected", isSelected);
    row.classList.toggle("is-hidden", !isVisible);
    row.setAttribute("aria-current", String(isSelected));
    part(row, ".object-dot").style.backgroundColor = colour;
    const field = part<HTMLInputElement>(row, ".object-name");
    if (field.readOnly) field.value = name;
    field.setAttribute("aria-label", `Name of ${name}${isSelected ? ", selected" : ""}`);
    const picker = part<HTMLInputElement>(row, ".object-colour input");
    picker.value = colour;
    picker.setAttribute("aria-label", `Colour of ${name}`);
    const eye = part(row, ".object-eye");
    eye.setAttribute("aria-pressed", String(isVisible));
    eye.setAttribute("aria-label", `Show ${name}`);
    eye.title = isVisible ? "Hide" : "Show";
    eye.querySelector("use")!.setAttribute("href", isVisible ? "#i-eye" : "#i-eye-off");
    const remove = part(row, ".object-delete");
    remove.setAttribute("aria-label", `Delete ${name}`);
    remove.title = "Delete";
  }
}

function part<T extends HTMLElement = HTMLElement>(row: HTMLElement, selector: string): T {
  return row.querySelector<T>(selector)!;
}
