import type {
  AuthenticationOutcome,
  Authenticator,
  Claim,
} from "../../src/broker/authenticator.ts";

/** Takes any user by its name as password; answers at once, or when `answer` is called. */
export class ScriptedAuthenticator implements Authenticator {
  readonly claims: Claim[] = [];
  readonly #isLate: boolean;
  #waiting: (() => void)[] = [];
  cancelled = 0;

  constructor(answers: "at-once" | "late" = "at-once") {
    this.#isLate = answers === "late";
  }

  authenticate(claim: Claim, done: (outcome: AuthenticationOutcome) => void): () => void {
    this.claims.push(claim);
    const answer = (): void => done(outcomeOf(claim));
    if (!this.#isLate) answer();
    else this.#waiting.push(answer);
    return () => {
      this.cancelled++;
      this.#waiting = this.#waiting.filter((one) => one !== answer);
    };
  }

  /** All answers that are due. */
  answer(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const answer of waiting) answer();
  }
}

function outcomeOf({ username, password, allowsAnonymous }: Claim): AuthenticationOutcome {
  if (username === undefined) {
    return allowsAnonymous
      ? { isAccepted: true, principal: undefined }
      : { isAccepted: false, refusal: "not-authorized" };
  }
  if (username === "busy") return { isAccepted: false, refusal: "busy" };
  return Buffer.from(password ?? []).toString() === username
    ? { isAccepted: true, principal: username }
    : { isAccepted: false, refusal: "bad-credentials" };
}
