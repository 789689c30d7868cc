/** The page without a service: what it lacks is hidden, and a service worker keeps its files. */

import type { ServiceInfo } from "./api";
import { element, select } from "./dom";

const RELOADED = "mask2alpha-reloaded";

/** Whether the page is a folder of files, which `mask2alpha page` writes. */
export function isAlone(): boolean {
  return document.documentElement.dataset["service"] === "none";
}

/** Hide what only the service can do. */
export function limitTo({ outputs, formats }: NonNullable<ServiceInfo["offers"]>): void {
  document.querySelector<HTMLElement>('[data-tool="box"]')!.hidden = true;
  element("edges").hidden = true;
  const advice = "Paint over what you want to keep, or load a mask.";
  element("hint").textContent = advice;
  element("how-to-mark").textContent = `${advice} Hair and soft edges need no care: the matte finds them.`;
  for (const [id, offered] of [
    ["download-output", outputs],
    ["download-format", formats],
  ] as const) {
    for (const option of [...select(id).options]) {
      if (!(offered as readonly string[]).includes(option.value)) option.remove();
    }
  }
}

/**
 * Keep the page's files for use offline. The service worker also isolates the page, which threads need; for that, the
 * page is loaded once more, unless a photograph was opened meanwhile.
 */
export async function keepForOffline(isUnused: () => boolean): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  if (crossOriginIsolated || !isUnused() || sessionStorage.getItem(RELOADED)) return;
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
}
