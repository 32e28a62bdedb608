import { setFlagsFromString } from "node:v8";

/**
 * All modules are loaded: what runs often from now on is worth V8's optimizing compiler. Loading was not (bin/rillmq.js says so): its first
 * use brings 4 MB of the compiler's machine code into memory, for some functions that read paths.
 */
export function letOptimize(): void {
  setFlagsFromString("--opt");
}

/**
 * The broker is ready: V8's young generation may grow with what passes through it, as it does by default. Until then it must not
 * (bin/rillmq.js says so): modules that are loaded survive, and a grown generation stays as large as it is, some 6 MB, while nothing happens.
 */
export function letYoungGrow(): void {
  setFlagsFromString("--semi-space-growth-factor=2");
}
