import { endianness } from 'node:os';

/** Constants of 64-bit Linux, the same with every C library. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_WAITFORONE = 0x10000;
export const MFD_CLOEXEC = 1;

/** Calls of the system that Node does not have. Each gives -1 where it fails; memory is not kept beyond a call. */
export interface SystemCalls {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  close(fd: number): number;
  recvmmsg(fd: number, headers: Uint8Array, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recv(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  /** `offset` holds an int64 and is moved on. */
  sendfile(to: number, from: number, offset: Uint8Array, count: number): number;
  memfd_create(name: string, flags: number): number;
  pwrite(fd: number, bytes: Uint8Array, count: number, offset: number): number;
  socketpair(domain: number, type: number, protocol: number, pair: Uint8Array): number;
  /** Where memory lies; it must outlive whatever is told of it. */
  addressOf(memory: Uint8Array): bigint;
}

/** The system's calls, or nothing where they are not to be had: another system, or the optional package is missing. */
export async function loadSystemCalls(): Promise<SystemCalls | undefined> {
  const fits =
    process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch) && endianness() === 'LE';
  if (!fits) return undefined;
  try {
    const koffi = (await import('koffi')).default;
    const c = koffi.load(null);
    return {
      socket: c.func('int socket(int, int, int)'),
      bind: c.func('int bind(int, const void*, uint32_t)'),
      getsockname: c.func('int getsockname(int, void*, void*)'),
      setsockopt: c.func('int setsockopt(int, int, int, const void*, uint32_t)'),
      close: c.func('int close(int)'),
      recvmmsg: c.func('int recvmmsg(int, void*, uint32_t, int, void*)'),
      sendmmsg: c.func('int sendmmsg(int, void*, uint32_t, int)'),
      send: c.func('int64_t send(int, const void*, size_t, int)'),
      recv: c.func('int64_t recv(int, void*, size_t, int)'),
      sendfile: c.func('int64_t sendfile(int, int, void*, size_t)'),
      memfd_create: c.func('int memfd_create(const char*, uint32_t)'),
      pwrite: c.func('int64_t pwrite(int, const void*, size_t, int64_t)'),
      socketpair: c.func('int socketpair(int, int, int, void*)'),
      addressOf: (memory) => BigInt(koffi.address(memory)),
    };
  } catch {
    return undefined;
  }
}
