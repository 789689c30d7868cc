import { inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { encodeGreyPng } from "../src/png";

test("the file holds the header and the rows that the PNG specification asks for", async () => {
  const values = Uint8Array.from({ length: 12 }, (_, index) => index * 20);
  const bytes = Buffer.from(await (await encodeGreyPng(values, 4, 3)).arrayBuffer());
  expect(bytes.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([4, 3]);
  expect([...bytes.subarray(24, 29)]).toEqual([8, 0, 0, 0, 0]);
  const length = bytes.readUInt32BE(33);
  expect(bytes.subarray(37, 41).toString()).toBe("IDAT");
  const rows = inflateSync(bytes.subarray(41, 41 + length));
  expect([...rows]).toEqual([0, 0, 20, 40, 60, 0, 80, 100, 120, 140, 0, 160, 180, 200, 220]);
});

test("the checksum is the specification's: that of an empty IEND is known", async () => {
  const bytes = Buffer.from(await (await encodeGreyPng(new Uint8Array(1), 1, 1)).arrayBuffer());
  expect(bytes.subarray(-12).toString("hex")).toBe("0000000049454e44ae426082");
});
