/**
 * The publishers' process: all publishing connections of a run. Started by the bench, which speaks to it by
 * `PublisherCommand` and `PublisherReport`; ends with the bench.
 */
import { readProcessUsage } from "../process-accounting.ts";
import { type Load, publisherTopic } from "../scenario.ts";
import { Flood } from "./flood.ts";
import { Link } from "./link.ts";
import type { PublisherCommand, PublisherReport, PublisherTotals } from "./load-messages.ts";
import { encodePublishRing, encodePublishRun } from "./packets.ts";
import { Window } from "./window.ts";

/** How long acknowledgements may take that were outstanding when the run stopped. */
const STOP_MS_MAX = 10_000;
const READ_BUFFER_BYTES = 16_384;

/** What every kind of load can do. */
interface Running {
  start(): void;
  stop(): Promise<void>;
  totals(): PublisherTotals;
}

let running: Running | undefined;
let isStopping = false;

function report(message: PublisherReport): void {
  process.send?.(message);
}

function failed(reason: string): void {
  if (!isStopping) report({ kind: "failed", reason: `publisher: ${reason}` });
}

async function openLinks(port: number, count: number): Promise<Link[]> {
  const links: Link[] = [];
  for (let i = 0; i < count; i++) {
    const clientId = `bench-publisher-${i}`;
    const options = { port, clientId, cleanStart: true, readBufferBytes: READ_BUFFER_BYTES };
    links.push(await Link.open({ ...options, onLost: failed }));
  }
  return links;
}

function prepareFlood(links: readonly Link[], payloadBytes: number, perWrite: number): Running {
  let unexpected = 0;
  const connections = links.map((link, i) => {
    link.receive((_bytes, count) => {
      unexpected += count;
      return true;
    });
    return { link, bytes: encodePublishRun({ topic: publisherTopic(i), payloadBytes }, perWrite) };
  });
  const flood = new Flood(connections, perWrite);
  return {
    start: () => flood.start(),
    stop: async () => flood.stop(),
    totals: () => ({ sent: flood.sent, acknowledged: 0, unexpected }),
  };
}

function prepareWindows(links: readonly Link[], payloadBytes: number, size: number): Running {
  const windows = links.map((link, i) => {
    const ring = encodePublishRing({ topic: publisherTopic(i), payloadBytes }, size);
    return new Window(link, ring, size);
  });
  const sum = (pick: (window: Window) => number): number =>
    windows.reduce((total, window) => total + pick(window), 0);
  return {
    start: () => {
      for (const window of windows) window.start();
    },
    stop: async () => {
      await Promise.all(windows.map((window) => window.stop()));
    },
    totals: () => ({
      sent: sum((window) => window.sent),
      acknowledged: sum((window) => window.acknowledged),
      unexpected: sum((window) => window.unexpected),
    }),
  };
}

function prepare(links: readonly Link[], payloadBytes: number, load: Load): Running {
  switch (load.kind) {
    case "flood":
      return prepareFlood(links, payloadBytes, load.packetsPerWrite);
    case "window":
      return prepareWindows(links, payloadBytes, load.window);
  }
}

async function stop(): Promise<void> {
  if (running === undefined) throw new Error("stopped before it was opened");
  isStopping = true;
  const deadline = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX));
  await Promise.race([running.stop(), deadline]);
  report({ kind: "stopped", ...running.totals() });
}

async function handle(command: PublisherCommand): Promise<void> {
  switch (command.kind) {
    case "open": {
      const links = await openLinks(command.port, command.publishers);
      running = prepare(links, command.payloadBytes, command.load);
      report({ kind: "opened" });
      return;
    }
    case "start":
      running?.start();
      return;
    case "count": {
      if (running === undefined) throw new Error("asked for counts before it was opened");
      const mark = { atMs: performance.now(), publisher: readProcessUsage(process.pid) };
      report({ kind: "counted", mark, ...running.totals() });
      return;
    }
    case "stop":
      await stop();
  }
}

process.on("message", (command: PublisherCommand) => {
  handle(command).catch((error: Error) => failed(error.message));
});
process.on("disconnect", () => process.exit());
