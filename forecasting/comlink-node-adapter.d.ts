/** comlink ships this module without types under its ESM name. */
declare module 'comlink/dist/esm/node-adapter.mjs' {
  import type { Endpoint } from 'comlink';

  /** `port` is a `MessagePort` or a `Worker` of node:worker_threads. */
  export default function nodeEndpoint(port: object): Endpoint;
}
