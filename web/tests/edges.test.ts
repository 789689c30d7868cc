import { expect, test } from "vitest";
import { edgesOf } from "../src/edges";

test("only controls that are not at their default are sent", () => {
  const shift = { name: "shift", value: -1.5, neutral: 0 };
  const gamma = { name: "gamma", value: 1, neutral: 1 };
  const band = { name: "band", value: 3, neutral: 65 };
  expect(edgesOf([shift, gamma, band])).toBe("shift=-1.5,band=3");
  expect(edgesOf([gamma])).toBe("");
});
