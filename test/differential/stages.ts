/** The brokers that scripts are played against, each in a process of its own and from memory but for ours. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../firmware-sim/free-port.ts";
import { BrokerHome, type Cleanup } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { findProgram } from "../support/requirements.ts";
import type { Stage } from "./play.ts";

const START_MS_MAX = 15_000;
const AEDES = join(import.meta.dirname, "..", "..", "bench", "peers", "aedes-broker.ts");

/** Ours. */
export async function startOurs(cleanup: Cleanup): Promise<Stage> {
  const broker = await new BrokerHome(cleanup).start();
  return { name: "rillmq", port: broker.port, settleMs: 0 };
}

/** Undefined: it is not installed. */
export async function startMosquitto(cleanup: Cleanup): Promise<Stage | undefined> {
  const program = findProgram("mosquitto");
  if (program === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "rillmq-mosquitto-"));
  const port = await freePort();
  const file = join(folder, "mosquitto.conf");
  const settings = [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "persistence false",
    "max_queued_messages 0",
    "set_tcp_nodelay true",
    "log_type none",
  ];
  writeFileSync(file, `${settings.join("\n")}\n`);
  const child = spawn(program, ["-c", file], { stdio: "ignore" });
  cleanup.after(async () => {
    await killed(child);
    rmSync(folder, { recursive: true, force: true });
  });
  await eventually("mosquitto listens", () => isListening(port), START_MS_MAX);
  return { name: "mosquitto", port, settleMs: 0 };
}

/** It speaks 3.1.1 alone, and delivers some turns after it acknowledged. */
export async function startAedes(cleanup: Cleanup): Promise<Stage> {
  // As text: it is plain JavaScript, and needs no loader.
  const source = readFileSync(AEDES, "utf8");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  cleanup.after(() => killed(child));
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const portOf = (): number => Number(/mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1] ?? 0);
  await eventually("aedes listens", () => portOf() > 0, START_MS_MAX);
  return { name: "aedes", port: portOf(), settleMs: 4 };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
