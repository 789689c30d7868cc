/** What the person pointed at, and how it changes a mask. Plain arithmetic, no page. */

import type { Point, Rect } from "./geometry";

export const SCALES = ["part", "object", "group"] as const;
/** How much a click takes. */
export type Scale = (typeof SCALES)[number];

/** One click, or one box. */
export type Mark = { takesAway: boolean } & ({ kind: "point"; at: Point } | { kind: "box"; box: Rect });

/** Marks that the service answers together; in the photograph's pixels. */
export interface Prompt {
  /** The mask that the marks change; null where it was empty. */
  base: Uint8Array | null;
  points: Point[];
  notPoints: Point[];
  box: Rect | null;
  /** Whether what the box holds is taken from `base`, not added to it. */
  takesBoxAway: boolean;
  scale: Scale;
}

/** A new prompt that changes a mask; null where there is nothing to take away from. */
export function begun(mark: Mark, base: Uint8Array | null, scale: Scale): Prompt | null {
  if (mark.takesAway && !base) return null;
  const empty: Prompt = { base, points: [], notPoints: [], box: null, takesBoxAway: false, scale };
  return mark.kind === "box" ? { ...empty, box: mark.box, takesBoxAway: mark.takesAway } : withPoint(empty, mark);
}

/** The prompt with a further mark; null where the mark changes the prompt's result and needs a prompt of its own. */
export function continued(prompt: Prompt, mark: Mark): Prompt | null {
  if (mark.kind === "box") return null;
  const isRefinable = !prompt.box || (!prompt.base && isInside(mark.at, prompt.box));
  return isRefinable ? withPoint(prompt, mark) : null;
}

/** Whether the scale makes a difference: a box and a mask say themselves how much is meant. */
export function hasScale(prompt: Prompt): boolean {
  return !prompt.base && !prompt.box;
}

/** The mask after a prompt, of what the service selected. */
export function merged({ base, box, takesBoxAway }: Prompt, selected: Uint8Array): Uint8Array {
  if (!base || !box) return selected; // the service began from the mask, or there was none
  return base.map((value, index) =>
    takesBoxAway ? Math.min(value, 255 - selected[index]!) : Math.max(value, selected[index]!),
  );
}

function withPoint(prompt: Prompt, { at, takesAway }: { at: Point; takesAway: boolean }): Prompt {
  return takesAway
    ? { ...prompt, notPoints: [...prompt.notPoints, at] }
    : { ...prompt, points: [...prompt.points, at] };
}

function isInside({ x, y }: Point, box: Rect): boolean {
  return x >= box.left && x < box.right && y >= box.top && y < box.bottom;
}
