/**
 * The rules file, in YAML:
 *
 *     rules:
 *       - user: pump-7            # a user name, "*" for everybody with one, anonymous for everybody without
 *         publish: ["plant/%u/#"]
 *         subscribe: ["plant/%u/commands/#"]
 */
import { LineCounter, type ParsedNode, parseDocument } from "yaml";
import { z } from "zod";
import { type Rule, type RuleSubject, ruleFilterMistake } from "../broker/authorization.ts";
import { OperatingError } from "../lib/operating-error.ts";
import { readAccessFile } from "./users-file.ts";

const RULES_MAX = 10_000;
const FILTERS_MAX = 256;
const ANONYMOUS_NAME = "anonymous";
const EVERYBODY = "*";

const filters = z
  .array(
    z.string({ error: "expected a topic filter" }).superRefine((filter, context) => {
      const message = ruleFilterMistake(filter);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    }),
    { error: "expected a list of topic filters" },
  )
  .max(FILTERS_MAX, { error: `more than ${FILTERS_MAX} topic filters` })
  .default([]);

const fileSchema = z.strictObject(
  {
    rules: z
      .array(
        z.strictObject(
          {
            user: z
              .string({ error: 'expected a user name, "*" or anonymous' })
              .min(1, { error: "a user name has at least one character" }),
            publish: filters,
            subscribe: filters,
          },
          { error: issueText },
        ),
        { error: "expected a list of rules" },
      )
      .max(RULES_MAX, { error: `more than ${RULES_MAX} rules` }),
  },
  { error: issueText },
);

function issueText(issue: { readonly code?: string; readonly keys?: readonly string[] }): string {
  if (issue.code === "unrecognized_keys") return `there is no "${issue.keys?.join('", "')}" here`;
  return "expected settings, one `name: value` a line";
}

function subjectOf(user: string): RuleSubject {
  if (user === EVERYBODY) return { kind: "authenticated" };
  return user === ANONYMOUS_NAME ? { kind: "anonymous" } : { kind: "user", name: user };
}

const damaged = (where: string, what: string): OperatingError =>
  new OperatingError("rules-file-damaged", `${where}: ${what}`);

/**
 * Reads the text of a rules file; tells the first mistake.
 * @throws OperatingError `rules-file-damaged`
 */
export function parseRules(text: string, path: string): readonly Rule[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number): string => `${path} line ${lines.linePos(offset).line}`;
  const [error] = document.errors;
  if (error !== undefined) throw damaged(lineOf(error.pos[0]), `not YAML: ${error.message}`);
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    throw damaged(path, "not YAML that can be read: too many aliases");
  }
  const { data, error: mistakes } = fileSchema.safeParse(content);
  if (data !== undefined) {
    return data.rules.map(({ user, ...rest }) => ({ subject: subjectOf(user), ...rest }));
  }
  const [mistake] = mistakes.issues;
  const where = (mistake?.path ?? []).filter((part) => typeof part !== "symbol");
  for (let length = where.length; length > 0; length--) {
    const node = document.getIn(where.slice(0, length), true) as ParsedNode | undefined;
    if (node?.range) throw damaged(lineOf(node.range[0]), mistake?.message ?? "");
  }
  throw damaged(path, mistake?.message ?? "");
}

/**
 * The rules in a file.
 * @throws OperatingError `rules-file-damaged`
 */
export function readRules(path: string): readonly Rule[] {
  return parseRules(readAccessFile(path, "rules-file-damaged"), path);
}
