/** What is being worked on: the photograph, the objects marked in it, and how to undo each change. */

import { OBJECT_COLOURS } from "./colours";
import { joined, rectOf, shrunk, type Point, type Rect, type Size } from "./geometry";
import { History } from "./history";
import { Mask, type Paint, type Patch } from "./mask";
import { corrected, type Prompt } from "./prompt";

/** Longest side of what is painted on and of the mattes shown meanwhile; larger photographs are shown shrunk to it. */
export const DRAFT_SIDE = 2048;

/** A picture of the whole photograph, and a sharper one of the part being looked at closely. */
export interface Layered {
  draft: ImageBitmap;
  detail: { bitmap: ImageBitmap; rect: Rect } | null;
}

export interface Photo extends Size {
  name: string;
  file: Blob;
  picture: Layered;
}

const STROKE_LABELS: Record<Paint, string> = {
  target: "Brush stroke",
  rest: "Eraser stroke",
  unsure: "Unsure stroke",
};

/** A stroke that no matte knows of yet; shown as it is drawn. In the photograph's pixels. */
export interface Stroke {
  points: Point[];
  radius: number;
  paint: Paint;
  revision: number;
}

/** What the service made of an object's mask. */
export interface ObjectMatte {
  alpha: Layered;
  /** The object's own colours; the photograph's are shown until they are there. */
  colours: Layered | null;
  /** Of the mask it was made of. */
  revision: number;
  /** The controls of the edge that it was made with. */
  edges: string;
  /** Whether it is a clip's, of which neither the colours nor a part at full size are asked for. */
  isOfClip?: boolean;
}

export type Source = Blob | Prompt | null;

export interface MaskedObject {
  readonly id: number;
  name: string;
  colour: string;
  isVisible: boolean;
  readonly mask: Mask;
  /** The file that the mask was read from, which may be finer, until it is changed; or the prompt that made it. */
  source: Source;
  /** What the service is selecting for it. */
  pending: Prompt | null;
  /** Counts the changes of the mask. */
  revision: number;
  strokes: Stroke[];
  matte: ObjectMatte | null;
}

/** Listeners hear of: a new photograph, another list of objects or choice, a mask (as it changes, or complete). */
export type DocumentEvent =
  { kind: "photo" } | { kind: "objects" } | { kind: "mask"; object: MaskedObject; rect: Rect; isComplete: boolean };

export class PageDocument {
  photo: Photo | null = null;
  objects: MaskedObject[] = [];
  selected: MaskedObject | null = null;
  readonly history = new History();
  #listeners: ((event: DocumentEvent) => void)[] = [];
  #count = 0;
  #unfinished: { object: MaskedObject; before: Uint8Array; source: Source; rect: Rect | null } | null = null;

