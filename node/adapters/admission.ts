import type { Connection, Stream } from '@libp2p/interface';
import {
  ADMIT_DEADLINE_MS,
  ADMIT_FRAME_BYTES,
  ADMIT_PROTOCOL,
  ADMIT_WAITING,
  admission,
  refusal,
} from '../../protocol/admission.ts';
import type { Certificate } from '../../protocol/certificate.ts';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';

/** Real ms that a refused peer has for reading why. */
const FAREWELL_MS = 500;

/** How far a connection has come. */
interface Standing {
  readonly connection: Connection;
  /** Set once the peer's certificate has been verified: its streams are taken. */
  certificate?: Certificate;
  /** Set once the peer has accepted us: streams may be opened. */
  ready: boolean;
  exchanging: boolean;
  readonly cancelDeadline: () => void;
}

export interface AdmissionDeps {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Verifies the certificate of the peer at the other end; throws `ADMIT_*`. */
  readonly check: (certificate: Uint8Array, remote: PopId) => Certificate;
  /** A connection over which both sides have accepted each other. */
  readonly ready: (connection: Connection, certificate: Certificate) => void;
  /** Such a connection has gone. */
  readonly lost: (connection: Connection) => void;
}

/** The gate: which connections may carry what. Nothing but `ADMIT_PROTOCOL` runs before a connection is accepted. */
export interface AdmissionGate {
  /** Whether streams that the peer opens may be taken. */
  accepts(connection: Connection): boolean;
  isReady(connection: Connection): boolean;
  /** Handler of `ADMIT_PROTOCOL`. */
  readonly handle: (stream: Stream, connection: Connection) => void;
  opened(connection: Connection): void;
  closed(connection: Connection): void;
  /** Ends all connections of an identity. */
  expel(pop: PopId, error: PresageError): void;
}

