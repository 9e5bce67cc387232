import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'undici';
import { expect } from 'vitest';
import type { EdgeOptions } from '../../../../node/http/context.ts';
import { key16Of, type ResourceKey } from '../../../../protocol/ids.ts';
import { type EdgeUnderTest, startEdge } from '../../../edge-under-test.ts';
import { type OriginUnderTest, startOrigin } from '../origin.ts';

export type Fields = Readonly<Record<string, string | string[]>>;

/** An answer of the origin. `'cut'` is a connection that ends without one. */
export type Given = { readonly status?: number; readonly fields?: Fields; readonly body?: string } | 'cut';

export interface Heard {
  readonly status: number;
  readonly fields: IncomingHttpHeaders;
  readonly text: string;
  /** What the origin was sent for it, if it was asked at all. */
  readonly asked: IncomingHttpHeaders | undefined;
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'PATCH';

/** A client that talks through a real edge to an origin whose answers the test gives, each resource by itself. */
export class Conversation {
  readonly under: EdgeUnderTest;
  readonly #origin: OriginUnderTest;
  readonly #given: Map<string, Given[]>;
  #paths = 0;

  private constructor(under: EdgeUnderTest, origin: OriginUnderTest, given: Map<string, Given[]>) {
    this.under = under;
    this.#origin = origin;
    this.#given = given;
  }

  static async start(options: Partial<EdgeOptions> = {}): Promise<Conversation> {
    const given = new Map<string, Given[]>();
    const origin = await startOrigin((message, response) => {
      const answers = given.get(message.url ?? '') ?? [];
      const answer = (answers.length > 1 ? answers.shift() : answers[0]) ?? { status: 404 };
      if (answer === 'cut') return void response.destroy();
      const { status = 200, fields = {}, body = 'body' } = answer;
      if (fields.date === undefined) response.sendDate = true;
      response.writeHead(status, fields as Record<string, string>);
      response.end(status === 204 || status === 304 || message.method === 'HEAD' ? undefined : body);
    });
    return new Conversation(await startEdge({ origin: origin.url, options }), origin, given);
  }

  /** A path that was not asked for yet. */
  path(): string {
    this.#paths += 1;
    return `/${this.#paths}`;
  }

  /** What the origin answers for a path, one after the other; the last stays. */
  give(path: string, ...answers: Given[]): void {
    this.#given.set(path, answers);
  }

  async ask(path: string, headers: Fields = {}, method: Method = 'GET'): Promise<Heard> {
    const before = this.#origin.seen.length;
    const body = method === 'GET' || method === 'HEAD' || method === 'DELETE' ? null : 'sent';
    const answer = await request(this.under.url + path, { method, headers: headers as never, body });
    const text = await answer.body.text();
    const asked = this.#origin.seen.slice(before).find(({ url }) => url === path)?.headers;
    return { status: answer.statusCode, fields: answer.headers, text, asked };
  }

  held(path: string) {
    const key = `127.0.0.1:${this.under.port}${path}` as ResourceKey;
    return this.under.index.get(key16Of(key, this.under.site.secret));
  }

  /** Asks once, waits until the answer is stored if it is to be, and lets time pass. */
  async first(path: string, given: Given, seconds = 0, headers: Fields = {}): Promise<Heard> {
    this.give(path, given);
    const heard = await this.ask(path, headers);
    if (/; stored/.test(String(heard.fields['cache-status'])))
      await expect.poll(() => this.held(path).length, { interval: 5 }).toBeGreaterThan(0);
    this.later(seconds);
    return heard;
  }

  later(seconds: number): void {
    this.under.demand.push(seconds * 1000);
  }

  async close(): Promise<void> {
    await this.under.close();
    await this.#origin.close();
  }
}

/** An HTTP date so many seconds from now. */
export const date = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString();
