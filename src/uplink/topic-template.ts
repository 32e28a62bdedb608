/**
 * Topics at the remote, made of parts of the record's own topic:
 *
 *     {edgeId}  {uplink}  {stream}    names
 *     {topic}                         the whole topic
 *     {level:2}                       its second level; levels count from 1
 *     {levels:2}                      its second level and all after it
 *
 * With `{topic}` or `{levels:1}` different topics stay different at the remote; without one of them several may become one.
 */
import { isTopicName, levelCount } from "../broker/topic.ts";

/** The names that a template may use. */
export interface TemplateNames {
  readonly edgeId: string;
  readonly uplink: string;
  readonly stream: string;
}

type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "topic" }
  | { readonly kind: "level"; readonly index: number }
  | { readonly kind: "levels"; readonly index: number };

const NAMES: ReadonlySet<string> = new Set(["edgeId", "uplink", "stream"]);
const LEVEL = /^(levels?):([1-9][0-9]{0,2})$/;

/** Text and variables in turn: even places hold text. */
function pieces(template: string): string[] {
  return template.split(/\{([^{}]*)\}/);
}

/** Why this is no template; undefined: it is one. */
export function templateMistake(template: string): string | undefined {
  const split = pieces(template);
  for (const [at, piece] of split.entries()) {
    if (at % 2 === 0) {
      if (/[{}]/.test(piece)) return "a brace without its partner";
      if (piece !== "" && !isTopicName(piece)) return "no wildcards in a topic";
    } else if (piece !== "topic" && !NAMES.has(piece) && !LEVEL.test(piece)) {
      return `{${piece}} is unknown; there are {edgeId}, {uplink}, {stream}, {topic}, {level:1} and {levels:1}`;
    }
  }
  if (template === "") return "empty";
  return template.startsWith("$") ? "a topic that starts with $ belongs to the remote" : undefined;
}

/** A template with its names filled in. */
export class TopicTemplate {
  readonly #parts: readonly Part[];

  /** @throws RangeError when `templateMistake` has something to say */
  constructor(template: string, names: TemplateNames) {
    const mistake = templateMistake(template);
    if (mistake !== undefined) throw new RangeError(mistake);
    this.#parts = pieces(template).map((piece, at): Part => {
      if (at % 2 === 0) return { kind: "text", text: piece };
      if (piece === "topic") return { kind: "topic" };
      const level = LEVEL.exec(piece);
      if (level === null) return { kind: "text", text: names[piece as keyof TemplateNames] };
      return { kind: level[1] === "level" ? "level" : "levels", index: Number(level[2]) - 1 };
    });
  }

  /** The remote's topic; undefined: this topic has not as many levels as the template names. */
  apply(topic: string): string | undefined {
    const count = levelCount(topic);
    let built = "";
    for (const part of this.#parts) {
      if (part.kind === "text") built += part.text;
      else if (part.kind === "topic") built += topic;
      else if (part.index >= count) return undefined;
      else {
        const levels = topic.split("/");
        built += part.kind === "level" ? levels[part.index] : levels.slice(part.index).join("/");
      }
    }
    return built;
  }
}
