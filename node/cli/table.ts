/** Plain aligned text for people; machines read `--json`. */

export type Cell = string | number | boolean | null | undefined;

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
}

/** Columns whose title begins with `>` stand to the right. Control characters in cells are shown, not sent to the terminal. */
export function table(titles: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const columns: Column[] = titles.map((title) => ({
    title: title.replace(/^>/, ''),
    right: title.startsWith('>'),
  }));
  const cells = rows.map((row) => columns.map((_, index) => printable(show(row[index]))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    columns
      .map(({ right }, index) => {
        const text = row[index] ?? '';
        return right ? text.padStart(widths[index] ?? 0) : text.padEnd(widths[index] ?? 0);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...cells.map(line)].join('\n');
}

/** Names and values, the values below each other. */
export function fields(rows: readonly (readonly [name: string, value: Cell])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${printable(show(value))}`.trimEnd()).join('\n');
}

const show = (cell: Cell): string =>
  cell === null || cell === undefined
    ? '-'
    : typeof cell === 'boolean'
      ? cell
        ? 'yes'
        : 'no'
      : String(cell);

/** Keys come from clients; none may steer the operator's terminal. */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });

/** `1.5 MiB`. */
export function bytes(amount: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = amount;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]}`;
}

/** Two significant places below ten, whole numbers above. */
export const decimal = (value: number): string =>
  Math.abs(value) >= 100 || Number.isInteger(value)
    ? String(Math.round(value))
    : value.toFixed(Math.abs(value) < 10 ? 2 : 1);

export const percent = (share: number): string =>
  Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : '-';

/** `2026-11-23 05:30:00Z`; `-` for nothing. */
export const instant = (ms: number | null): string | null =>
  ms === null || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15
    ? null
    : new Date(ms)
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z$/, 'Z');

/** `3 d 4 h`, `12 min`, `35 s`, `120 ms`: the two largest units at most. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}
