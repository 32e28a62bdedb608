import type { Lane } from "./lane.ts";
import type { Failure, LinkCapabilities } from "./remote.ts";
import type { UplinkState } from "./uplink-status.ts";

/** The states of an uplink, see uplink.ts. */
export type Phase =
  | { readonly kind: "paused" }
  | { readonly kind: "waiting"; readonly retryAtMs: number; readonly failure: Failure }
  | { readonly kind: "connecting"; readonly deadlineMs: number }
  | { readonly kind: "linked"; readonly capabilities: LinkCapabilities }
  | { readonly kind: "draining"; readonly deadlineMs: number }
  | { readonly kind: "blocked"; readonly retryAtMs: number; readonly failure: Failure };

/** When the phase ends by itself; infinite: it does not. */
export function phaseEndMs(phase: Phase): number {
  switch (phase.kind) {
    case "waiting":
    case "blocked":
      return phase.retryAtMs;
    case "connecting":
    case "draining":
      return phase.deadlineMs;
    case "linked":
    case "paused":
      return Number.POSITIVE_INFINITY;
  }
}

/** The state that is shown. */
export function stateOf(phase: Phase, lanes: readonly Lane[]): UplinkState {
  if (phase.kind !== "linked") return phase.kind;
  const kinds = lanes.map((lane) => lane.phase.kind);
  if (kinds.includes("streaming")) return "streaming";
  if (kinds.length > 0 && kinds.every((kind) => kind === "blocked")) return "blocked";
  return "reconciling";
}

/** Why it does not stream, or which lane does not; undefined: nothing is wrong. */
export function reasonOf(
  phase: Phase,
  lanes: readonly Lane[],
  isPaused: boolean,
): string | undefined {
  if (phase.kind === "waiting" || phase.kind === "blocked") {
    return `${phase.failure.class}: ${phase.failure.reason}`;
  }
  if (isPaused) return "paused by an operator";
  const stalled = lanes.find((lane) => lane.phase.kind === "blocked");
  if (stalled?.phase.kind !== "blocked") return undefined;
  return `lane ${stalled.name}: ${stalled.phase.failure.reason}`;
}

/** True for failures that end only when somebody does something. */
export function isBlocking({ class: failureClass }: Failure): boolean {
  return failureClass === "auth" || failureClass === "config" || failureClass === "fenced";
}
