/** What the person pointed at, and how it changes a mask. Plain arithmetic, no page. */

import type { Point, Rect } from "./geometry";
import type { Mask } from "./mask";

export const SCALES = ["part", "object", "group"] as const;
/** How much a click takes. */
export type Scale = (typeof SCALES)[number];
/** The corners of a scribble; of a click, its only point. In the photograph's pixels. */
export type Line = readonly Point[];

/** One click or scribble, or one box. */
export type Mark = { takesAway: boolean } & ({ kind: "line"; line: Line } | { kind: "box"; box: Rect });

/** The marks of a selection, of which the service answers all those that still hold; in the photograph's pixels. */
export interface Prompt {
  /** On the object. */
  target: Line[];
  /** On what is not the object. */
  rest: Line[];
  /** What it holds is added to the mask, or taken away. */
  box: Rect | null;
  takesBoxAway: boolean;
  scale: Scale;
  /** Whether these marks made all of the mask, so that they can be answered anew at another scale. */
  isWhole: boolean;
  /** Whether the service begins from the mask, so that what was confirmed stays; else from nothing. */
  continues: boolean;
}

/** The first prompt for a mask; null where there is nothing to take away from. */
export function begun(mark: Mark, isEmpty: boolean, scale: Scale): Prompt | null {
  if (mark.takesAway && isEmpty) return null;
  const lines = { target: [], rest: [], box: null, takesBoxAway: false };
  return extended({ ...lines, scale, isWhole: isEmpty, continues: !isEmpty }, mark);
}

/** The prompt with a further mark, after the mask that it made. */
export function continued(prompt: Prompt, mark: Mark): Prompt {
  if (mark.kind === "box") return extended({ ...prompt, isWhole: false }, mark);
  return extended({ ...prompt, continues: true, box: isRefinable(prompt, mark.line) ? prompt.box : null }, mark);
}

/** The prompt with a further mark, while it is still being answered; null where the mark has to wait for the answer. */
export function joined(prompt: Prompt, mark: Mark): Prompt | null {
  if (mark.kind === "box" || (prompt.box && !isRefinable(prompt, mark.line))) return null;
  return extended(prompt, mark);
}

/** The prompt after its mask was changed by other means: without the marks that the mask contradicts. */
export function corrected(prompt: Prompt, mask: Mask, maskScale: number): Prompt {
  const values = (line: Line): number[] =>
    line.map(({ x, y }) => mask.data[Math.floor(y * maskScale) * mask.width + Math.floor(x * maskScale)] ?? 0);
  return {
    ...prompt,
    target: prompt.target.filter((line) => values(line).every((value) => value > 191)),
    rest: prompt.rest.filter((line) => values(line).every((value) => value < 64)),
    box: null,
    isWhole: false,
  };
}

/** The marks that the service is asked about together with the box; what a box takes away is told by the box alone. */
export function marksFor({ target, rest, box, takesBoxAway }: Prompt): { target: Line[]; rest: Line[] } {
  if (!box) return { target, rest };
  const held = (line: Line): boolean => !takesBoxAway && line.every((point) => isInside(point, box));
  return { target: target.filter(held), rest: rest.filter(held) };
}

/** Whether the scale makes a difference: a box and a mask say themselves how much is meant. */
export function hasScale(prompt: Prompt): boolean {
  return prompt.isWhole && !prompt.box;
}

/** The mask after a prompt: `mask` with what the service selected. Soft values stay where nothing changed. */
export function merged(
  { box, takesBoxAway, isWhole, continues }: Prompt,
  mask: Uint8Array,
  selected: Uint8Array,
): Uint8Array {
  if (box && !isWhole) {
    return mask.map((value, index) =>
      takesBoxAway ? Math.min(value, 255 - selected[index]!) : Math.max(value, selected[index]!),
    );
  }
  if (!continues) return selected;
  return mask.map((value, index) => (value > 127 === selected[index]! > 127 ? value : selected[index]!));
}

function extended(prompt: Prompt, mark: Mark): Prompt {
  if (mark.kind === "box") return { ...prompt, box: mark.box, takesBoxAway: mark.takesAway, continues: false };
  const side = mark.takesAway ? "rest" : "target";
  return { ...prompt, [side]: [...prompt[side], mark.line] };
}

/** Whether a line changes what a box of its own holds. */
function isRefinable({ box, isWhole }: Prompt, line: Line): boolean {
  return box !== null && isWhole && line.every((point) => isInside(point, box));
}

function isInside({ x, y }: Point, box: Rect): boolean {
  return x >= box.left && x < box.right && y >= box.top && y < box.bottom;
}
