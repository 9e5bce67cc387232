import { PresageError } from '../../protocol/errors.ts';
import { rpcClient } from '../rpc/client.ts';
import { openToken } from '../rpc/guard.ts';
import type { CommandIo } from './io.ts';
import { type DaemonOptions, dataDirOf } from './remote.ts';

/**
 * The link to the dashboard of a running daemon. The token stands in the fragment, which a browser sends to nobody.
 * Fails with `RPC_UNREACHABLE` if no daemon runs, and with `CONFIG_INVALID` if it has no loopback port.
 */
export async function dashboardLink(options: DaemonOptions, io: CommandIo): Promise<string> {
  const dataDir = dataDirOf(options, io);
  const { addresses } = await rpcClient(dataDir).call('status', {});
  const url = addresses.rpc.find((address) => address.startsWith('http://'));
  if (url === undefined) {
    throw new PresageError(
      'CONFIG_INVALID',
      'rpc.listen is not set: start the daemon with --rpc 127.0.0.1:9090',
      { key: 'rpc.listen' },
    );
  }
  return `${url}/#token=${await openToken(dataDir)}`;
}
