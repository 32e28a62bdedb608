/**
 * The world is difficult: a disk, a folder, a network that does not do what is needed. Handled, counted and
 * shown; never a bug of ours. Every `code` is listed in the documentation.
 */
export class OperatingError extends Error {
  /** Stable, in kebab-case, for programs. */
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "OperatingError";
    this.code = code;
  }
}
