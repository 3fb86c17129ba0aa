import { stringify } from '../json/json-value.ts';
import type { ColumnValue } from '../value/column-value.ts';
import type { UntypedRow } from '../value/row-types.ts';

/** A row as plain JSON: maps become objects (keys as text), an absent value null. */
export function rowToJson(row: UntypedRow): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, valueToJson(value)]));
}

function valueToJson(value: ColumnValue): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  return value ?? null;
}

/** A value as people read it: `{a=1, b=2}` for maps, `[a, b]` for sets, nothing for an absent one. */
export function valueToText(value: ColumnValue): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return `[${value.map((atom) => atomToText(atom)).join(', ')}]`;
  if (value instanceof Map) {
    return `{${Array.from(value, ([key, item]) => `${atomToText(key)}=${atomToText(item)}`)
      .sort()
      .join(', ')}}`;
  }
  return atomToText(value);
}

function atomToText(atom: unknown): string {
  return typeof atom === 'string' && /[\s",={}[\]]|^$/.test(atom) ? JSON.stringify(atom) : String(atom);
}

/** Rows as an aligned table with a heading, sorted by `_uuid`. */
export function tableText(columns: readonly string[], rows: readonly UntypedRow[]): string {
  const cells = [columns, ...sorted(rows).map((row) => columns.map((column) => valueToText(row[column])))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => (line[i] ?? '').length)));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Rows one below the other, a line for each column, sorted by `_uuid`. */
export function listText(columns: readonly string[], rows: readonly UntypedRow[]): string {
  const width = Math.max(...columns.map((column) => column.length));
  return sorted(rows)
    .map((row) => columns.map((column) => `${column.padEnd(width)} : ${valueToText(row[column])}`.trimEnd()).join('\n'))
    .join('\n\n');
}

/** Rows as JSON, one a line, sorted by `_uuid`, the columns in the order that is given. */
export function jsonLines(table: string, columns: readonly string[], rows: readonly UntypedRow[]): string {
  return sorted(rows)
    .map((row) => {
      const json = rowToJson(row);
      return stringify({ table, row: Object.fromEntries(columns.map((column) => [column, json[column]])) });
    })
    .join('\n');
}

function sorted(rows: readonly UntypedRow[]): readonly UntypedRow[] {
  return rows.toSorted((a, b) => (a._uuid < b._uuid ? -1 : 1));
}
