import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Reads `add PID` and `gone PID`. When its input ends, by `close` or because whoever wrote it is dead, it kills what is left and
 * removes the folder.
 */
const SCRIPT = `
while read -r word pid; do
  case $word in
    add) pids="$pids $pid" ;;
    gone)
      kept=
      for one in $pids; do [ "$one" = "$pid" ] || kept="$kept $one"; done
      pids=$kept
      ;;
  esac
done
[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
[ -z "$1" ] || rm -rf "$1"
`;

/**
 * A small shell that outlives this process by a moment: when this process ends without a word (SIGKILL too), it kills the servers
 * that this process started and removes their folder. It is in a process group of its own, so that Ctrl-C does not end it first.
 */
export class Guardian {
  readonly #shell: ChildProcess;

  /** `folder` is removed at the end; undefined: none. */
  constructor(folder?: string) {
    this.#shell = spawn("/bin/sh", ["-c", SCRIPT, "guardian", folder ?? ""], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    // Without /bin/sh there is nobody to guard; servers are still ended in the ordinary ways.
    this.#shell.on("error", () => undefined);
    this.#shell.stdin?.on("error", () => undefined);
    this.#shell.unref();
  }

  /** From now on this child is killed when this process dies. Forgets it when it ends. */
  watch(child: ChildProcess): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#say(`add ${pid}`);
    child.once("exit", () => this.#say(`gone ${pid}`));
  }

  /** Kills what is still watched, removes the folder; resolves when that is done. Idempotent. */
  async close(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#shell;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    this.#shell.ref();
    const exited = once(this.#shell, "exit");
    this.#shell.stdin?.end();
    await exited;
  }

  #say(line: string): void {
    if (this.#shell.stdin?.writable === true) this.#shell.stdin.write(`${line}\n`);
  }
}
