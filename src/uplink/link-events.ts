import type { Lane } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import type { Failure, LinkCapabilities, LinkEvents } from "./remote.ts";

/** What the events of a link ask of its uplink. */
export interface LinkHost {
  /** False: the link was replaced, and nothing of it counts any more. */
  isCurrent(): boolean;
  nowMs(): number;
  wake(): void;
  onConnected(capabilities: LinkCapabilities): void;
  /** A lane streams. */
  onStreaming(): void;
  onAcknowledged(lane: Lane, sequence: number): void;
  onClosed(failure: Failure): void;
}

/** What a link may tell its uplink, as long as it is the current one. */
export function linkEvents(host: LinkHost, lanes: Lanes): LinkEvents {
  const withLane = (index: number, act: (lane: Lane, nowMs: number) => void): void => {
    const lane = lanes.all[index];
    if (!host.isCurrent() || lane === undefined) return;
    act(lane, host.nowMs());
    host.wake();
  };
  return {
    onConnected: (capabilities) => {
      if (host.isCurrent()) host.onConnected(capabilities);
    },
    onReconciled: (index, result) =>
      withLane(index, (lane, nowMs) => {
        if (lane.phase.kind !== "reconciling") return;
        host.onStreaming();
        lanes.onReconciled(lane, result, nowMs);
      }),
    onReconcileFailed: (index, failure) =>
      withLane(index, (lane, nowMs) => {
        if (lane.phase.kind === "reconciling") lanes.fail(lane, failure, nowMs);
      }),
    onReconcileProgress: (index) =>
      withLane(index, (lane, nowMs) => {
        if (lane.phase.kind === "reconciling") {
          lane.phase = { kind: "reconciling", progressAtMs: nowMs };
        }
      }),
    onAcknowledged: (index, sequence, position) =>
      withLane(index, (lane, nowMs) => {
        lanes.onAcknowledged(lane, sequence, position, nowMs);
        host.onAcknowledged(lane, sequence);
      }),
    onRefused: (index, sequence, failure) =>
      withLane(index, (lane, nowMs) => lanes.onRefused(lane, sequence, failure, nowMs)),
    onLaneFailed: (index, failure) =>
      withLane(index, (lane, nowMs) => {
        const { kind } = lane.phase;
        if (kind === "streaming" || kind === "reconciling") lanes.fail(lane, failure, nowMs);
      }),
    onClosed: (failure) => {
      if (host.isCurrent()) host.onClosed(failure);
    },
  };
}
