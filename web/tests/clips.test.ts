import { describe, expect, it } from "vitest";
import { clipFileName, isClip } from "../src/clip-files";

describe("files of clips", () => {
  it("are known by their type, or by the suffix where the browser knows no type", () => {
    expect(isClip(new Blob([], { type: "video/mp4" }), "a")).toBe(true);
    expect(isClip(new Blob([]), "walk.MKV")).toBe(true);
    expect(isClip(new Blob([], { type: "image/webp" }), "walk.webp")).toBe(false);
    expect(isClip(new Blob([]), "mp4.png")).toBe(false);
  });

  it("are exported under the clip's name", () => {
    expect(clipFileName("walk.mp4", "cutout", "png")).toBe("walk_cutout.zip");
    expect(clipFileName("a.b.mov", "alpha", "webm")).toBe("a.b_alpha.webm");
    expect(clipFileName(".mov", "alpha", "mov")).toBe("clip_alpha.mov");
  });
});
