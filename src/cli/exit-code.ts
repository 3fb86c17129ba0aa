/** Exit codes of the program; documented in docs/reference/cli.md. */
export const exitCode = {
  ok: 0,
  /** The command could not do what it was asked; the message says why. */
  failed: 1,
  /** Wrong command line. */
  usage: 2,
} as const;
