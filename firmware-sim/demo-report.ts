import type { Centre } from "./central/centre.ts";
import type { StoryOutcome } from "./demo-story.ts";
import type { FleetProgress } from "./fleet.ts";
import type { SinkReport } from "./sink-check.ts";
import { alignColumns, grouped } from "./table.ts";

/** Fewer published messages prove too little. */
export const PUBLISHED_MIN = 5_000;
const BACKLOG_SHARE_MIN = 0.3;

/** One thing that must be true at the end. */
export interface Demand {
  readonly name: string;
  readonly isMet: boolean;
  readonly found: string;
}

export interface DemoFacts {
  readonly centre: Centre;
  readonly sink: SinkReport;
  readonly outcome: StoryOutcome;
  readonly fleet: FleetProgress;
  /** Devices were to connect over TLS. */
  readonly tls: boolean;
}

/** What the demo promises, with what was found. The demo fails unless all are met. */
export function demandsOf({ centre, sink, outcome, fleet, tls }: DemoFacts): readonly Demand[] {
  const [firstPid, ...laterPids] = outcome.pids;
  const share = sink.published === 0 ? 0 : outcome.backlogPeak / sink.published;
  const demands: Demand[] = [
    demand("lost = 0", sink.lost === 0, [String(sink.lost), ...sink.lostExamples].join(" ")),
    demand(
      `published >= ${grouped(PUBLISHED_MIN)}`,
      sink.published >= PUBLISHED_MIN,
      grouped(sink.published),
    ),
    demand(
      "backlog peak >= 30 % of published",
      share >= BACKLOG_SHARE_MIN,
      `${(share * 100).toFixed(1)} %`,
    ),
    demand(
      "the edge's pid changed",
      laterPids.length > 0 && !laterPids.includes(firstPid ?? 0),
      outcome.pids.join(" → "),
    ),
    demand("the edge ended with exit code 0", outcome.exitCode === 0, String(outcome.exitCode)),
    demand(
      "read at the centre = accepted by the centre",
      sink.arrived === outcome.contents.accepted,
      `${grouped(sink.arrived)} of ${grouped(outcome.contents.accepted)}`,
    ),
    demand("nothing unknown at the centre", sink.unknown === 0, String(sink.unknown)),
    demand(
      "no session forgotten by the edge",
      fleet.sessionsLost === 0,
      String(fleet.sessionsLost),
    ),
  ];
  if (tls) demands.push(tlsDemand(fleet));
  return centre.hasRecordIds ? [...demands, ...exactlyOnceDemands(sink, outcome)] : demands;
}

function tlsDemand({ connects, secured }: FleetProgress): Demand {
  const name = "every connection over TLS, certificate verified";
  return demand(name, connects > 0 && secured === connects, `${secured} of ${connects}`);
}

function exactlyOnceDemands(sink: SinkReport, outcome: StoryOutcome): readonly Demand[] {
  return [
    demand(
      "duplicated = 0",
      sink.duplicated === 0,
      String(sink.duplicated ?? "records without id"),
    ),
    demand("repeated by QoS 2 devices = 0", sink.repeatedQos2 === 0, String(sink.repeatedQos2)),
    demand(
      "found by reconcile, stored but unacknowledged >= 1",
      outcome.reconciled >= 1,
      String(outcome.reconciled),
    ),
  ];
}

const demand = (name: string, isMet: boolean, found: string): Demand => ({ name, isMet, found });

/** The table on the screen: counts with their meaning, then the demands. */
export function reportText(facts: DemoFacts, demands: readonly Demand[], seconds: number): string {
  const { sink, outcome, fleet, centre } = facts;
  const rows: [string, number, string][] = [
    ["published", sink.published, "messages that devices handed to their MQTT client"],
    ["acknowledged", sink.acknowledged, "PUBACK (QoS 1) or PUBREC (QoS 2) reached the device"],
    ["at the centre", sink.arrived, `records in the ${centre.title}`],
    ["lost", sink.lost, "acknowledged and absent at the centre"],
    ...repeatRows(facts),
    [
      "order violations",
      sink.orderViolations,
      "first arrivals behind a later message of their device",
    ],
    ["backlog peak", outcome.backlogPeak, "messages that waited on the edge's disk"],
    ["device connects", fleet.connects, `${fleet.drops} connections dropped by flaky radios`],
  ];
  const table = alignColumns(rows.map(([name, count, text]) => [name, grouped(count), text]));
  const checks = alignColumns(
    demands.map(({ name, isMet, found }) => [isMet ? "ok  " : "FAIL", name.padEnd(51), found]),
  );
  const times = `${seconds.toFixed(1)} s in all: uplink cut for ${outcome.cutSeconds.toFixed(1)} s, backlog drained ${outcome.drainSeconds.toFixed(1)} s after its return`;
  return ["", ...table, "", ...checks, "", times].join("\n");
}

function repeatRows({ sink, centre, outcome }: DemoFacts): [string, number, string][] {
  if (!centre.hasRecordIds || sink.duplicated === undefined) {
    return [["arrived again", sink.repeated, "further arrivals of a (device, seq): at least once"]];
  }
  return [
    ["duplicated", sink.duplicated, "the same record id twice"],
    ["repeated", sink.repeated, "sent twice by a QoS 1 device whose connection broke"],
    [
      "reconciled",
      outcome.reconciled,
      "found stored, though unacknowledged, when the uplink returned",
    ],
  ];
}
