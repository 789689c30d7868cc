import { expect, test } from "vitest";
import { covering } from "../src/geometry";
import { fitted, inSight, moved, onStage, toPhoto, toStage, zoomedTo } from "../src/viewport";

const photo = { width: 6000, height: 4000 };
const stage = { width: 1000, height: 800 };

test("the whole photograph is in sight when fitted, in the middle", () => {
  const view = fitted(photo, stage);
  const { left, top, right, bottom } = onStage(view, { left: 0, top: 0, right: 6000, bottom: 4000 });
  expect(left).toBeGreaterThanOrEqual(0);
  expect(top).toBeGreaterThanOrEqual(0);
  expect(left + right).toBeCloseTo(1000);
  expect(top + bottom).toBeCloseTo(800);
});

test("zooming keeps the point under the pointer where it is", () => {
  const anchor = { x: 300, y: 500 };
  const before = toPhoto(fitted(photo, stage), anchor);
  const view = zoomedTo(fitted(photo, stage), 1, anchor, photo, stage);
  expect(view.scale).toBe(1);
  expect(toStage(view, before).x).toBeCloseTo(300);
  expect(toStage(view, before).y).toBeCloseTo(500);
});

test("zooming has limits on both sides", () => {
  const middle = { x: 500, y: 400 };
  expect(zoomedTo(fitted(photo, stage), 1e6, middle, photo, stage).scale).toBe(32);
  expect(zoomedTo(fitted(photo, stage), 1e-6, middle, photo, stage).scale).toBeCloseTo(fitted(photo, stage).scale / 2);
});

test("the photograph cannot be moved out of sight", () => {
  const view = moved(fitted(photo, stage), 1e6, -1e6, photo, stage);
  const seen = inSight(view, stage);
  expect(seen.left).toBeLessThan(6000);
  expect(seen.right).toBeGreaterThan(0);
  expect(seen.top).toBeLessThan(4000);
});

test("a background covers the frame, keeps its shape and is centred", () => {
  const frame = { left: 100, top: 50, right: 700, bottom: 450 };
  const { left, top, right, bottom } = covering({ width: 400, height: 400 }, frame);
  expect(right - left).toBe(600);
  expect(bottom - top).toBe(600);
  expect(left).toBe(100);
  expect(top).toBe(-50);
});
