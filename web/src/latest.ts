/** Work that only matters in its newest version: never two runs at once, nothing outdated waited for. */
export class Latest {
  #running: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #isWantedAgain = false;

  /**
   * @param work Should stop, by throwing, when the signal is aborted; must not throw otherwise.
   * @param delay Milliseconds that `soon` waits for further changes.
   */
  constructor(
    private readonly work: (signal: AbortSignal) => Promise<void>,
    private readonly delay = 60,
  ) {}

  get isBusy(): boolean {
    return this.#running !== null || this.#timer !== null;
  }

  /** For changes that keep coming: what runs may end, then the newest state is worked on. */
  soon(): void {
    if (this.#running) this.#isWantedAgain = true;
    else this.#timer ??= setTimeout(() => void this.#start(), this.delay);
  }

  /** For a change that is complete: what runs is superseded and aborted. */
  now(): void {
    this.cancel();
    void this.#start();
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running?.abort();
    this.#running = null;
    this.#isWantedAgain = false;
  }

  async #start(): Promise<void> {
    const controller = new AbortController();
    this.#timer = null;
    this.#running = controller;
    try {
      await this.work(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    } finally {
      if (this.#running === controller) {
        this.#running = null;
        if (this.#isWantedAgain) {
          this.#isWantedAgain = false;
          this.soon();
        }
      }
    }
  }
}
