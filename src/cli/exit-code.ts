/** What the process ends with; documented in `--help` and `docs/cli.md`. */
export const ExitCode = {
  /** Done; for `serve`: drained after SIGTERM or SIGINT. */
  fine: 0,
  /** A bug, or the answer is no: refused, timed out, not ready. */
  negative: 1,
  /** Wrong usage or configuration. */
  usage: 2,
  cannotListen: 3,
  dataUnusable: 4,
  dataInUse: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The same for people. */
export const EXIT_CODES_HELP = `
Exit codes:
  0  fine; serve: drained after SIGTERM or SIGINT
  1  a bug, or the answer is no: refused, timed out, not ready
  2  usage or configuration
  3  cannot listen
  4  data folder unusable
  5  data folder in use by another broker`;
