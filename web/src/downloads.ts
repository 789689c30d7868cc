/** What can be downloaded, in which formats, and how the files are called. */

import type { Format, Output } from "./api";

/** Why a format cannot hold a picture; null where it can. */
export function formatProblem(output: Output, format: Format): string | null {
  if (output === "passes" && format !== "exr") return "Only OpenEXR holds passes";
  if (output.startsWith("cutout") && format === "jpeg") return "JPEG holds no transparency";
  if (output === "cutout_premultiplied" && format === "webp") return "WebP holds no premultiplied colours";
  return null;
}

const SUFFIX_OF_TYPE: Record<string, string> = {
  "image/png": "png",
  "image/webp": "webp",
  "image/tiff": "tif",
  "image/jpeg": "jpg",
  "image/x-exr": "exr",
  "application/zip": "zip",
};

/** "cat.jpg", "Left ear", "alpha" → "cat_left-ear_alpha.png". */
export function fileName(photo: string, object: string | null, output: Output, type: string): string {
  const stem = photo.replace(/\.[^.]+$/, "") || "photo";
  const parts = [stem, object && slug(object), output].filter(Boolean);
  return `${parts.join("_")}.${SUFFIX_OF_TYPE[type] ?? "png"}`;
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[^\p{Letter}\p{Number}]+/gu, "-")
    .replace(/^-|-$/g, "");
}

export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
