import type { ReadStream } from "node:tty";

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACES = new Set(["\u0008", "\u007f"]);
const NEWLINES = new Set(["\r", "\n", CTRL_D]);

/** Asks on a terminal without echo; undefined: the answer was interrupted. */
export function promptPassword(input: ReadStream, question: string): Promise<string | undefined> {
  process.stderr.write(question);
  input.setRawMode(true);
  input.setEncoding("utf8");
  input.resume();
  return new Promise((resolve) => {
    let characters: string[] = [];
    const end = (password: string | undefined): void => {
      input.off("data", onData);
      input.setRawMode(false);
      input.pause();
      process.stderr.write("\n");
      resolve(password);
    };
    const onData = (text: string): void => {
      for (const character of text) {
        if (character === CTRL_C || NEWLINES.has(character)) {
          end(character === CTRL_C ? undefined : characters.join(""));
          return;
        }
        if (BACKSPACES.has(character)) characters = characters.slice(0, -1);
        else characters.push(character);
      }
    };
    input.on("data", onData);
  });
}

/** All of an input as text, without the newline at its end. */
export async function readPassword(input: AsyncIterable<Buffer | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
