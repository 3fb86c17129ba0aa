import { stringify } from 'yaml';
import { ipAddressPoolSchema } from '../../src/api/ip-address-pool.ts';
import type { KindSchema } from '../../src/api/kind-schema.ts';
import { l2AdvertisementSchema } from '../../src/api/l2-advertisement.ts';
import { apiGroup } from '../../src/api/names.ts';
import { customResourceDefinition } from './custom-resource-definition.ts';
import { commandsPage, reasonsPage, resourcePage, servicePage } from './reference-pages.ts';

/** Every kind there is, in the order of the documentation. */
export const kinds: readonly KindSchema[] = [ipAddressPoolSchema, l2AdvertisementSchema];

const notice = 'Made by `npm run generate` from src/api; do not edit.';

/** Path (from the project root) and text of every generated file. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const kind of kinds) {
    const yaml = `# ${notice}\n${stringify(customResourceDefinition(kind), { lineWidth: 0 })}`;
    const name = `${apiGroup}_${kind.resource.plural}.yaml`;
    files.set(`deploy/crds/${name}`, yaml);
    files.set(`charts/ovenbird/files/crds/${name}`, yaml);
    files.set(`docs/reference/${kind.resource.singular}.md`, `<!-- ${notice} -->\n\n${resourcePage(kind)}`);
  }
  files.set('docs/reference/service.md', `<!-- ${notice} -->\n\n${servicePage()}`);
  files.set('docs/reference/reasons.md', `<!-- ${notice} -->\n\n${reasonsPage()}`);
  files.set('docs/reference/cli.md', `<!-- ${notice.replace('src/api', 'src')} -->\n\n${commandsPage()}`);
  const resources = kinds.map((kind) => `  - ${apiGroup}_${kind.resource.plural}.yaml`).join('\n');
  files.set(
    'deploy/crds/kustomization.yaml',
    `# ${notice}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n${resources}\n`,
  );
  return files;
}
