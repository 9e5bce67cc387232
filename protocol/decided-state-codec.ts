import * as v from 'valibot';
import type { DecidedState, StateMember } from './decided-state.ts';
import { sha256 } from './decided-state.ts';
import type { VectorCell, VectorResource } from './demand-vector.ts';
import { PresageError } from './errors.ts';
import { idBytes, key16FromBytes, type RegionId, type SiteId } from './ids.ts';
import type { Sample, SampledForecast } from './scoring.ts';
import type { PopState } from './summary.ts';
import type { Tuning } from './tuning.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, key16, popId, regionId, rows, text, uint } from './wire/schemas.ts';

/** As large as a snapshot may be on the wire. */
export const STATE_BYTES = 12 << 20;
const ELEMENTS = 8 << 20;
const MEMBERS = 512;
const NAMES = 8_192;
const STATES: readonly PopState[] = ['up', 'drain', 'sick'];
/** Integers of one region's row in the vector. */
const CELL = 5;
const HELD = 1;
const HOLDER = 2;

const hash = v.pipe(
  bytes(32, 32),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const hashBytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const siteId = v.pipe(
  text(64, 1),
  v.transform((id) => id as SiteId),
);
const cap = v.strictTuple([uint(), uint(), uint(15), uint(2)]);
const member = v.strictTuple([
  popId,
  text(63, 1),
  regionId,
  hash,
  uint(),
  uint(),
  uint(),
  uint(),
  uint(),
  uint(),
  uint(),
  v.nullable(cap),
  uint(),
]);
const tuning = v.strictTuple([
  siteId,
  regionId,
  v.strictTuple([uint(), uint(), uint(), uint(), uint()]),
  uint(),
  uint(),
  v.strictTuple([uint(), uint(), uint(), uint()]),
]);
/** What a PoP said, shifted by one so that silence is 0. */
const sampled = v.strictTuple([
  key16,
  siteId,
  uint(),
  v.array(v.strictTuple([regionId, uint()])),
  v.array(uint()),
]);
const sample = v.strictTuple([uint(), uint(), rows(popId, MEMBERS), v.array(sampled)]);
const schema = v.strictTuple([
  v.literal(1),
  v.strictTuple([uint(), uint()]),
  uint(),
  v.strictTuple([uint(), hash, uint(), uint()]),
  v.strictTuple([hash, hash]),
  v.strictTuple([uint(), uint(), uint()]),
  rows(member, MEMBERS),
  v.strictTuple([uint(), v.array(popId)]),
  rows(siteId, NAMES),
  rows(regionId, NAMES),
  v.array(v.unknown()),
  v.strictTuple([uint(), key16]),
  v.array(tuning),
  v.strictTuple([sample, sample]),
]);

/** The canonical bytes of a state: whatever way it came about, equal states encode alike. */
export function encodeState(state: DecidedState): Uint8Array {
  const { rules, charter, clock, banned } = state;
  const siteNames = new Set<SiteId>();
  const regionNames = new Set<RegionId>();
  for (const { site, cells } of state.vector) {
    siteNames.add(site);
    for (const { region } of cells) regionNames.add(region);
  }
  const sites = indexOf(siteNames);
  const regions = indexOf(regionNames);
  return encode([
    1,
    [rules.version, rules.streak],
    state.height,
    [charter.version, hashBytes(charter.hash), charter.epochMs, charter.committee],
    state.seeds.map(hashBytes),
    [clock.at, clock.window, clock.windowMs],
    state.members.map(memberRow),
    [banned.version, banned.pops],
    [...sites.keys()],
    [...regions.keys()],
    state.vector.map(({ key16: key, site, sizeClass, cells }) => [
      idBytes(key),
      sites.get(site)!,
      sizeClass,
      cellRow(cells, regions),
    ]),
    [state.turns.cycle, idBytes(state.turns.from)],
    state.tunings.map(tuningRow),
    state.samples.map(sampleRow),
  ]);
}

/** SHA-256 of the state's bytes, 64 hex digits: what headers carry. */
export const stateHash = (state: DecidedState): string => sha256(encodeState(state));

/** Fails with `WIRE_*`. What it reads was agreed on, so that names and numbers are checked for shape alone. */
export function decodeState(encoded: Uint8Array): DecidedState {
  const spec = { name: 'state', maxBytes: STATE_BYTES, depth: 8, elements: ELEMENTS, schema };
  const fields = decode(encoded, spec);
  const [, rules, height, charter, seeds, clock, members, banned, sites, regions, vector] = fields;
  return {
    rules: { version: rules[0], streak: rules[1] },
    height,
    charter: { version: charter[0], hash: charter[1], epochMs: charter[2], committee: charter[3] },
    seeds,
    clock: { at: clock[0], window: clock[1], windowMs: clock[2] },
    members: members.map(memberFrom),
    banned: { version: banned[0], pops: banned[1] },
    vector: vector.map((row) => resourceFrom(row, sites, regions)),
    turns: { cycle: fields[11][0], from: fields[11][1] },
    tunings: fields[12].map(tuningFrom),
    samples: [sampleFrom(fields[13][0]), sampleFrom(fields[13][1])],
  };
}

/** All cells of a resource in one flat row. */
function cellRow(cells: readonly VectorCell[], regions: ReadonlyMap<RegionId, number>): number[] {
  const row: number[] = [];
  for (const { region, expected, chance, credit, held, holder } of cells) {
    row.push(regions.get(region)!, expected, chance, credit, (held ? HELD : 0) + (holder ? HOLDER : 0));
  }
  return row;
}

/** Names in byte order, each with its place. */
const indexOf = <T extends string>(names: ReadonlySet<T>): Map<T, number> =>
  new Map([...names].sort((a, b) => (a < b ? -1 : 1)).map((name, index) => [name, index]));

const memberRow = (m: StateMember): unknown[] => [
  m.pop,
  m.name,
  m.region,
  hashBytes(m.certificate),
  m.storageCeilingMiB,
  m.fillCeilingKiBps,
  m.notBefore,
  m.expiry,
  m.missed,
  m.weight,
  m.penaltyUntil,
  m.cap === undefined
    ? null
    : [m.cap.storageBudgetMiB, m.cap.fillKiBps, m.cap.load, STATES.indexOf(m.cap.state)],
  m.age,
];

function memberFrom(row: v.InferOutput<typeof member>): StateMember {
  const said = row[11];
  return {
    pop: row[0],
    name: row[1],
    region: row[2],
    certificate: row[3],
    storageCeilingMiB: row[4],
    fillCeilingKiBps: row[5],
    notBefore: row[6],
    expiry: row[7],
    missed: row[8],
    weight: row[9],
    penaltyUntil: row[10],
    cap:
      said === null
        ? undefined
        : {
            storageBudgetMiB: said[0],
            fillKiBps: said[1],
            load: said[2],
            state: STATES[said[3]] ?? 'sick',
          },
    age: row[12],
  };
}

function resourceFrom(row: unknown, sites: readonly SiteId[], regions: readonly RegionId[]): VectorResource {
  const malformed = () => new PresageError('WIRE_SCHEMA', 'state: a resource of the vector');
  if (!Array.isArray(row) || row.length !== 4) throw malformed();
  const [key, site, sizeClass, flat] = row as unknown[];
  if (!(key instanceof Uint8Array) || key.length !== 16 || !Array.isArray(flat)) throw malformed();
  const named = sites[site as number];
  if (named === undefined || !isUint(sizeClass) || flat.length % CELL !== 0) throw malformed();
  const cells: VectorCell[] = [];
  for (let i = 0; i < flat.length; i += CELL) {
    const [index, expected, chance, credit, flags] = [
      flat[i],
      flat[i + 1],
      flat[i + 2],
      flat[i + 3],
      flat[i + 4],
    ];
    const region = regions[index as number];
    if (region === undefined || !isUint(expected) || !isUint(chance) || !isUint(credit) || !isUint(flags)) {
      throw malformed();
    }
    const held = (flags & HELD) !== 0;
    cells.push({ region, expected, chance, credit, held, holder: (flags & HOLDER) !== 0 });
  }
  return { key16: key16FromBytes(key), site: named, sizeClass, cells };
}

const isUint = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function tuningRow({ site, region, parameters: p, replan, accuracy, outcome: o }: Tuning): unknown[] {
  return [
    site,
    region,
    [p.threshold, p.safety, p.targets, p.fillShare, p.wasteTarget],
    replan,
    accuracy,
    [o.usedKiB, o.unusedKiB, o.promisedKiB, o.keptKiB],
  ];
}

function tuningFrom([site, region, p, replan, accuracy, o]: v.InferOutput<typeof tuning>): Tuning {
  return {
    site,
    region,
    parameters: { threshold: p[0], safety: p[1], targets: p[2], fillShare: p[3], wasteTarget: p[4] },
    replan,
    accuracy,
    outcome: { usedKiB: o[0], unusedKiB: o[1], promisedKiB: o[2], keptKiB: o[3] },
  };
}

const sampleRow = ({ window, windowMs, pops, keys }: Sample): unknown[] => [
  window,
  windowMs,
  pops,
  keys.map(({ key16: key, site, sizeClass, agreed, said }) => [
    idBytes(key),
    site,
    sizeClass,
    agreed,
    said.map((value) => value + 1),
  ]),
];

const sampleFrom = ([window, windowMs, pops, keys]: v.InferOutput<typeof sample>): Sample => ({
  window,
  windowMs,
  pops,
  keys: keys.map(
    ([key, site, sizeClass, agreed, said]): SampledForecast => ({
      key16: key,
      site,
      sizeClass,
      agreed,
      said: said.map((value) => value - 1),
    }),
  ),
});
