/**
 * Who may publish and subscribe to what: rules, each a list of topic filters for a user. What no rule allows is denied; without any rules
 * everybody who came in may do everything (but publish to the broker's own `$` topics, which the protocol's side refuses).
 *
 * `%u` in a filter stands for the user name and `%c` for the Client Identifier, as literal text. A name that could change what a filter
 * means (with `+`, `#`, `/` or NUL in it, a `$` in front, or empty) makes the filter match nothing. `%%` is one `%`.
 */
import type { Principal } from "./authenticator.ts";
import { filterCovers } from "./filter-containment.ts";
import { ruleTopicOf } from "./pattern-topics.ts";
import { isShared } from "./shared-filter.ts";
import { filterMatches, isTopicFilter } from "./topic.ts";

/** Whom a rule is for: one user, everybody with a user name, or everybody without. */
export type RuleSubject =
  | { readonly kind: "user"; readonly name: string }
  | { readonly kind: "authenticated" }
  | { readonly kind: "anonymous" };

export interface Rule {
  readonly subject: RuleSubject;
  /** Topic filters with placeholders. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** What is in force. */
export interface AccessPolicy {
  /** Undefined: everything is allowed. */
  readonly rules: readonly Rule[] | undefined;
  /** Users there are; undefined: not known. A will of one who is gone is not published. */
  readonly users: ReadonlySet<string> | undefined;
}

/** What somebody was denied. */
export interface Denial {
  readonly action: "publish" | "subscribe";
  readonly principal: Principal;
  readonly clientId: string;
  /** A topic or topic filter. */
  readonly topic: string;
}

/** What the core asks. */
export interface Authorizer {
  /** Grows with each change: answers given before may not hold any more. */
  readonly version: number;
  /** True: everything is allowed, nothing needs to be asked. */
  readonly isOpen: boolean;
  mayPublish(principal: Principal, clientId: string, topic: string): boolean;
  /** True when everything that the filter matches may be received. */
  maySubscribe(principal: Principal, clientId: string, topicFilter: string): boolean;
  /** True when this topic may be received. */
  mayReceive(principal: Principal, clientId: string, topic: string): boolean;
  /** True when everything that the filter matches may be published to. */
  mayPublishAll(principal: Principal, clientId: string, topicFilter: string): boolean;
}

interface Grants {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const OPEN: AccessPolicy = { rules: undefined, users: undefined };

/** The rules in force. */
export class Authorization implements Authorizer {
  #version = 1;
  #policy: AccessPolicy;
  readonly #onDenied: (denial: Denial) => void;
  /** The grants of whoever was asked about last: questions come in runs. */
  #cachedFor: { principal: Principal; clientId: string; grants: Grants } | undefined;

  /** `onDenied` is told about every attempt that is denied. */
  constructor(policy: AccessPolicy = OPEN, onDenied: (denial: Denial) => void = () => undefined) {
    this.#policy = policy;
    this.#onDenied = onDenied;
  }

  get version(): number {
    return this.#version;
  }

  get isOpen(): boolean {
    return this.#policy.rules === undefined;
  }

  /** Puts another policy in force; the broker is to look again at what it has allowed (`Broker.onPolicyChanged`). */
  replace(policy: AccessPolicy): void {
    this.#policy = policy;
    this.#version++;
    this.#cachedFor = undefined;
  }

  mayPublish(principal: Principal, clientId: string, topic: string): boolean {
    const { users } = this.#policy;
    const isKnown = principal === undefined || users === undefined || users.has(principal);
    const grants = this.#grantsOf(principal, clientId);
    if (isKnown && grants === undefined) return true;
    if (isKnown && grants?.publish.some((filter) => filterMatches(filter, topic)) === true) {
      return true;
    }
    this.#onDenied({ action: "publish", principal, clientId, topic });
    return false;
  }

  maySubscribe(principal: Principal, clientId: string, topicFilter: string): boolean {
    const grants = this.#grantsOf(principal, clientId);
    if (grants === undefined) return true;
    // A shared subscription needs the same right as a plain one.
    const plain = ruleTopicOf(topicFilter);
    if (grants.subscribe.some((filter) => filterCovers(filter, plain))) return true;
    this.#onDenied({ action: "subscribe", principal, clientId, topic: topicFilter });
    return false;
  }

  mayReceive(principal: Principal, clientId: string, topic: string): boolean {
    const grants = this.#grantsOf(principal, clientId);
    return grants === undefined || grants.subscribe.some((filter) => filterMatches(filter, topic));
  }

  mayPublishAll(principal: Principal, clientId: string, topicFilter: string): boolean {
    const grants = this.#grantsOf(principal, clientId);
    if (grants === undefined) return true;
    if (grants.publish.some((filter) => filterCovers(filter, topicFilter))) return true;
    this.#onDenied({ action: "publish", principal, clientId, topic: topicFilter });
    return false;
  }

  /** Undefined: everything. */
  #grantsOf(principal: Principal, clientId: string): Grants | undefined {
    const { rules } = this.#policy;
    if (rules === undefined) return undefined;
    const cached = this.#cachedFor;
    if (cached?.principal === principal && cached?.clientId === clientId) return cached.grants;
    const own = rules.filter(({ subject }) => concerns(subject, principal));
    const resolve = (filters: readonly string[]): string[] =>
      filters.flatMap((filter) => resolveFilter(filter, principal, clientId) ?? []);
    const grants: Grants = {
      publish: own.flatMap((rule) => resolve(rule.publish)),
      subscribe: own.flatMap((rule) => resolve(rule.subscribe)),
    };
    this.#cachedFor = { principal, clientId, grants };
    return grants;
  }
}

function concerns(subject: RuleSubject, principal: Principal): boolean {
  switch (subject.kind) {
    case "user":
      return subject.name === principal;
    case "authenticated":
      return principal !== undefined;
    case "anonymous":
      return principal === undefined;
  }
}

/** The filter for one client; undefined: it matches nothing for this one. */
export function resolveFilter(
  filter: string,
  principal: Principal,
  clientId: string,
): string | undefined {
  let isSafe = true;
  const resolved = filter.replace(/%[uc%]/g, (placeholder) => {
    if (placeholder === "%%") return "%";
    const name = placeholder === "%u" ? principal : clientId;
    isSafe &&= name !== undefined && isLiteralLevel(name);
    return name ?? "";
  });
  return isSafe ? resolved : undefined;
}

/** True when the text is one level or a part of one, and stands for nothing but itself. */
function isLiteralLevel(text: string): boolean {
  if (text === "" || text.startsWith("$")) return false;
  for (const char of text) {
    if (char === "+" || char === "#" || char === "/" || char === "\0") return false;
  }
  return true;
}

/** Why this is not a filter of a rule; undefined: it is one. */
export function ruleFilterMistake(filter: string): string | undefined {
  if (/%(?![uc%])/.test(filter.replaceAll("%%", ""))) return "% is followed by u, c or %";
  if (isShared(filter)) {
    return "a rule names topics: leave $share and the group out";
  }
  // Each placeholder becomes a piece of a level.
  return isTopicFilter(filter.replace(/%[uc]/g, "x")) ? undefined : "not a topic filter";
}
