import { expect, test } from "vitest";
import { colourActive, colourError, colourSteps } from "../src/colours";
import { fileName, formatProblem } from "../src/downloads";

test("files are called after the photograph, the object and the output", () => {
  expect(fileName("cat.final.jpg", null, "alpha", "image/png")).toBe("cat.final_alpha.png");
  expect(fileName("cat.jpg", "Left ear!", "cutout", "image/webp")).toBe("cat_left-ear_cutout.webp");
  expect(fileName("猫.png", "毛", "steps", "application/zip")).toBe("猫_毛_steps.zip");
});

test("formats that cannot hold a picture are not offered", () => {
  expect(formatProblem("cutout", "jpeg")).not.toBeNull();
  expect(formatProblem("alpha", "jpeg")).toBeNull();
  expect(formatProblem("cutout", "webp")).toBeNull();
  expect(formatProblem("cutout_premultiplied", "webp")).not.toBeNull();
  expect(formatProblem("passes", "png")).not.toBeNull();
  expect(formatProblem("passes", "exr")).toBeNull();
});

test("no error is clear, and more error is more opaque", () => {
  const opacities = [0, 30, 60, 128, 255].map((value) => colourError(value)[3]);
  expect(opacities[0]).toBe(0);
  expect(opacities).toEqual([...opacities].sort((a, b) => a - b));
  expect(colourActive(0)[3]).toBe(0);
  expect(colourActive(255)[3]).toBeGreaterThan(200);
});

test("iterations go from the first colour to the last", () => {
  const first = colourSteps([0, 255, 255, 255]);
  const last = colourSteps([0, 0, 0, 0]);
  expect(first).not.toEqual(last);
  expect(colourSteps([0, 0, 255, 255])).not.toEqual(first);
  expect(colourSteps([0])).toEqual(first);
});
