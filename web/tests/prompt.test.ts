import { expect, test } from "vitest";
import { begun, continued, hasScale, merged, type Mark } from "../src/prompt";

const click = (x: number, takesAway = false): Mark => ({ kind: "point", at: { x, y: 5 }, takesAway });
const box: Mark = { kind: "box", box: { left: 10, top: 0, right: 20, bottom: 10 }, takesAway: false };
const mask = Uint8Array.of(0, 100, 255);

test("clicks on an empty mask are asked together, with their scale", () => {
  const first = begun(click(1), null, "part")!;
  const second = continued(first, click(2, true))!;
  expect(second).toMatchObject({ base: null, points: [{ x: 1, y: 5 }], notPoints: [{ x: 2, y: 5 }], scale: "part" });
  expect(first.notPoints).toEqual([]);
  expect(hasScale(second)).toBe(true);
  expect(merged(second, mask)).toBe(mask);
});

test("nothing can be taken away from nothing, but something from a mask", () => {
  expect(begun(click(1, true), null, "object")).toBeNull();
  const prompt = begun(click(1, true), mask, "object")!;
  expect(prompt.notPoints).toHaveLength(1);
  expect(hasScale(prompt)).toBe(false);
});

test("a click inside refines a box, a click outside needs a prompt of its own", () => {
  const prompt = begun(box, null, "object")!;
  expect(continued(prompt, click(15, true))!.notPoints).toHaveLength(1);
  expect(continued(prompt, click(20))).toBeNull();
  expect(continued(prompt, box)).toBeNull();
  expect(continued(begun(box, mask, "object")!, click(15))).toBeNull();
});

test("a box adds to a mask or takes from it", () => {
  const selected = Uint8Array.of(255, 0, 255);
  expect([...merged(begun(box, mask, "object")!, selected)]).toEqual([255, 100, 255]);
  expect([...merged(begun({ ...box, takesAway: true }, mask, "object")!, selected)]).toEqual([0, 100, 0]);
});
