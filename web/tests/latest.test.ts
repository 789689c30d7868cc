import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Latest } from "../src/latest";

let started: AbortSignal[];
let finish: (() => void)[];

function latest(): Latest {
  return new Latest((signal) => {
    started.push(signal);
    return new Promise((resolve, reject) => {
      finish.push(resolve);
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  }, 50);
}

beforeEach(() => {
  vi.useFakeTimers();
  started = [];
  finish = [];
});
afterEach(() => vi.useRealTimers());

test("many changes soon after each other start one run", async () => {
  const runs = latest();
  for (let change = 0; change < 10; change++) runs.soon();
  await vi.advanceTimersByTimeAsync(60);
  expect(started).toHaveLength(1);
});

test("changes during a run start exactly one more, after it", async () => {
  const runs = latest();
  runs.soon();
  await vi.advanceTimersByTimeAsync(60);
  runs.soon();
  runs.soon();
  await vi.advanceTimersByTimeAsync(500);
  expect(started).toHaveLength(1);
  finish[0]!();
  await vi.advanceTimersByTimeAsync(60);
  expect(started).toHaveLength(2);
  finish[1]!();
  await vi.advanceTimersByTimeAsync(500);
  expect(started).toHaveLength(2);
  expect(runs.isBusy).toBe(false);
});

test("a complete change aborts what runs and starts at once", async () => {
  const runs = latest();
  runs.now();
  runs.now();
  expect(started.map(({ aborted }) => aborted)).toEqual([true, false]);
  await vi.advanceTimersByTimeAsync(500);
  expect(started).toHaveLength(2);
  expect(runs.isBusy).toBe(true);
});

test("cancelling drops what waits and aborts what runs", async () => {
  const runs = latest();
  runs.soon();
  runs.cancel();
  await vi.advanceTimersByTimeAsync(500);
  expect(started).toHaveLength(0);
  runs.now();
  runs.cancel();
  expect(started[0]!.aborted).toBe(true);
  expect(runs.isBusy).toBe(false);
});
