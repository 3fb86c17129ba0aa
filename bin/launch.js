import { existsSync } from 'node:fs';

/**
 * Runs a program of a library: its source in a checkout (never out of date), what was compiled from it in an installed
 * package.
 *
 * @param {string} room directory of the library whose cli module is the program
 */
export async function launch(room) {
  const [major] = process.versions.node.split('.');
  if (Number(major) < 24) {
    console.error(`${room}: needs Node.js 24 or newer; this is ${process.version} (${process.execPath})`);
    process.exitCode = 1;
    return;
  }
  const source = new URL(`../src/${room}/cli.ts`, import.meta.url);
  const compiled = new URL(`../dist/lib/${room}/cli.js`, import.meta.url);
  await import(existsSync(source) ? source.href : compiled.href);
}
