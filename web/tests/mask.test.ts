import { expect, test } from "vitest";
import { Mask } from "../src/mask";

function rows(mask: Mask): number[][] {
  return Array.from({ length: mask.height }, (_, row) => [
    ...mask.data.subarray(row * mask.width, (row + 1) * mask.width),
  ]);
}

test("a dot covers the pixels within its radius and fades over one pixel", () => {
  const mask = new Mask(9, 9);
  mask.stroke({ x: 4.5, y: 4.5 }, { x: 4.5, y: 4.5 }, 2, "target");
  for (let row = 0; row < 9; row++) {
    for (let column = 0; column < 9; column++) {
      const expected = 255 * Math.min(1, Math.max(0, 2.5 - Math.hypot(row - 4, column - 4)));
      expect(rows(mask)[row]![column]).toBe(Math.round(expected));
    }
  }
});

test("a stroke has no gap between its ends, however far they are apart", () => {
  const mask = new Mask(200, 20);
  const rect = mask.stroke({ x: 10, y: 10 }, { x: 190, y: 10 }, 4, "target");
  expect(
    rows(mask)[10]!
      .slice(10, 190)
      .every((value) => value === 255),
  ).toBe(true);
  expect(rect).toEqual({ left: 5, top: 5, right: 195, bottom: 15 });
});

test("painting over soft values never lowers them, erasing never raises them", () => {
  const mask = new Mask(3, 1);
  mask.data.set([200, 90, 10]);
  mask.stroke({ x: 0, y: 0.5 }, { x: 0, y: 0.5 }, 0.4, "target");
  expect([...mask.data]).toEqual([200, 90, 10]);
  mask.stroke({ x: 1.5, y: 0.5 }, { x: 1.5, y: 0.5 }, 5, "rest");
  expect(mask.isEmpty).toBe(true);
});

test("the unsure brush paints grey without soft borders, which keeps what is inside and what is outside", () => {
  const mask = new Mask(9, 1);
  mask.data.set([0, 0, 0, 0, 255, 255, 255, 255, 255]);
  mask.stroke({ x: 4.2, y: 0.5 }, { x: 4.2, y: 0.5 }, 1.6, "unsure");
  expect([...mask.data]).toEqual([0, 0, 0, 127, 128, 128, 255, 255, 255]);
  mask.stroke({ x: 4.2, y: 0.5 }, { x: 4.2, y: 0.5 }, 1.6, "unsure");
  expect([...mask.data]).toEqual([0, 0, 0, 127, 128, 128, 255, 255, 255]);
  mask.stroke({ x: 7, y: 0.5 }, { x: 7, y: 0.5 }, 5, "rest");
  expect(mask.isEmpty).toBe(true);
});

test("strokes outside of the mask change nothing and do not fail", () => {
  const mask = new Mask(8, 8);
  mask.stroke({ x: -50, y: -50 }, { x: -40, y: 90 }, 5, "target");
  expect(mask.isEmpty).toBe(true);
});

test("a patch is trimmed to what changed, and takes the mask back and forth", () => {
  const mask = new Mask(40, 30);
  mask.stroke({ x: 10, y: 10 }, { x: 20, y: 12 }, 3, "target");
  const before = mask.data.slice();
  const patch = mask.unite(new Uint8Array(mask.data.length).fill(255, 40 * 20 + 5, 40 * 20 + 15))!;
  const after = mask.data.slice();
  expect(patch.rect).toEqual({ left: 5, top: 20, right: 15, bottom: 21 });
  mask.paste(patch.rect, patch.before);
  expect(mask.data).toEqual(before);
  mask.paste(patch.rect, patch.after);
  expect(mask.data).toEqual(after);
});

test("what changes nothing has no patch", () => {
  const mask = new Mask(4, 4);
  expect(mask.clear()).toBeNull();
  expect(mask.unite(new Uint8Array(16))).toBeNull();
});
