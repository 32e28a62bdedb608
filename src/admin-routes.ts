/** What the admin channel answers; see `cli/` for the commands in front of it. */
import { brokerRoutes } from "./broker-routes.ts";
import type { EdgeNode } from "./edge-node.ts";
import type { AdminHandler, AdminRoutes } from "./net/admin-server.ts";
import { uplinkRoutes } from "./uplink-routes.ts";

const statusOf = (node: EdgeNode): unknown => ({
  pid: process.pid,
  ready: node.isReady,
  healthy: node.isHealthy,
  store: node.storeUse(),
});

export function adminRoutes(node: EdgeNode): AdminRoutes {
  return new Map<string, AdminHandler>([
    ["GET /status", () => statusOf(node)],
    ...brokerRoutes(node),
    ...uplinkRoutes(node),
  ]);
}
