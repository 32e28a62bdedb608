type Labels = Readonly<Record<string, string>>;
/** One value of a metric, and what its labels say. */
export type Sample = readonly [value: number, labels?: Labels];

/** A backslash and a new line would end a line's part early. */
const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

function valueText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

/** One line: name, labels in braces, value. */
function sampleText(name: string, value: number, labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(
    ([label, text]) => `${label}="${escaped(text).replaceAll('"', '\\"')}"`,
  );
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${valueText(value)}`;
}

/** Metrics whose values are asked for when they are collected. */
export class Collected {
  readonly #metrics: (() => string)[] = [];

  gauge(name: string, help: string, samples: () => Iterable<Sample>): void {
    this.#add(name, help, "gauge", () => linesOf(name, samples()));
  }

  /** `samples` gives totals. */
  counter(name: string, help: string, samples: () => Iterable<Sample>): void {
    this.#add(name, help, "counter", () => linesOf(name, samples()));
  }

  histogram(name: string, help: string, histogram: Histogram): void {
    this.#add(name, help, "histogram", () => histogram.lines(name));
  }

  /** All of them in the text format of Prometheus, version 0.0.4, in the order in which they were added. */
  text(): string {
    return this.#metrics.map((metric) => metric()).join("\n");
  }

  #add(name: string, help: string, type: string, lines: () => readonly string[]): void {
    const head = `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n`;
    this.#metrics.push(
      () =>
        head +
        lines()
          .map((line) => `${line}\n`)
          .join(""),
    );
  }
}

const linesOf = (name: string, samples: Iterable<Sample>): readonly string[] =>
  Array.from(samples, ([value, labels]) => sampleText(name, value, labels));

/** Counts observations by size. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** `bounds`: the largest value of each bucket, ascending; what is larger than all of them is only in the total. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count++;
  }

  /** How many were at most as large as each bound, how many there were, and their sum. */
  lines(name: string): readonly string[] {
    let atMost = 0;
    const buckets = this.#bounds.map((bound, i) => {
      atMost += this.#counts[i] ?? 0;
      return sampleText(`${name}_bucket`, atMost, { le: String(bound) });
    });
    return [
      ...buckets,
      sampleText(`${name}_bucket`, this.#count, { le: "+Inf" }),
      sampleText(`${name}_sum`, this.#sum),
      sampleText(`${name}_count`, this.#count),
    ];
  }
}
