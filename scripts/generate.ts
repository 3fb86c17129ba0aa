/**
 * `npm run generate`: writes what is made from the schemas in src/api.
 *
 *   deploy/crds/*.yaml                  the CustomResourceDefinitions, for kubectl and kustomize
 *   charts/ovenbird/files/crds/*.yaml   the same, installed and upgraded by the chart (a chart's own crds/ directory is
 *                                       never upgraded by Helm)
 *   docs/reference/*.md                 one page a kind, and the reasons of conditions and Events
 *
 * With `--check` nothing is written; a file that differs is named and the exit code is 1.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generatedFiles } from './generate/generated-files.ts';

const root = join(import.meta.dirname, '..');
const check = process.argv.includes('--check');
let stale = 0;
for (const [path, text] of generatedFiles()) {
  const file = join(root, path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  stale += 1;
  console.log(check ? `${path} is stale; run npm run generate` : `wrote ${path}`);
  if (check) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
process.exitCode = check && stale > 0 ? 1 : 0;
