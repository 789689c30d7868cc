import { inflateSync } from "node:zlib";
import { expect, it } from "vitest";
import { estimateForeground } from "../src/foreground";
import { encodePng } from "../src/png";

it("writes 16 bits with the high byte first", async () => {
  const bytes = new Uint8Array(await (await encodePng(Uint16Array.of(1, 515), 2, 1, 1)).arrayBuffer());
  expect([...bytes.subarray(24, 26)]).toEqual([16, 0]);
  const data = bytes.subarray(41, bytes.length - 16); // between the chunk's name and its sum, before IEND
  expect([...inflateSync(data)]).toEqual([0, 0, 1, 2, 3]);
});

it("finds the target's colour in a soft edge", () => {
  const [width, height] = [16, 16];
  const alpha = Float32Array.from({ length: width * height }, (_, at) =>
    Math.min(1, Math.max(0, (at % width) / 8 - 0.5)),
  );
  const data = new Uint8Array(4 * alpha.length);
  alpha.forEach((share, at) => data.set([200 * share, 100 * (1 - share), 0, 255], 4 * at)); // red over green
  const colours = estimateForeground({ data, width, height }, alpha);
  for (let at = 0; at < alpha.length; at++) {
    if (alpha[at]! < 0.25) continue;
    expect(Math.abs(colours[3 * at]! - 200)).toBeLessThan(4);
    expect(colours[3 * at + 1]!).toBeLessThan(4);
  }
});
