/** Says a thing once while it stays the same: a remote that is away for days is one line, not one for each attempt. */
export class Announcer {
  readonly #said = new Map<string, string>();

  /** True when `cause` is news about `subject`. Numbers in it (ports, counts, sizes) make no news. */
  isNews(subject: string, cause: string): boolean {
    const gist = cause.replace(/\d+/g, "#");
    if (this.#said.get(subject) === gist) return false;
    this.#said.set(subject, gist);
    return true;
  }

  /** The state ended: its next beginning is news, whatever the cause. */
  forget(subject: string): void {
    this.#said.delete(subject);
  }
}
