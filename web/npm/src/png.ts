/** Writes PNG files of 8 or 16 bits, which a canvas cannot: it multiplies colours by opacity and knows 8 bits only. */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES: Record<number, number> = { 1: 0, 3: 2, 4: 6 };

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** Samples of all channels of a pixel after each other, row by row; their type is the depth. */
export type PngSamples = Uint8Array | Uint8ClampedArray | Uint16Array;

/** @param channels 1 is grey, 3 colours, 4 colours and opacity. */
export async function encodePng(
  samples: PngSamples,
  width: number,
  height: number,
  channels: 1 | 3 | 4,
): Promise<Blob> {
  const depth = samples.BYTES_PER_ELEMENT;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8 * depth, COLOUR_TYPES[channels]!, 0, 0, 0], 8); // deflate, filters, not interlaced
  const line = width * channels * depth;
  const rows = new Uint8Array(height * (line + 1)); // each row starts with its filter, 0: none
  for (let row = 0; row < height; row++) {
    const part = samples.subarray(row * width * channels, (row + 1) * width * channels);
    const start = row * (line + 1) + 1;
    if (depth === 1) rows.set(part, start);
    else part.forEach((value, index) => rows.set([value >> 8, value & 255], start + 2 * index));
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  return new Blob(
    [new Uint8Array(SIGNATURE), chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))],
    { type: "image/png" },
  );
}

function chunk(name: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC_TABLE[(value ^ byte) & 255]!;
  return (value ^ 0xffffffff) >>> 0;
}
