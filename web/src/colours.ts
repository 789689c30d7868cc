/** Colours of the objects and of the overlays; the legends in index.html show the same. */

export type Rgba = [red: number, green: number, blue: number, opacity: number];

/** Told apart by most people with a colour vision deficiency, on dark and light pictures. */
export const OBJECT_COLOURS = ["#e5488f", "#12a594", "#f5a524", "#7c66dc", "#2b8fe6", "#7cb518"];

const ERROR_STOPS: Rgba[] = [
  [255, 214, 10, 0],
  [255, 190, 20, 200],
  [244, 96, 34, 230],
  [190, 18, 60, 245],
];
/** Errors above this are drawn alike: most are small. */
export const ERROR_SHOWN = 0.5;
const ACTIVE: Rgba = [236, 52, 190, 225];
const STEP_STOPS: Rgba[] = [
  [68, 58, 160, 170],
  [33, 145, 160, 170],
  [120, 200, 90, 170],
  [253, 224, 60, 170],
];

/** @param value 255 is an error of 1. */
export function colourError(value: number): Rgba {
  return between(ERROR_STOPS, value / 255 / ERROR_SHOWN);
}

export function colourActive(value: number): Rgba {
  return value > 127 ? ACTIVE : [0, 0, 0, 0];
}

/**
 * The colour of a pixel by the step that decided it, the first to the last.
 *
 * @param decided For each step, above 127 where the pixel had been decided before it.
 */
export function colourSteps(decided: number[]): Rgba {
  const waited = decided.filter((value) => value <= 127).length; // steps that still worked on it, at least the first
  return decided.length < 2 ? STEP_STOPS[0]! : between(STEP_STOPS, (waited - 1) / (decided.length - 1));
}

/** @param position 0 is the first of the colours, 1 the last. */
function between(stops: Rgba[], position: number): Rgba {
  const place = Math.min(1, Math.max(0, position)) * (stops.length - 1);
  const index = Math.min(stops.length - 2, Math.floor(place));
  return stops[index]!.map((from, channel) =>
    Math.round(from + (stops[index + 1]![channel]! - from) * (place - index)),
  ) as Rgba;
}
