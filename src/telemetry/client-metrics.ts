import type { Collected, Sample } from "./collected.ts";
import type { MetricsSource } from "./metrics-source.ts";

/** Clients: connections, sessions, what native ones ask for, and the network below them. */
export function addClients(collected: Collected, source: MetricsSource): void {
  collected.gauge("rillmq_connections", "Network connections of clients.", [], () => [
    [source.connections()],
  ]);
  collected.gauge("rillmq_native_connections", "Those that speak the native protocol.", [], () => {
    const { nativeOpened, nativeClosed } = source.counters();
    return [[nativeOpened - nativeClosed]];
  });
  collected.gauge("rillmq_sessions", "Sessions with and without a connection.", ["state"], () => {
    const { online, offline } = source.sessions();
    return [
      [online, { state: "online" }],
      [offline, { state: "offline" }],
    ];
  });
  collected.counter(
    "rillmq_connections_dropped_total",
    "Network connections refused or ended by a listener, by reason.",
    ["reason"],
    () => source.network().dropped.map(([reason, total]): Sample => [total, { reason }]),
  );
  collected.counter(
    "rillmq_certificate_reloads_total",
    "Changed certificates, by whether they could be used.",
    ["result"],
    () => source.network().certificates.map(([result, total]): Sample => [total, { result }]),
  );
  collected.counter("rillmq_network_bytes_total", "Bytes of MQTT.", ["direction"], () => {
    const { bytesReceived, bytesSent } = source.network();
    return [
      [bytesReceived, { direction: "received" }],
      [bytesSent, { direction: "sent" }],
    ];
  });
  collected.gauge("rillmq_output_waiting_bytes", "Output that readers have not taken.", [], () => [
    [source.network().bytesWaiting],
  ]);
  collected.counter("rillmq_connections_opened_total", "Network connections opened.", [], () => [
    [source.network().opened],
  ]);
  collected.counter(
    "rillmq_native_requests_total",
    "Frames of native clients, by what was asked and what was said at once.",
    ["op", "code"],
    () => [...source.nativeRequests()].map(([op, code, count]): Sample => [count, { op, code }]),
  );
}
