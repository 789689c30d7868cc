import { beforeEach, expect, test } from "vitest";
import { PageDocument, type Photo } from "../src/document";
import type { Mark, Prompt } from "../src/prompt";
import { promptOf, Selecting } from "../src/selecting";

const photo = { name: "cat.jpg", width: 4, height: 1, file: new Blob(), picture: {} } as unknown as Photo;
let page: PageDocument;
let selecting: Selecting;
let asked: { prompt: Prompt; signal: AbortSignal; answer: (...values: number[]) => void; fail: () => void }[];
let told: string[];

beforeEach(() => {
  page = new PageDocument();
  page.open(photo);
  asked = [];
  told = [];
  const ask = (prompt: Prompt, signal: AbortSignal): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const answer = (...values: number[]): void => resolve(Uint8Array.from(values));
      asked.push({ prompt, signal, answer, fail: () => reject(new Error("no")) });
    });
  selecting = new Selecting(page, ask, {
    said: (text) => told.push(text),
    failed: (error) => told.push(String(error)),
  });
});

const click = (x: number, takesAway = false): Mark => ({ kind: "point", at: { x, y: 0 }, takesAway });
const box = (left: number): Mark => ({
  kind: "box",
  box: { left, top: 0, right: left + 1, bottom: 1 },
  takesAway: false,
});
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
const mask = (): number[] => [...page.selected!.mask.data];

async function answered(...values: number[]): Promise<void> {
  asked.at(-1)!.answer(...values);
  await settled();
}

test("a click becomes the mask, further clicks are asked with it, and each is undone by itself", async () => {
  selecting.mark(click(0));
  await answered(255, 255, 0, 0);
  expect(mask()).toEqual([255, 255, 0, 0]);
  selecting.mark(click(1, true));
  expect(asked[1]!.prompt).toMatchObject({ base: null, points: [{ x: 0 }], notPoints: [{ x: 1 }] });
  await answered(255, 0, 0, 0);
  expect(page.undo()).toBe("Selection");
  expect(mask()).toEqual([255, 255, 0, 0]);
  expect(promptOf(page.selected!)!.notPoints).toEqual([]);
  page.redo();
  expect(mask()).toEqual([255, 0, 0, 0]);
  expect(promptOf(page.selected!)!.notPoints).toHaveLength(1);
});

test("the answer to an earlier click is dropped, and nothing of the click is lost", async () => {
  selecting.mark(click(0));
  selecting.mark(click(3));
  expect(asked[0]!.signal.aborted).toBe(true);
  asked[1]!.answer(255, 0, 0, 255);
  await settled();
  asked[0]!.answer(0, 255, 255, 0);
  await settled();
  expect(asked[1]!.prompt.points).toHaveLength(2);
  expect(mask()).toEqual([255, 0, 0, 255]);
});

test("after a brush stroke, a click begins from the corrected mask", async () => {
  selecting.mark(click(0));
  await answered(255, 0, 0, 0);
  page.beginStroke({ x: 2.5, y: 0.5 }, 0.4, false);
  page.endStroke();
  const corrected = mask();
  selecting.mark(click(3));
  expect(asked[1]!.prompt).toMatchObject({ points: [{ x: 3 }] });
  expect([...asked[1]!.prompt.base!]).toEqual(corrected);
  await answered(255, 255, 255, 255);
  page.undo();
  expect(mask()).toEqual(corrected);
});

test("a box after a click adds to what is there", async () => {
  selecting.mark(click(0));
  await answered(255, 0, 0, 0);
  selecting.mark(box(2));
  expect(asked[1]!.prompt.points).toEqual([]);
  await answered(0, 0, 255, 0);
  expect(mask()).toEqual([255, 0, 255, 0]);
});

test("a mark that changes what is still being selected waits for it", async () => {
  selecting.mark(click(0));
  selecting.mark(box(2));
  expect(asked).toHaveLength(1);
  await answered(255, 0, 0, 0);
  expect(asked).toHaveLength(2);
  await answered(0, 0, 255, 0);
  expect(mask()).toEqual([255, 0, 255, 0]);
});

test("the scale asks anew for the last clicks, and holds for the next object", async () => {
  selecting.mark(click(0));
  await answered(255, 0, 0, 0);
  selecting.rescale("group");
  expect(asked[1]!.prompt).toMatchObject({ points: [{ x: 0 }], scale: "group" });
  await answered(255, 255, 255, 255);
  expect(selecting.shownScale).toBe("group");
  page.undo();
  expect(selecting.shownScale).toBe("object");
  page.beginStroke({ x: 2, y: 0 }, 1, false);
  page.endStroke();
  expect(selecting.shownScale).toBeNull();
  page.addObject();
  expect(selecting.shownScale).toBe("group");
});

test("a click that cannot take anything away says so", () => {
  selecting.mark(click(0, true));
  expect(asked).toHaveLength(0);
  expect(told[0]).toMatch(/Nothing is selected yet/);
});

test("painting meanwhile gives the selection up, a failure is told, and cancelling is silent", async () => {
  selecting.mark(click(0));
  page.beginStroke({ x: 2, y: 0 }, 1, false);
  page.endStroke();
  const painted = mask();
  await answered(255, 255, 255, 255);
  expect(mask()).toEqual(painted);
  expect(told).toHaveLength(1);
  selecting.mark(click(1));
  asked[1]!.fail();
  await settled();
  expect(told[1]).toMatch(/no/);
  expect(page.selected!.pending).toBeNull();
  selecting.mark(click(1));
  expect(selecting.cancel(page.selected!)).toBe(true);
  await answered(0, 0, 0, 0);
  expect(mask()).toEqual(painted);
  expect(told).toHaveLength(2);
});
