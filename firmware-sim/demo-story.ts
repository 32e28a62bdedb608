import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Centre, CentreContents } from "./central/centre.ts";
import { TcpProxy } from "./central/tcp-proxy.ts";
import { EdgeMetrics } from "./edge-metrics.ts";
import { EdgeProcess, type Ready } from "./edge-process.ts";
import { Fleet } from "./fleet.ts";
import { freePort } from "./free-port.ts";
import { DEFAULT_PROFILE, decodeProfile } from "./profile.ts";
import { grouped } from "./table.ts";
import { makeTlsMaterial, type TlsMaterial } from "./tls-material.ts";
import type { Patience } from "./wait-for.ts";

/** For so long the centre's acknowledgements do not come through. */
const BLOCK_MS = 1_000;
/** The shortest cut. */
const CUT_MS = 6_000;
/** The edge is killed when the cut has lasted this long at least. */
const KILL_AFTER_MS = 2_000;
/** Shares of all messages: published when the trouble begins, backlog at the kill, backlog at the end of the cut. */
const TROUBLE_SHARE = 0.15;
const KILL_SHARE = 0.1;
const BACKLOG_SHARE = 0.4;
/** The fleet would be done in about this time if nothing slowed it down. */
const PUBLISH_SECONDS = 14;
const RATE_PER_SECOND_MAX = 2_500;
const OUTSTANDING_MAX = 20;

export interface StoryOptions {
  readonly centre: Centre;
  readonly bin: string;
  /** Folder for the edge's configuration, data and log; must exist. */
  readonly folder: string;
  readonly messages: number;
  readonly seed: number;
  /** Devices connect over TLS, with a certificate of an authority made for this run. */
  readonly tls: boolean;
  readonly patience: Patience;
  /** Called with one line at the beginning of each part of the story. */
  readonly tell: (text: string) => void;
}

const listenerSettings = (port: number, tls: TlsMaterial | undefined) =>
  tls === undefined
    ? { url: `mqtt://127.0.0.1:${port}` }
    : { url: `mqtts://127.0.0.1:${port}`, tls: { cert: tls.certFile, key: tls.keyFile } };

/** What remains when the story is over. */
export interface StoryOutcome {
  readonly contents: CentreContents;
  readonly pids: readonly number[];
  readonly backlogPeak: number;
  readonly reconciled: number;
  /** Seconds that the uplink was cut, and from its return until the backlog was gone. */
  readonly cutSeconds: number;
  readonly drainSeconds: number;
  readonly exitCode: number | undefined;
}

/**
 * The demo's story, told once: devices publish while the centre's acknowledgements get lost, the uplink is cut
 * and the edge is killed; then everything comes back. It goes on by conditions; only the lengths of the block and of the cut are fixed.
 */
export class Story {
  readonly edge: EdgeProcess;
  readonly metrics: EdgeMetrics;
  readonly #options: StoryOptions;
  readonly #configFile: string;
  readonly #pids: number[] = [];
  #fleet: Fleet | undefined;
  #proxy: TcpProxy | undefined;
  #exitCode: number | undefined;

  constructor(options: StoryOptions) {
    this.#options = options;
    this.#configFile = join(options.folder, "edge.yaml");
    this.edge = new EdgeProcess({
      bin: options.bin,
      configFile: this.#configFile,
      logFile: join(options.folder, "edge.log"),
    });
    this.metrics = new EdgeMetrics(() => this.edge.ready);
  }

  get fleet(): Fleet | undefined {
    return this.#fleet;
  }

  /** @throws StoryError when something does not come true in time. */
  async run(): Promise<StoryOutcome> {
    const { centre } = this.#options;
    await this.#setUp();
    await this.#publishUndisturbed();
    await this.#loseAcknowledgements();
    const cutSeconds = await this.#cutUplink();
    const drainSeconds = await this.#drain();
    const recovered = await centre.recover();
    if (recovered !== undefined) this.#tell(recovered);
    await this.#stopEdge();
    this.#tell("the edge has stopped; an independent client reads the centre");
    const contents = await centre.read();
    return {
      contents,
      pids: this.#pids,
      backlogPeak: this.metrics.lagPeak,
      reconciled: this.metrics.reconciled,
      cutSeconds,
      drainSeconds,
      exitCode: this.#exitCode,
    };
  }

  /** Ends everything that the story started, whatever state it is in. The centre is its owner's business. */
  async close(): Promise<void> {
    this.metrics.stop();
    await this.#fleet?.stop();
    await this.edge.close();
    await this.#proxy?.stop();
  }