export function createAdmission(
  own: { certificate: Uint8Array; self: PopId },
  deps: AdmissionDeps,
): AdmissionGate {
  const { log, metrics, clock } = deps;
  const standings = new Map<string, Standing>();

  const refused = new WeakSet<Connection>();
  const refuse = (connection: Connection, error: PresageError) => {
    if (refused.has(connection)) return;
    refused.add(connection);
    metrics.count('presage_admissions_total', { direction: connection.direction, result: error.code });
    log.warn('peer not admitted', {
      peer: connection.remotePeer.toString(),
      direction: connection.direction,
      code: error.code,
      reason: error.message,
    });
    cut(connection, error);
  };
  const waiting = () => {
    let count = 0;
    for (const { connection, certificate } of standings.values()) {
      if (connection.direction === 'inbound' && certificate === undefined) count += 1;
    }
    return count;
  };

  const exchange = (stream: Stream, standing: Standing, role: 'dialler' | 'listener') => {
    const { connection } = standing;
    standing.exchanging = true;
    const remote = connection.remotePeer.toString() as PopId;
    const machine = admission(role, own.certificate, (bytes) => deps.check(bytes, remote));
    let over = false;
    const fail = (thrown: unknown) => {
      if (over) return;
      over = true;
      const error = coded(thrown, 'ADMIT_CERTIFICATE');
      if (error.code.startsWith('ADMIT_') && stream.writeStatus === 'writable') {
        stream.send(framed(refusal(error.code)));
        clock.after(FAREWELL_MS, () => refuse(connection, error));
      } else refuse(connection, error);
    };
    const step = (next: ReturnType<typeof machine.receive>) => {
      if (next.accepted) standing.certificate = next.accepted;
      for (const frame of next.send) stream.send(framed(frame));
      if (!next.confirmed || standing.certificate === undefined) return;
      over = true;
      standing.cancelDeadline();
      standing.ready = true;
      metrics.count('presage_admissions_total', { direction: connection.direction, result: 'OK' });
      stream.close().catch(() => stream.abort(new PresageError('INTERNAL', 'admission stream not closed')));
      deps.ready(connection, standing.certificate);
    };
    const read = frames((frame) => {
      if (!over) step(machine.receive(frame));
    });
    stream.addEventListener('message', (event) => {
      if (over) return;
      try {
        read(event.data.subarray());
      } catch (error) {
        fail(error);
      }
    });
    const ended = () => fail(new PresageError('ADMIT_TIMEOUT', 'the peer left during admission'));
    stream.addEventListener('close', ended);
    try {
      step(machine.start());
    } catch (error) {
      fail(error);
    }
  };

  return {
    accepts: (connection) => standings.get(connection.id)?.certificate !== undefined,
    isReady: (connection) => standings.get(connection.id)?.ready === true,
    handle(stream, connection) {
      const standing = standings.get(connection.id);
      // One exchange a connection, and only the side that dialled opens it.
      if (!standing || standing.exchanging || connection.direction !== 'inbound') {
        stream.abort(new PresageError('WIRE_SCHEMA', 'admission out of turn'));
        return;
      }
      exchange(stream, standing, 'listener');
    },
    opened(connection) {
      if (connection.status !== 'open') return;
      if (connection.remotePeer.toString() === own.self) {
        cut(connection, new PresageError('ADMIT_IDENTITY', 'connected to itself'));
        return;
      }
      if (connection.direction === 'inbound' && waiting() >= ADMIT_WAITING) {
        refuse(connection, new PresageError('ADMIT_CROWDED'));
        return;
      }
      const cancelDeadline = clock.after(ADMIT_DEADLINE_MS, () => {
        if (connection.status === 'open') refuse(connection, new PresageError('ADMIT_TIMEOUT'));
        // A connection that closed while it was being opened gets no event.
        else standings.delete(connection.id);
      });
      const standing: Standing = { connection, ready: false, exchanging: false, cancelDeadline };
      standings.set(connection.id, standing);
      if (connection.direction === 'inbound') return;
      connection
        .newStream(ADMIT_PROTOCOL, { signal: AbortSignal.timeout(ADMIT_DEADLINE_MS) })
        .then((stream) => exchange(stream, standing, 'dialler'))
        .catch((error: unknown) => {
          if (connection.status !== 'open') return;
          refuse(
            connection,
            new PresageError('ADMIT_TIMEOUT', 'the peer does not speak admission', {}, error),
          );
        });
    },
    closed(connection) {
      const standing = standings.get(connection.id);
      standings.delete(connection.id);
      standing?.cancelDeadline();
      if (standing?.ready) deps.lost(connection);
    },
    expel(pop, error) {
      for (const { connection } of standings.values()) {
        if (connection.remotePeer.toString() === pop) cut(connection, error);
      }
    },
  };
}

/** Ends a connection. libp2p 3.3 throws here when the other side has closed a moment before. */
function cut(connection: Connection, error: PresageError): void {
  try {
    connection.abort(error);
  } catch {
    // It is closed already, which is what was wanted.
  }
}

const LENGTH_BYTES = 2;

function framed(frame: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(LENGTH_BYTES + frame.length);
  out.writeUInt16BE(frame.length, 0);
  out.set(frame, LENGTH_BYTES);
  return out;
}

/** Cuts what arrives into frames, holding at most one. Throws `WIRE_TOO_LARGE`. */
function frames(receive: (frame: Uint8Array) => void): (data: Uint8Array) => void {
  let held = Buffer.alloc(0);
  return (data) => {
    held = Buffer.concat([held, data]);
    while (held.length >= LENGTH_BYTES) {
      const length = held.readUInt16BE(0);
      if (length > ADMIT_FRAME_BYTES)
        throw new PresageError('WIRE_TOO_LARGE', 'an oversized admission frame');
      if (held.length < LENGTH_BYTES + length) break;
      const frame = new Uint8Array(held.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      held = held.subarray(LENGTH_BYTES + length);
      receive(frame);
    }
    if (held.length > LENGTH_BYTES + ADMIT_FRAME_BYTES) {
      throw new PresageError('WIRE_TOO_LARGE', 'too many bytes before admission');
    }
  };
}
