import { beforeEach, expect, test } from "vitest";
import type { Paint } from "../src/mask";
import { PageDocument, type DocumentEvent, type Photo } from "../src/document";

const photo = { name: "cat.jpg", width: 4096, height: 2048, file: new Blob(), picture: {} } as unknown as Photo;
let page: PageDocument;
let events: DocumentEvent[];

beforeEach(() => {
  page = new PageDocument();
  page.open(photo);
  events = [];
  page.listen((event) => events.push(event));
});

function paint(x: number, y: number, paint: Paint = "target"): void {
  page.beginStroke({ x, y }, 40, paint);
  page.continueStroke({ x: x + 100, y });
  page.endStroke();
}

const inside = (x: number, y: number): number => page.selected!.mask.data[y * page.selected!.mask.width + x]!;

test("a photograph opens with one empty object whose mask has a bounded size", () => {
  expect(page.objects).toHaveLength(1);
  expect(page.maskSize).toEqual({ width: 2048, height: 1024 });
  expect(page.selected!.mask.isEmpty).toBe(true);
});

test("strokes are given in the photograph's pixels and painted in the mask's", () => {
  paint(1000, 600);
  expect(inside(500, 300)).toBe(255);
  expect(inside(550, 300)).toBe(255);
  expect(inside(500, 325)).toBe(0);
});

test("one stroke is one change to undo, and redo brings it back", () => {
  paint(1000, 600);
  paint(1000, 1200);
  expect(page.undo()).toBe("Brush stroke");
  expect(inside(500, 600)).toBe(0);
  expect(inside(500, 300)).toBe(255);
  expect(page.redo()).toBe("Brush stroke");
  expect(inside(500, 600)).toBe(255);
  page.undo();
  page.undo();
  expect(page.selected!.mask.isEmpty).toBe(true);
  expect(page.undo()).toBeNull();
});

test("a new change forgets what was undone", () => {
  paint(1000, 600);
  page.undo();
  paint(1000, 1200);
  expect(page.redo()).toBeNull();
});

test("a stroke that a second finger interrupts leaves nothing behind", () => {
  page.beginStroke({ x: 1000, y: 600 }, 40, "target");
  page.cancelStroke();
  expect(page.selected!.mask.isEmpty).toBe(true);
  expect(page.selected!.strokes).toHaveLength(0);
  expect(page.history.canUndo).toBe(false);
});

test("erasing where nothing is can not be undone, because nothing happened", () => {
  paint(1000, 600, "rest");
  expect(page.history.canUndo).toBe(false);
});

test("a mask's own file is used until the first stroke, and again after undoing it", () => {
  const object = page.selected!;
  const file = new Blob(["mask"]);
  page.apply(object, "Mask", object.mask.replace(new Uint8Array(object.mask.data.length).fill(255)), file);
  expect(object.source).toBe(file);
  paint(1000, 600, "rest");
  expect(object.source).toBeNull();
  page.undo();
  expect(object.source).toBe(file);
  page.redo();
  expect(object.source).toBeNull();
});

test("a deleted object comes back with its mask, in its place", () => {
  paint(1000, 600);
  const [first] = page.objects;
  page.addObject("second");
  page.removeObject(first!);
  expect(page.objects.map(({ name }) => name)).toEqual(["second"]);
  page.undo();
  expect(page.objects.map(({ name }) => name)).toEqual(["Object 1", "second"]);
  expect(page.selected).toBe(first);
  expect(inside(500, 300)).toBe(255);
});

test("deleting the last object empties it", () => {
  paint(1000, 600);
  page.removeObject(page.selected!);
  expect(page.objects).toHaveLength(1);
  expect(page.selected!.mask.isEmpty).toBe(true);
  page.undo();
  expect(page.selected!.mask.isEmpty).toBe(false);
});

test("listeners hear of each step of a stroke and of its end", () => {
  paint(1000, 600);
  const masks = events.filter((event) => event.kind === "mask");
  expect(masks.map(({ isComplete }) => isComplete)).toEqual([false, false, true]);
});
