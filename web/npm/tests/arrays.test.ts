import { describe, expect, it } from "vitest";
import { cut, halve, shrinkByArea, shrinkToSide, spread, upsample, type Planes } from "../src/arrays";
import { findBox } from "../src/box";
import { encodedSize, readMask, shrinkPhoto } from "../src/prepare";
import { networkShare } from "../src/reach";

function plane(rows: number[][]): Planes {
  return { data: Float32Array.from(rows.flat()), channels: 1, size: [rows.length, rows[0]!.length] };
}

function square(side: number, from: number, to: number): Planes {
  const inside = (index: number): boolean => index >= from && index < to;
  const data = Float32Array.from({ length: side ** 2 }, (_, at) =>
    Number(inside(Math.floor(at / side)) && inside(at % side)),
  );
  return { data, channels: 1, size: [side, side] };
}

describe("arrays", () => {
  it("cuts a part, and spreads it again", () => {
    const rect = { top: 1, bottom: 3, left: 0, right: 2 };
    const part = cut(
      plane([
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
      ]),
      rect,
    );
    expect([...part.data]).toEqual([4, 5, 7, 8]);
    expect([...spread(part, rect, [3, 3], -1).data]).toEqual([-1, -1, -1, 4, 5, -1, 7, 8, -1]);
  });

  it("takes means", () => {
    expect([
      ...halve(
        plane([
          [1, 3],
          [5, 7],
        ]),
      ).data,
    ]).toEqual([4]);
    expect([...shrinkByArea(plane([[0, 3, 6]]), [1, 2]).data]).toEqual([1.5, 4.5]); // both touch the middle
  });

  it("enlarges bilinearly, also a part of it", () => {
    const whole = upsample(plane([[0, 4]]), [1, 4], { top: 0, bottom: 1, left: 0, right: 4 });
    expect([...whole]).toEqual([0, 1, 3, 4]);
    expect([...upsample(plane([[0, 4]]), [1, 4], { top: 0, bottom: 1, left: 1, right: 3 })]).toEqual([1, 3]);
  });

  it("shrinks to a side as the Python package does", () => {
    expect(shrinkToSide([3008, 4032], 2432, 64)).toEqual([1792, 2432]);
    expect(encodedSize([100, 65])).toEqual([128, 128]);
  });
});

describe("preparing", () => {
  it("repeats the last row and column of a photograph", () => {
    const { data, size } = shrinkPhoto({ data: Uint8Array.of(255, 0, 51, 255), width: 1, height: 1 });
    expect(size).toEqual([64, 64]);
    expect([data[0], data[4095], data[4096], data[8192]]).toEqual([1, 1, 0, Math.fround(0.2)]);
  });

  it("keeps a plain photograph plain where it shrinks", () => {
    const [width, height] = [2600, 40];
    const { data, size } = shrinkPhoto({ data: new Uint8Array(4 * width * height).fill(102), width, height });
    expect(size).toEqual([64, 2432]);
    expect(data.every((value) => value === Math.fround(0.4))).toBe(true);
  });

  it("takes masks of one or four bytes per pixel, and says what it cannot use", () => {
    const photo = { width: 2, height: 1 };
    expect([...readMask({ data: Uint8Array.of(7, 9), ...photo }, photo)]).toEqual([7, 9]);
    expect([...readMask({ data: Uint8Array.of(255, 255, 255, 0, 0, 0, 0, 0), ...photo }, photo)]).toEqual([255, 0]);
    expect(() => readMask({ data: Uint8Array.of(1), width: 1, height: 1 }, photo)).toThrow("mask is 1 x 1");
    expect(() => readMask({ data: Uint8Array.of(1), ...photo }, photo)).toThrow("1 or 4 per pixel");
  });
});

describe("small targets", () => {
  it("are decoded in a box with a margin, of multiples of 64", () => {
    expect(findBox(square(512, 250, 270))).toEqual({ top: 64, bottom: 448, left: 64, right: 448 });
    expect(findBox(square(512, 50, 450))).toBeNull();
    expect(findBox(square(64, 0, 0))).toBeNull();
  });

  it("reach as far as they are wide, and large ones everywhere", () => {
    expect(networkShare(square(128, 10, 100))).toBeNull();
    const share = networkShare(square(128, 60, 62))!;
    expect(share.data[61 * 128 + 61]).toBe(1);
    expect(share.data[0]).toBe(0);
  });
});
