import { Counter, Gauge, Registry } from "prom-client";

type Labels = Readonly<Record<string, string>>;
/** One value of a metric, and what its labels say. */
export type Sample = readonly [value: number, labels?: Labels];

/** Makes metrics whose values are asked for when they are collected, in a registry of their own. */
export class Collected {
  readonly registry = new Registry();

  gauge(name: string, help: string, labelNames: string[], samples: () => Iterable<Sample>): void {
    this.#add(Gauge, name, help, labelNames, samples);
  }

  /** `samples` gives totals. */
  counter(name: string, help: string, labelNames: string[], samples: () => Iterable<Sample>): void {
    this.#add(Counter, name, help, labelNames, samples);
  }

  #add(
    Kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    labelNames: string[],
    samples: () => Iterable<Sample>,
  ): void {
    const metric = new Kind({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => {
        metric.reset();
        for (const [value, labels] of samples()) metric.inc(labels ?? {}, value);
      },
    });
  }
}
