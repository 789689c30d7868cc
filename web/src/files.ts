/** Files that are dropped or pasted anywhere on the page. */

import { dialog, element, shown } from "./dom";

export type Use = "photo" | "mask" | "background";

/**
 * @param hasPhoto Whether there is a photograph that a mask or a background could belong to.
 * @param use Takes the files; several only as masks.
 */
export function acceptFiles(hasPhoto: () => boolean, use: (files: File[], as: Use) => void): void {
  const zones = element("drop");
  let depth = 0; // dragenter and dragleave come for every element that is passed
  const show = (isShown: boolean): void => {
    depth = isShown ? depth : 0;
    zones.hidden = !isShown;
  };
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth++;
    show(true);
  });
  addEventListener("dragleave", () => {
    depth--;
    if (depth <= 0) show(false);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    const over = zoneOf(event.target);
    for (const zone of zones.children) zone.classList.toggle("is-over", zone === over);
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    const as = hasPhoto() ? (zoneOf(event.target)?.dataset["use"] as Use | undefined) : "photo";
    if (files.length && as) use(files, as);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (!hasPhoto()) use(files, "photo");
    else void askForUse().then((as) => as && use(files, as));
  });
}

async function askForUse(): Promise<Use | null> {
  const box = dialog("use-dialog");
  const choose = (event: Event): void => {
    const choice = (event.target as HTMLElement).closest<HTMLButtonElement>(".dialog-choices button");
    if (choice) box.close(choice.value);
  };
  box.addEventListener("click", choose);
  const chosen = await shown(box);
  box.removeEventListener("click", choose);
  return chosen ? (chosen as Use) : null;
}

function zoneOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>(".drop-zone") : null;
}

/** Let the person choose files with a hidden input. */
export function choose(picker: HTMLInputElement): Promise<File[]> {
  return new Promise((resolve) => {
    picker.value = "";
    picker.onchange = () => resolve([...(picker.files ?? [])]);
    picker.click();
  });
}
