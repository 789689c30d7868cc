/** Which files are clips, and how exported ones are called. */

import type { ClipFormat, Output } from "./api";

/** Of files whose type browsers do not know, too. */
const CLIP_SUFFIXES = /\.(mov|mp4|m4v|mkv|webm|avi|mts|m2ts|ts|mxf|mpg|mpeg|ogv)$/i;

export function isClip(file: Blob, name: string): boolean {
  return file.type.startsWith("video/") || CLIP_SUFFIXES.test(name);
}

/** "walk.mp4", "cutout", "png" → "walk_cutout.zip". */
export function clipFileName(clip: string, output: Output, format: ClipFormat): string {
  return `${clip.replace(/\.[^.]+$/, "") || "clip"}_${output}.${format === "png" ? "zip" : format}`;
}
