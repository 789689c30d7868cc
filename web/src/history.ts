/** Undo and redo, bounded in memory. */

export interface Change {
  /** What it was, for the person: "Brush stroke". */
  label: string;
  /** Memory it holds. */
  bytes: number;
  undo(): void;
  redo(): void;
}

export class History {
  #done: Change[] = [];
  #undone: Change[] = [];

  constructor(private readonly maxBytes = 128 * 2 ** 20) {}

  get canUndo(): boolean {
    return this.#done.length > 0;
  }

  get canRedo(): boolean {
    return this.#undone.length > 0;
  }

  /** Remember a change that has been made; the oldest are forgotten where they take too much memory. */
  push(change: Change): void {
    this.#undone = [];
    this.#done.push(change);
    let bytes = this.#done.reduce((sum, { bytes }) => sum + bytes, 0);
    while (bytes > this.maxBytes && this.#done.length > 1) bytes -= this.#done.shift()!.bytes;
  }

  undo(): Change | null {
    const change = this.#done.pop();
    if (!change) return null;
    change.undo();
    this.#undone.push(change);
    return change;
  }

  redo(): Change | null {
    const change = this.#undone.pop();
    if (!change) return null;
    change.redo();
    this.#done.push(change);
    return change;
  }

  clear(): void {
    this.#done = [];
    this.#undone = [];
  }
}
