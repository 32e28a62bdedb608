import { setFlagsFromString } from "node:v8";

/**
 * The broker is ready: V8's young generation may grow with what passes through it, as it does by default. Until then it must not
 * (bin/rillmq.js says so): modules that are loaded survive, and a grown generation stays as large as it is, some 6 MB, while nothing happens.
 */
export function letYoungGrow(): void {
  setFlagsFromString("--semi-space-growth-factor=2");
}
