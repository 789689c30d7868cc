import { beforeEach, expect, test } from "vitest";
import { PageDocument, type Photo } from "../src/document";
import type { Line, Mark, Prompt } from "../src/prompt";
import { promptOf, Selecting } from "../src/selecting";

const photo = { name: "cat.jpg", width: 4, height: 1, file: new Blob(), picture: {} } as unknown as Photo;
let page: PageDocument;
let selecting: Selecting;
let asked: {
  prompt: Prompt;
  mask: number[] | null;
  signal: AbortSignal;
  answer: (...values: number[]) => void;
  fail: () => void;
}[];
let told: string[];

beforeEach(() => {
  page = new PageDocument();
  page.open(photo);
  asked = [];
  told = [];
  const ask = (prompt: Prompt, mask: Uint8Array | null, signal: AbortSignal): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const answer = (...values: number[]): void => resolve(Uint8Array.from(values));
      asked.push({ prompt, mask: mask && [...mask], signal, answer, fail: () => reject(new Error("no")) });
    });
  selecting = new Selecting(page, ask, {
    said: (text) => told.push(text),
    failed: (error) => told.push(String(error)),
  });
});

const click = (x: number, takesAway = false): Mark => ({ kind: "line", line: [{ x, y: 0 }], takesAway });
const dots = (...xs: number[]): Line[] => xs.map((x) => [{ x, y: 0 }]);
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

test("further clicks continue from the mask with all clicks so far, and each is undone by itself", async () => {
  selecting.mark(click(0));
  expect(asked[0]).toMatchObject({ mask: null, prompt: { target: dots(0) } });
  await answered(255, 255, 0, 0);
  selecting.mark(click(1, true));
  expect(asked[1]).toMatchObject({ mask: [255, 255, 0, 0], prompt: { target: dots(0), rest: dots(1) } });
  await answered(255, 0, 0, 0);
  expect(page.undo()).toBe("Selection");
  expect(mask()).toEqual([255, 255, 0, 0]);
  expect(promptOf(page.selected!)!.rest).toEqual([]);
  page.redo();
  expect(mask()).toEqual([255, 0, 0, 0]);
  expect(promptOf(page.selected!)!.rest).toHaveLength(1);
  page.undo();
  selecting.mark(click(3));
  expect(asked[2]).toMatchObject({ mask: [255, 255, 0, 0], prompt: { target: dots(0, 3), rest: [] } });
});

test("the answer to an earlier click is dropped, and nothing of the click is lost", async () => {
  selecting.mark(click(0));
  selecting.mark(click(3));
  expect(asked[0]!.signal.aborted).toBe(true);
  asked[1]!.answer(255, 0, 0, 255);
  await settled();
  asked[0]!.answer(0, 255, 255, 0);
  await settled();
  expect(asked[1]).toMatchObject({ mask: null, prompt: { target: dots(0, 3) } });
  expect(mask()).toEqual([255, 0, 0, 255]);
});

test("a click keeps a brush stroke before it, and the clicks that the stroke does not contradict", async () => {
  selecting.mark(click(0));
  await answered(255, 0, 0, 0);
  selecting.mark(click(1));
  await answered(255, 255, 0, 0);
  page.beginStroke({ x: 1.5, y: 0.5 }, 0.4, "rest");
  page.endStroke();
  const corrected = mask();
  expect(corrected[1]).toBeLessThan(64);
  selecting.mark(click(3));
  expect(asked[2]).toMatchObject({ mask: corrected, prompt: { target: dots(0, 3) } });
  await answered(255, 0, 0, 255);
  expect(mask()).toEqual([255, corrected[1], 0, 255]);
  page.undo();
  expect(mask()).toEqual(corrected);
  page.undo();
  expect(promptOf(page.selected!)!.target).toEqual(dots(0, 1));
});

test("a box after a click adds to what is there, and later clicks continue from both", async () => {
  selecting.mark(click(0));
  await answered(255, 0, 0, 0);
  selecting.mark(box(2));
  expect(asked[1]!.mask).toBeNull();
  await answered(0, 0, 255, 0);
  expect(mask()).toEqual([255, 0, 255, 0]);
  selecting.mark(click(2, true));
  expect(asked[2]).toMatchObject({ mask: [255, 0, 255, 0], prompt: { target: dots(0), rest: dots(2), box: null } });
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
  expect(asked[1]).toMatchObject({ mask: null, prompt: { target: dots(0), scale: "group" } });
  await answered(255, 255, 255, 255);
  expect(selecting.shownScale).toBe("group");
  selecting.mark(click(3, true));
  await answered(255, 255, 255, 0);
  selecting.rescale("part");
  selecting.mark(click(2, true));
  expect(asked.at(-1)).toMatchObject({ mask: null, prompt: { target: dots(0), rest: dots(3, 2), scale: "part" } });
  await answered(255, 0, 0, 0);
  for (let count = 0; count < 3; count++) page.undo();
  expect(selecting.shownScale).toBe("object");
  page.beginStroke({ x: 2, y: 0 }, 1, "target");
  page.endStroke();
  expect(selecting.shownScale).toBeNull();
  page.addObject();
  expect(selecting.shownScale).toBe("part");
});

test("a click that cannot take anything away says so", () => {
  selecting.mark(click(0, true));
  expect(asked).toHaveLength(0);
  expect(told[0]).toMatch(/Nothing is selected yet/);
});

test("painting meanwhile gives the selection up, a failure is told, and cancelling is silent", async () => {
  selecting.mark(click(0));
  page.beginStroke({ x: 2, y: 0 }, 1, "target");
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
