import type { Fields } from './caching/fields.ts';

/** Fields that would let other networks' caches keep what Cache-Control forbids them. */
const TARGETED = /^(?:.+-)?cache-control$|^surrogate-control$/;

/**
 * Fields of an answer of a private site as clients get them: whoever caches for more than one client must not keep it,
 * since it would be handed out without being asked for credentials (RFC 9111 §5.2.2.7). The origin's word to us stands
 * in the store unchanged.
 */
export function guarded(fields: Fields): Fields {
  const kept = fields.filter(([name]) => name === 'cache-control' || !TARGETED.test(name));
  const control = kept.filter(([name]) => name === 'cache-control').map(([, value]) => value);
  const rest = kept.filter(([name]) => name !== 'cache-control');
  return [
    ...rest,
    ['cache-control', [...control.filter((value) => value.trim() !== ''), 'private'].join(', ')],
  ];
}
