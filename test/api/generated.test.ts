import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { build } from 'esbuild';
import { openApiSchema } from '../../scripts/generate/custom-resource-definition.ts';
import { generatedFiles, kinds } from '../../scripts/generate/generated-files.ts';
import {
  advertisementReasons,
  allocationReasons,
  poolReasons,
  programmingReasons,
  readAnnotation,
  requestAnnotations,
} from '../../src/api/index.ts';

const root = join(import.meta.dirname, '../..');

describe('generated files', () => {
  test.each([...generatedFiles()])('%s is what the schemas say (else: npm run generate)', (path, text) => {
    expect(readFileSync(join(root, path), 'utf8')).toBe(text);
  });

  test.each(['deploy/crds', 'charts/ovenbird/files/crds', 'docs/reference'])('%s holds nothing else', (folder) => {
    const expected = [...generatedFiles().keys()].filter((path) => path.startsWith(`${folder}/`));
    expect(
      readdirSync(join(root, folder))
        .map((name) => `${folder}/${name}`)
        .sort(),
    ).toEqual(expected.sort());
  });
});

describe('schemas', () => {
  test.each(kinds.map((kind) => [kind.resource.kind, kind] as const))(
    '%s: every field is described and its example is valid',
    (_, kind) => {
      const undescribed: string[] = [];
      const visit = (schema: ReturnType<typeof openApiSchema>, path: string) => {
        for (const [name, field] of Object.entries(schema.properties ?? {})) {
          if (!field.description?.endsWith('.')) undescribed.push(`${path}.${name}`);
          visit(field, `${path}.${name}`);
          if (field.items) visit(field.items, `${path}.${name}[]`);
        }
      };
      visit(openApiSchema(kind.spec), 'spec');
      visit(openApiSchema(kind.status), 'status');
      expect(undescribed).toEqual([]);
      expect(kind.spec.safeParse((kind.example as { spec: unknown }).spec).error).toBeUndefined();
    },
  );
});

test('a running process loads no schema library', async () => {
  for (const entry of ['api', 'config', 'ipam', 'service', 'controller']) {
    const { metafile } = await build({
      entryPoints: [join(root, `src/${entry}/index.ts`)],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'silent',
    });
    const imported = Object.values(metafile.inputs).flatMap((input) => input.imports.map(({ path }) => path));
    expect(imported.filter((path) => path.includes('zod'))).toEqual([]);
  }
});

test('every reason has a sentence, and none is used for two things', () => {
  const tables: Record<string, string>[] = [allocationReasons, programmingReasons, poolReasons, advertisementReasons];
  for (const sentence of tables.flatMap((table) => Object.values(table))) expect(sentence).toMatch(/^[A-Z].*\.$/);
  for (const reason of tables.flatMap((table) => Object.keys(table))) expect(reason).toMatch(/^[A-Z][A-Za-z]+$/);
});

test('of several annotations with one meaning our own counts, then the newer alias', () => {
  const [ours, newer, older] = requestAnnotations.loadBalancerIPs;
  const all = { [older]: '3', [newer]: '2', [ours]: '1' };
  expect(readAnnotation(all, requestAnnotations.loadBalancerIPs)).toEqual({ key: ours, value: '1' });
  expect(readAnnotation({ [older]: '3', [newer]: '2' }, requestAnnotations.loadBalancerIPs)?.value).toBe('2');
  expect(readAnnotation({ [older]: '3' }, requestAnnotations.loadBalancerIPs)?.value).toBe('3');
  expect(readAnnotation({ other: 'x' }, requestAnnotations.loadBalancerIPs)).toBeUndefined();
});