  listen(listener: (event: DocumentEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** Size of every mask. */
  get maskSize(): Size {
    return shrunk(this.photo ?? { width: 1, height: 1 }, DRAFT_SIDE);
  }

  /** Pixels of a mask for one of the photograph. */
  get maskScale(): number {
    return this.photo ? this.maskSize.width / this.photo.width : 1;
  }

  get isStroking(): boolean {
    return this.#unfinished !== null;
  }

  open(photo: Photo): void {
    this.close();
    this.photo = photo;
    this.#count = 0;
    this.#tell({ kind: "photo" });
    this.#insert(this.#newObject(), 0);
  }

  close(): void {
    this.photo = null;
    this.objects = [];
    this.selected = null;
    this.#unfinished = null;
    this.history.clear();
    this.#tell({ kind: "photo" });
    this.#tell({ kind: "objects" });
  }

  addObject(name?: string): MaskedObject {
    const object = this.#newObject(name);
    const index = this.objects.length;
    this.#insert(object, index);
    this.history.push({
      label: "New object",
      bytes: 0,
      undo: () => this.#take(object),
      redo: () => this.#insert(object, index),
    });
    this.#tell({ kind: "objects" });
    return object;
  }

  /** The last object is only emptied: there is always one to paint on. */
  removeObject(object: MaskedObject): void {
    if (this.objects.length === 1) {
      this.apply(object, "Clear", object.mask.clear(), null);
      return;
    }
    const index = this.objects.indexOf(object);
    this.#take(object);
    this.history.push({
      label: `Delete ${object.name}`,
      bytes: object.mask.data.length,
      undo: () => this.#insert(object, index),
      redo: () => this.#take(object),
    });
    this.#tell({ kind: "objects" });
  }

  select(object: MaskedObject): void {
    this.selected = object;
    this.#tell({ kind: "objects" });
  }

  /** After a name, a colour or the visibility was set. */
  touch(): void {
    this.#tell({ kind: "objects" });
  }

  /** Begin to paint on the selected object; in the photograph's pixels. */
  beginStroke(point: Point, radius: number, paint: Paint): void {
    const object = this.selected;
    if (!object) return;
    this.#unfinished = { object, before: object.mask.data.slice(), source: object.source, rect: null };
    object.strokes.push({ points: [point], radius, paint, revision: object.revision + 1 });
    this.#paint(point, point);
  }

  continueStroke(point: Point): void {
    const stroke = this.#unfinished?.object.strokes.at(-1);
    if (!stroke) return;
    const last = stroke.points.at(-1)!;
    if (last.x === point.x && last.y === point.y) return;
    stroke.points.push(point);
    this.#paint(last, point);
  }

  endStroke(): void {
    const unfinished = this.#unfinished;
    if (!unfinished) return;
    this.#unfinished = null;
    const { object, before, rect, source } = unfinished;
    const patch = rect && object.mask.patchSince(before, rect);
    if (patch) {
      if (isPrompt(source)) object.source = corrected(source, object.mask, this.maskScale);
      this.#remember(object, STROKE_LABELS[object.strokes.at(-1)!.paint], patch, source);
      this.#tell({ kind: "mask", object, rect: patch.rect, isComplete: true });
    } else {
      object.source = source;
      object.strokes.pop();
      this.#tell({ kind: "mask", object, rect: rectOf(object.mask), isComplete: true });
    }
  }

  /** Take back the stroke being drawn, for example because a second finger came down to zoom. */
  cancelStroke(): void {
    const unfinished = this.#unfinished;
    if (!unfinished) return;
    this.#unfinished = null;
    const { object, before, source } = unfinished;
    object.mask.data.set(before);
    object.source = source;
    object.strokes.pop();
    this.#changed(object, rectOf(object.mask), true);
  }

  /** Make a finished change of a mask known and undoable; null is no change. */
  apply(object: MaskedObject, label: string, patch: Patch | null, source: Source): void {
    const before = object.source;
    object.source = source;
    if (!patch) return;
    this.#remember(object, label, patch, before);
    this.#changed(object, patch.rect, true);
  }

  undo(): string | null {
    return this.#step(this.history.undo());
  }

  redo(): string | null {
    return this.#step(this.history.redo());
  }

  #step(change: { label: string } | null): string | null {
    if (change) this.#tell({ kind: "objects" });
    return change?.label ?? null;
  }

  #paint(from: Point, to: Point): void {
    const { object, rect } = this.#unfinished!;
    const stroke = object.strokes.at(-1)!;
    const scale = this.maskScale;
    const painted = object.mask.stroke(
      { x: from.x * scale, y: from.y * scale },
      { x: to.x * scale, y: to.y * scale },
      stroke.radius * scale,
      stroke.paint,
    );
    object.source = null;
    this.#unfinished!.rect = joined(rect, painted);
    this.#changed(object, painted, false);
    stroke.revision = object.revision;
  }

  #remember(object: MaskedObject, label: string, patch: Patch, before: Source): void {
    const after = object.source;
    const put = (values: Uint8Array, source: Source): void => {
      object.mask.paste(patch.rect, values);
      object.source = source;
      object.strokes = [];
      this.selected = object;
      this.#changed(object, patch.rect, true);
    };
    this.history.push({
      label,
      bytes: 2 * patch.before.length,
      undo: () => put(patch.before, before),
      redo: () => put(patch.after, after),
    });
  }

  #changed(object: MaskedObject, rect: Rect, isComplete: boolean): void {
    object.revision++;
    this.#tell({ kind: "mask", object, rect, isComplete });
  }

  #newObject(name?: string): MaskedObject {
    const number = ++this.#count;
    const { width, height } = this.maskSize;
    return {
      id: number,
      name: name ?? `Object ${number}`,
      colour: OBJECT_COLOURS[(number - 1) % OBJECT_COLOURS.length]!,
      isVisible: true,
      mask: new Mask(width, height),
      source: null,
      pending: null,
      revision: 0,
      strokes: [],
      matte: null,
    };
  }

  #insert(object: MaskedObject, index: number): void {
    this.objects.splice(index, 0, object);
    this.selected = object;
    this.#tell({ kind: "objects" });
  }

  #take(object: MaskedObject): void {
    const index = this.objects.indexOf(object);
    this.objects.splice(index, 1);
    if (this.selected === object) this.selected = this.objects[Math.max(0, index - 1)] ?? null;
    this.#tell({ kind: "objects" });
  }

  #tell(event: DocumentEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

export function isPrompt(source: Source): source is Prompt {
  return source !== null && !(source instanceof Blob);
}
