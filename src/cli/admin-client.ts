/** How commands talk to a running broker: through the admin channel in its data folder. */
import { request } from "node:http";
import { join, resolve } from "node:path";

/** Name of the admin channel's socket in the data folder. */
export const ADMIN_SOCKET = "admin.sock";

const ANSWER_TIMEOUT_MS = 10_000;

/** The broker did not answer, or refused. The message is for people. */
export class AdminCallError extends Error {
  override readonly name = "AdminCallError";
  /** HTTP status of the refusal; undefined: there was no answer. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks the broker that runs on a data folder; returns the parsed answer.
 * @throws AdminCallError
 */
export async function callAdmin(
  dataFolder: string,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
): Promise<unknown> {
  const socketPath = join(resolve(dataFolder), ADMIN_SOCKET);
  const { status, text } = await exchange(socketPath, method, path, body);
  const answer: unknown = text === "" ? undefined : JSON.parse(text);
  if (status < 300) return answer;
  const isRefusal = typeof answer === "object" && answer !== null && "error" in answer;
  throw new AdminCallError(isRefusal ? String(answer.error) : `status ${status}`, status);
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; text: string }> {
  return new Promise((resolveAnswer, reject) => {
    const outgoing = request({ socketPath, method, path, timeout: ANSWER_TIMEOUT_MS });
    const fail = (why: string): void => reject(new AdminCallError(why));
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      const isAbsent = error.code === "ENOENT" || error.code === "ECONNREFUSED";
      fail(isAbsent ? `no broker runs here: ${socketPath}` : `${socketPath}: ${error.message}`);
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("the broker does not answer")));
    outgoing.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolveAnswer({ status: response.statusCode ?? 500, text }));
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
