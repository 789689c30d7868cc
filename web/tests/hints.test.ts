import { expect, test } from "vitest";
import type { PhotoTokens } from "../src/api";
import { Hints, type Question } from "../src/hints";

/** Two red things before a grey wall, 30 wide and 40 high; tokens of 10 pixels that are half a token off the things. */
const WIDTH = 120;
const HEIGHT = 80;
const isLeft = (x: number, y: number): boolean => x >= 15 && x < 45 && y >= 20 && y < 60;
const isRight = (x: number, y: number): boolean => x >= 75 && x < 105 && y >= 20 && y < 60;

const tokens: PhotoTokens = {
  ...{ rows: 8, columns: 12, width: 2 * WIDTH, height: 2 * HEIGHT },
  prior: Int8Array.from({ length: 96 }, (_, token) => (thingAt(token) ? 90 : -90)),
  features: Int8Array.from({ length: 3 * 96 }, (_, index) => (index % 3 === thingAt(Math.floor(index / 3)) ? 127 : 0)),
};

/** 0 for the wall; a token belongs to the thing that covers its middle, on its left border. */
function thingAt(token: number): number {
  const [x, y] = [(token % 12) * 10 + 5, Math.floor(token / 12) * 10 + 5];
  return isLeft(x, y) ? 1 : isRight(x, y) ? 2 : 0;
}

const colours = new Uint8ClampedArray(4 * WIDTH * HEIGHT).map((_, index) => {
  const pixel = Math.floor(index / 4);
  const [x, y] = [pixel % WIDTH, Math.floor(pixel / WIDTH)];
  return index % 4 === 0 && (isLeft(x, y) || isRight(x, y)) ? 250 : 90;
});
const hints = new Hints(tokens, colours, WIDTH, HEIGHT, { width: 2 * WIDTH, height: 2 * HEIGHT });

function ask(x: number, y: number, more: Partial<Question> = {}): Uint8Array {
  return hints.answer({ at: { x: 2 * x, y: 2 * y }, takesAway: false, scale: "object", mask: null, ...more });
}

function drawn(isInside: (x: number, y: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: WIDTH * HEIGHT }, (_, index) =>
    isInside(index % WIDTH, Math.floor(index / WIDTH)) ? 255 : 0,
  );
}

function overlap(a: Uint8Array, b: Uint8Array): number {
  const both = a.filter((value, index) => value && b[index]).length;
  return both / a.filter((value, index) => value || b[index]).length;
}

test("a click takes the thing under it alone, up to its pixels", () => {
  expect(overlap(ask(25, 40), drawn(isLeft))).toBeGreaterThan(0.95);
  expect(overlap(ask(95, 40), drawn(isRight))).toBeGreaterThan(0.95);
});

test("a click takes all that stands out at the scale of a group", () => {
  const both = drawn((x, y) => isLeft(x, y) || isRight(x, y));
  expect(overlap(ask(25, 40, { scale: "group" }), both)).toBeGreaterThan(0.95);
});

test("a further click takes what is not taken yet, and nothing where the mask holds already", () => {
  const mask = drawn(isLeft);
  expect(overlap(ask(95, 40, { mask }), drawn(isRight))).toBeGreaterThan(0.9);
  expect(ask(25, 40, { mask }).some((value) => value)).toBe(false);
});

test("a click that takes away shows what goes, near the click", () => {
  const mask = drawn((x, y) => isLeft(x, y) || isRight(x, y) || y >= 70);
  const gone = ask(60, 75, { mask, takesAway: true });
  expect(gone[75 * WIDTH + 60]).toBe(255);
  expect(gone.some((value, index) => value && isLeft(index % WIDTH, Math.floor(index / WIDTH)))).toBe(false);
  expect(ask(60, 10, { mask, takesAway: true }).some((value) => value)).toBe(false);
});
