/** Keys for the whole page; the ones for the stage itself are in gestures.ts. */

import { input } from "./dom";

const NAME = "mask2alpha-single-keys";

/** @param commands By key: "b", "Ctrl+z", "Ctrl+Shift+z"; Ctrl is Cmd on a Mac. */
export function listenForShortcuts(commands: Record<string, () => void>): void {
  const single = input("single-keys");
  single.checked = localStorage.getItem(NAME) !== "off";
  single.addEventListener("change", () => localStorage.setItem(NAME, single.checked ? "on" : "off"));
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.altKey) return;
    const hasControl = event.ctrlKey || event.metaKey;
    if (isTyping(event.target) || !(hasControl || single.checked)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const command = commands[`${hasControl ? "Ctrl+" : ""}${event.shiftKey && hasControl ? "Shift+" : ""}${key}`];
    if (!command) return;
    event.preventDefault();
    command();
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement && !target.readOnly && ["text", "password"].includes(target.type);
}
