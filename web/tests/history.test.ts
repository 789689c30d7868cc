import { expect, test } from "vitest";
import { History } from "../src/history";

test("the oldest changes are forgotten where they would take too much memory, the newest never", () => {
  const history = new History(100);
  const undone: string[] = [];
  for (const [label, bytes] of [
    ["a", 40],
    ["b", 40],
    ["c", 40],
    ["d", 500],
  ] as const) {
    history.push({ label, bytes, undo: () => undone.push(label), redo: () => undefined });
  }
  while (history.undo());
  expect(undone).toEqual(["d"]);
});
