import type { Daemon } from './compose.ts';

/** What is missing now, in words with the remedy. */
export function lacksOf({ identity, operator, peers, store, capacity, config }: Daemon): string[] {
  const lacks: string[] = [];
  if (!operator.founders.origin()) {
    lacks.push('no list of founders, so that nothing is agreed on: sign one with `presage keys founders`');
  }
  if (operator.founders.disputed)
    lacks.push(
      'a peer has another list of founders: give all PoPs the same, or none to those that came later',
    );
  if (operator.charters.beatDiffers)
    lacks.push('the charter has another epoch or horizon than this PoP runs with: start it anew');
  const lacking = operator.charters.lacking();
  if (lacking !== undefined)
    lacks.push(`version ${lacking} of the charter, which was decided: no peer has given it yet`);
  if (operator.charters.current().sites.length === 0)
    lacks.push('no site: start with --origin URL, or give a charter');
  if (identity.membership && config.p2p.bootstrap.length > 0 && peers.connected().length === 0) {
    lacks.push('no peer is connected: check p2p.bootstrap and the path to it');
  }
  if (identity.membership && !store.ledger.reconciled)
    lacks.push('purges are not reconciled with any peer yet');
  if (capacity.report().storageFreeMiB === 0) lacks.push('no storage is free: raise storage.budget');
  return lacks;
}
