import type { Random } from '../../base/index.ts';
import { DeadlineQueue } from './deadline-queue.ts';

/**
 * When an address is announced after it was claimed, ms from the claim. More than once, since frames get lost and hosts
 * ignore some that come within 1 s of the last change.
 */
const burstMs = [0, 100, 400, 1_200, 3_000] as const;
/** After that for as long as it is owned, before switches (300 s) and hosts forget; spread evenly between these. */
const refreshMs = { least: 60_000, most: 100_000 };

interface Plan {
  readonly address: string;
  readonly startMs: number;
  /** How many announcements were sent. */
  sent: number;
}

/** Which addresses to announce now, never more at once than the budget allows. New claims come before repetitions. */
export class AnnouncementSchedule {
  readonly #plans = new Map<string, Plan>();
  #fresh: Plan[] = [];
  readonly #repetitions = new DeadlineQueue<Plan>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Addresses that are being announced. */
  get size(): number {
    return this.#plans.size;
  }

  /** When `take` has something next; -Infinity for at once, Infinity for never. */
  get nextMs(): number {
    return this.#fresh.length > 0 ? Number.NEGATIVE_INFINITY : this.#repetitions.nextMs;
  }

  /** Starts, or starts over, the burst for an address. */
  start(address: string, nowMs: number): void {
    const plan = { address, startMs: nowMs, sent: 0 };
    this.#plans.set(address, plan);
    this.#fresh.push(plan);
  }

  stop(address: string): void {
    this.#plans.delete(address);
  }

  clear(): void {
    this.#plans.clear();
    this.#fresh.length = 0;
    this.#repetitions.clear();
  }

  /** At most `budget` addresses that are due, each planned anew. */
  take(nowMs: number, budget: number): string[] {
    const due: string[] = [];
    let used = 0;
    for (; used < this.#fresh.length && due.length < budget; used++) this.#send(this.#fresh[used], nowMs, due);
    this.#fresh = used === this.#fresh.length ? [] : this.#fresh.slice(used);
    while (due.length < budget) {
      const item = this.#repetitions.popDue(nowMs);
      if (!item) break;
      this.#send(item.value, nowMs, due);
    }
    return due;
  }

  #send(plan: Plan | undefined, nowMs: number, due: string[]): void {
    if (!plan || this.#plans.get(plan.address) !== plan) return;
    due.push(plan.address);
    plan.sent += 1;
    const offsetMs = burstMs[plan.sent];
    const { least, most } = refreshMs;
    const nextMs = offsetMs === undefined ? nowMs + least + (most - least) * this.#random() : plan.startMs + offsetMs;
    this.#repetitions.push(Math.max(nextMs, nowMs + 1), plan);
  }
}