  async #setUp(): Promise<void> {
    const { centre, messages, seed, tls, folder } = this.#options;
    this.#tell(`starting the centre: ${centre.title}`);
    const proxy = await TcpProxy.start(await centre.start());
    this.#proxy = proxy;
    const material = tls ? await makeTlsMaterial(join(folder, "tls")) : undefined;
    if (material !== undefined) this.#tell("made an authority and a certificate for the edge");
    await this.#writeConfig(proxy.port, material);
    const { pid, mqttUrl } = await this.#startEdge();
    this.metrics.start();
    const profile = decodeProfile(DEFAULT_PROFILE);
    const devices = profile.reduce((sum, { count }) => sum + count, 0);
    const ratePerSecond = Math.min(RATE_PER_SECOND_MAX, messages / PUBLISH_SECONDS) / devices;
    this.#fleet = new Fleet({
      urls: [mqttUrl],
      ca: material && readFileSync(material.caFile, "utf8"),
      profile,
      messages,
      ratePerSecond,
      outstandingMax: OUTSTANDING_MAX,
      seed,
      protocol: "mixed",
      run: `demo-${seed}`,
    });
    this.#tell(
      `the edge accepts (pid ${pid}); ${devices} devices start to publish${tls ? " over TLS" : ""}`,
    );
    this.#fleet.start();
  }

  async #writeConfig(proxyPort: number, tls: TlsMaterial | undefined): Promise<void> {
    const { folder, centre } = this.#options;
    const config = {
      edgeId: "demo-edge",
      data: join(folder, "data"),
      http: "127.0.0.1:0",
      listeners: [listenerSettings(await freePort(), tls)],
      streams: [{ name: "telemetry", filters: ["sim/#"], maxBytes: "1GiB", whenFull: "reject" }],
      uplinks: [
        {
          name: "centre",
          ...centre.uplinkSettings(proxyPort),
          lanes: [{ stream: "telemetry", class: "normal" }],
          backoffMinMs: 100,
          backoffMaxMs: 1_000,
        },
      ],
    };
    writeFileSync(this.#configFile, stringify(config));
  }

  async #publishUndisturbed(): Promise<void> {
    const { messages, centre } = this.#options;
    await this.#until("the first messages to reach the centre", () => centre.arrived() > 0);
    const published = Math.ceil(messages * TROUBLE_SHARE);
    await this.#until(
      `${grouped(published)} published messages`,
      () => this.#published >= published,
    );
  }

  async #loseAcknowledgements(): Promise<void> {
    const { centre, patience } = this.#options;
    this.#tell("the centre's acknowledgements get lost for 1 s; what the edge sends still arrives");
    const arrived = centre.arrived();
    this.#proxy?.block("backward");
    await patience.pause("the end of the block", BLOCK_MS);
    await this.#until(
      "a record that is stored and not acknowledged",
      () => centre.arrived() > arrived,
    );
  }

  async #cutUplink(): Promise<number> {
    const { messages, centre } = this.#options;
    this.#tell("the uplink is cut; devices go on");
    const cutAtMs = performance.now();
    this.#proxy?.cut();
    this.#proxy?.heal();
    const hasLasted = (ms: number): boolean => performance.now() - cutAtMs >= ms;
    const hasBacklog = (share: number): boolean =>
      (this.metrics.lag ?? 0) >= messages * share || this.#fleet?.isDone === true;
    await this.#until("a backlog", () => hasLasted(KILL_AFTER_MS) && hasBacklog(KILL_SHARE));
    const killed = this.edge.ready?.pid;
    await this.edge.kill();
    this.#tell(`the edge was killed (SIGKILL, pid ${killed}) and starts again on the same data`);
    const { pid } = await this.#startEdge();
    this.#tell(`the edge accepts again (pid ${pid}); devices come back and send again`);
    const harm = await centre.disturb();
    if (harm !== undefined) this.#tell(harm);
    const { polls } = this.metrics;
    await this.#until(
      "the backlog to grow",
      () => hasLasted(CUT_MS) && this.metrics.polls >= polls + 2 && hasBacklog(BACKLOG_SHARE),
    );
    this.#proxy?.restore();
    return (performance.now() - cutAtMs) / 1_000;
  }

  async #drain(): Promise<number> {
    const restoredAtMs = performance.now();
    const backlog = grouped(this.metrics.lag ?? 0);
    this.#tell(`the uplink is back; a backlog of ${backlog} messages drains while devices go on`);
    await this.#until("the devices to finish", () => this.#fleet?.isDone === true);
    // A poll may have begun before the last message; the one after it cannot have.
    const { polls } = this.metrics;
    const isDrained = (): boolean => this.metrics.polls >= polls + 2 && this.metrics.lag === 0;
    await this.#until("the backlog to drain", isDrained);
    return (performance.now() - restoredAtMs) / 1_000;
  }

  async #stopEdge(): Promise<void> {
    this.metrics.stop();
    await this.#fleet?.stop();
    this.#exitCode = await this.edge.stop();
  }

  async #startEdge(): Promise<Ready> {
    this.edge.start();
    await this.#until("the edge to accept connections", () => this.edge.ready !== undefined);
    const { ready } = this.edge;
    if (ready === undefined) throw new Error("the edge was ready and is not any more");
    this.#pids.push(ready.pid);
    return ready;
  }

  get #published(): number {
    return this.#fleet?.progress().published ?? 0;
  }

  #until(what: string, condition: () => boolean): Promise<void> {
    return this.#options.patience.until(what, condition);
  }

  #tell(text: string): void {
    this.#options.tell(text);
  }
}
