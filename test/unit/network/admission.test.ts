import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { type AdmissionStep, admission, refusal } from '../../../protocol/admission.ts';
import type { Certificate } from '../../../protocol/certificate.ts';
import { PresageError } from '../../../protocol/errors.ts';
import { decode, encode } from '../../../protocol/wire/codec.ts';

const certificate = (name: string) => ({ name }) as Certificate;
const kinds = ({ send }: AdmissionStep) =>
  send.map((frame) => decode(frame, { name: 'f', maxBytes: 4096, schema: v.looseTuple([v.number()]) })[0]);
const side = (role: 'dialler' | 'listener', own: string) =>
  admission(role, Buffer.from(own), (bytes) => certificate(Buffer.from(bytes).toString()));

describe('the admission exchange', () => {
  it('is CERT, CERT, OK, OK; each accepts on the certificate and opens streams only on the OK', () => {
    const dialler = side('dialler', 'a');
    const listener = side('listener', 'b');
    expect(kinds(listener.start())).toEqual([]);
    const hello = dialler.start();
    expect(kinds(hello)).toEqual([0]);
    const second = listener.receive(hello.send[0]!);
    expect([kinds(second), second.accepted?.name, second.confirmed]).toEqual([[0], 'a', undefined]);
    const third = dialler.receive(second.send[0]!);
    expect([kinds(third), third.accepted?.name, third.confirmed]).toEqual([[1], 'b', undefined]);
    const fourth = listener.receive(third.send[0]!);
    expect([kinds(fourth), fourth.accepted, fourth.confirmed]).toEqual([[1], undefined, true]);
    const last = dialler.receive(fourth.send[0]!);
    expect([kinds(last), last.confirmed]).toEqual([[], true]);
  });
  it.each([
    ['an OK first', [encode([1])]],
    ['a second certificate', [encode([0, Buffer.from('x')]), encode([0, Buffer.from('y')])]],
    ['a second OK', [encode([0, Buffer.from('x')]), encode([1]), encode([1])]],
    ['an unknown frame', [encode([9])]],
    ['no frame at all', [Buffer.alloc(0)]],
    ['a certificate that is text', [encode([0, 'x'])]],
  ])('refuses %s', (_what, frames) => {
    const listener = side('listener', 'b');
    expect(() => {
      for (const frame of frames) listener.receive(frame);
    }).toThrow(PresageError);
  });
  it('passes on why the other refused, and why it refuses itself', () => {
    const dialler = side('dialler', 'a');
    expect(() => dialler.receive(refusal('ADMIT_EXPIRED'))).toThrow(/ADMIT_EXPIRED/);
    const strict = admission('listener', Buffer.from('b'), () => {
      throw new PresageError('ADMIT_REVOKED');
    });
    expect(() => strict.receive(encode([0, Buffer.from('x')]))).toThrow(
      expect.objectContaining({ code: 'ADMIT_REVOKED' }),
    );
  });
});
