import { expect, test } from "vitest";
import { Mask } from "../src/mask";
import { begun, continued, corrected, hasScale, joined, marksFor, merged, type Mark } from "../src/prompt";

const click = (x: number, takesAway = false): Mark => ({ kind: "line", line: [{ x, y: 5 }], takesAway });
const box: Mark = { kind: "box", box: { left: 10, top: 0, right: 20, bottom: 10 }, takesAway: false };
const mask = Uint8Array.of(0, 100, 255);

test("the first click begins from nothing, the next from the mask, and all of them are asked", () => {
  const first = begun(click(1), true, "part")!;
  const second = continued(first, click(2, true));
  expect(first).toMatchObject({ continues: false, target: [[{ x: 1 }]], rest: [], scale: "part" });
  expect(second).toMatchObject({ continues: true, target: [[{ x: 1 }]], rest: [[{ x: 2 }]] });
  expect(joined(first, click(2))).toMatchObject({ continues: false, target: [[{ x: 1 }], [{ x: 2 }]] });
  expect(hasScale(second)).toBe(true);
  expect(merged(first, mask, Uint8Array.of(0, 255, 0))).toEqual(Uint8Array.of(0, 255, 0));
});

test("nothing can be taken away from nothing, but something from a mask", () => {
  expect(begun(click(1, true), true, "object")).toBeNull();
  const prompt = begun(click(1, true), false, "object")!;
  expect(prompt).toMatchObject({ rest: [[{ x: 1 }]], continues: true });
  expect(hasScale(prompt)).toBe(false);
});

test("a click inside refines a box, a click outside leaves it", () => {
  const prompt = begun(box, true, "object")!;
  expect(continued(prompt, click(15, true))).toMatchObject({ box: { left: 10 }, continues: true });
  expect(continued(prompt, click(20)).box).toBeNull();
  expect(joined(prompt, click(15))!.target).toHaveLength(1);
  expect(joined(prompt, click(20))).toBeNull();
  expect(joined(prompt, box)).toBeNull();
  expect(joined(begun(box, false, "object")!, click(15))).toBeNull();
});

test("a box adds to a mask or takes from it", () => {
  const selected = Uint8Array.of(255, 0, 255);
  expect([...merged(begun(box, false, "object")!, mask, selected)]).toEqual([255, 100, 255]);
  expect([...merged(begun({ ...box, takesAway: true }, false, "object")!, mask, selected)]).toEqual([0, 100, 0]);
});

test("a box is asked with the clicks inside of it, one that takes away with none", () => {
  const clicked = continued(begun(click(1), true, "object")!, click(12, true));
  expect(marksFor(continued(clicked, box))).toEqual({ target: [], rest: [[{ x: 12, y: 5 }]] });
  expect(marksFor(continued(clicked, { ...box, takesAway: true }))).toEqual({ target: [], rest: [] });
});

test("what a further click does not change keeps its soft values", () => {
  const prompt = continued(begun(click(1), true, "object")!, click(2));
  expect([...merged(prompt, Uint8Array.of(0, 100, 128, 200), Uint8Array.of(255, 0, 255, 0))]).toEqual([
    255, 100, 128, 0,
  ]);
});

test("after a correction, the clicks that the mask contradicts are gone", () => {
  const painted = new Mask(40, 10);
  painted.data.fill(255, 0, 200); // at half the photograph's size
  painted.data[2 * 40 + 2] = 128;
  const clicked = [click(5), click(5, true), click(20), click(79)].reduce(
    joinedOrFail,
    begun(click(50), true, "part")!,
  );
  expect(corrected(clicked, painted, 0.5)).toMatchObject({ target: [[{ x: 50 }], [{ x: 20 }], [{ x: 79 }]], rest: [] });
});

function joinedOrFail(prompt: ReturnType<typeof continued>, mark: Mark): ReturnType<typeof continued> {
  return joined(prompt, mark)!;
}
