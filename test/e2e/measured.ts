/** Times and counts that a test saw on the way; they are shown, not judged: figures belong to the benchmarks. */
export function shown(what: string, values: readonly number[], unit = 'ms'): string {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  const maximum = sorted.at(-1) ?? Number.NaN;
  const text =
    sorted.length === 1
      ? `${what}: ${median.toFixed(0)} ${unit}`
      : `${what}: median ${median.toFixed(0)}, maximum ${maximum.toFixed(0)} ${unit} (n=${sorted.length})`;
  process.stdout.write(`      measured: ${text}\n`);
  return text;
}
