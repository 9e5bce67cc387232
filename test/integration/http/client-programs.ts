import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Agent } from 'undici';

const run = promisify(execFile);
/** Longest that one request may take, on a machine that has much else to do. */
const PATIENCE_S = 60;

export interface Answer {
  readonly status: number;
  /** Version as the client names it. */
  readonly version: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
  /** Interim responses that came before. */
  readonly interim: readonly { readonly status: number; readonly fields: Readonly<Record<string, string>> }[];
}

/** One client program in one version of HTTP. */
export interface ClientProgram {
  readonly name: string;
  /** What has to be installed for it. */
  readonly program: string | undefined;
  readonly tls: boolean;
  /** It tells nothing of interim responses. */
  readonly deaf: boolean;
  get(url: string, fields: Readonly<Record<string, string>>): Promise<Answer>;
}

export const installed = (program: string): Promise<boolean> =>
  run('which', [program]).then(
    () => true,
    () => false,
  );

const given = (fields: Readonly<Record<string, string>>): string[] =>
  Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);

/** `authority` is a file with the certificate that the edge shows. */
export function clientPrograms(authority: string, ca: string): ClientProgram[] {
  const curl = (name: string, tls: boolean, ...options: string[]): ClientProgram => ({
    ...{ name, program: 'curl', tls, deaf: false },
    get: async (url, fields) => {
      const args = [
        '-sS',
        '-i',
        '-m',
        `${PATIENCE_S}`,
        '--cacert',
        authority,
        ...options,
        ...given(fields),
        url,
      ];
      return curlAnswer((await run('curl', args)).stdout);
    },
  });
  const nghttp: ClientProgram = {
    ...{ name: 'nghttp, HTTP/2', program: 'nghttp', tls: true, deaf: false },
    get: async (url, fields) => {
      const args = ['-v', '-n', `--timeout=${PATIENCE_S}`, ...given(fields), url];
      const { stdout: log } = await run('nghttp', args);
      // Its log names no body: that is asked for once more.
      const { stdout: body } = await run('nghttp', args.slice(2));
      return { ...nghttpAnswer(log), body };
    },
  };
  return [
    curl('curl, HTTP/1.1', false, '--http1.1'),
    curl('curl, HTTP/1.1 over TLS', true, '--http1.1'),
    curl('curl, HTTP/2', true, '--http2'),
    nghttp,
    undici('undici, HTTP/1.1', false, ca),
    undici('undici, HTTP/2', true, ca),
  ];
}

function curlAnswer(output: string): Answer {
  const interim: { status: number; fields: Record<string, string> }[] = [];
  for (let rest = output; ; ) {
    const end = rest.indexOf('\r\n\r\n');
    const [start = '', ...lines] = rest.slice(0, end).split('\r\n');
    const [version = '', code] = start.split(' ');
    const head = { status: Number(code), fields: fieldsOf(lines) };
    rest = rest.slice(end + 4);
    if (head.status >= 200) return { ...head, version, body: rest, interim };
    interim.push(head);
  }
}

function fieldsOf(lines: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':', 1);
    fields[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return fields;
}

function nghttpAnswer(log: string): Omit<Answer, 'body'> {
  const heads: { status: number; fields: Record<string, string> }[] = [];
  for (const [, name = '', value = ''] of log.matchAll(/recv \(stream_id=\d+\) (:?[^:\n]+): (.*)/g)) {
    if (name === ':status') heads.push({ status: Number(value), fields: {} });
    else {
      const head = heads.at(-1);
      if (head) head.fields[name] = value.trim();
    }
  }
  const last = heads.pop();
  if (!last) throw new Error(`no answer: ${log}`);
  return { ...last, version: /negotiated protocol: (\w+)/.exec(log)?.[1] ?? '', interim: heads };
}

function undici(name: string, allowH2: boolean, ca: string): ClientProgram {
  return {
    ...{ name, program: undefined, tls: allowH2, deaf: allowH2 },
    get: async (url, fields) => {
      const agent = new Agent({ allowH2, connect: { ca } });
      const interim: { status: number; fields: Record<string, string> }[] = [];
      try {
        const { origin, pathname } = new URL(url);
        const answer = await agent.request({
          ...{ origin, path: pathname, method: 'GET', headers: fields },
          onInfo: ({ statusCode, headers }) =>
            void interim.push({ status: statusCode, fields: headers as Record<string, string> }),
        });
        const received = Object.entries(answer.headers).map(([key, value]) => [key, String(value)]);
        return {
          ...{ status: answer.statusCode, version: '', interim },
          fields: Object.fromEntries(received),
          body: await answer.body.text(),
        };
      } finally {
        await agent.close();
      }
    },
  };
}
