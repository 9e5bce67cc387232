#!/usr/bin/env node
import { enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * The program: one command line in, an exit code out. What nobody caught is told with code and remedy.
 *
 * Run from its sources, it keeps them compiled below node_modules: without, each start would load the compiler that
 * strips the types, which costs a fifth of a second and some 20 MB. The directory is the package's own, not a
 * shared one, so that nobody else can plant code there.
 */
if (import.meta.url.endsWith('.ts') && process.env.NODE_COMPILE_CACHE === undefined) {
  const directory = fileURLToPath(new URL('../node_modules/.cache/presage', import.meta.url));
  enableCompileCache(directory);
  // Worker threads and child processes look here: a worker takes 21 MB in place of 55.
  process.env.NODE_COMPILE_CACHE = directory;
}
/** A daemon does not live to its regular end if it is killed; what it compiled is kept once all is loaded. */
const FLUSH_MS = 5000;
setTimeout(flushCompileCache, FLUSH_MS).unref();

const [{ EXIT, printError, runCli }, { processIo }] = await Promise.all([
  import('./cli/cli.ts'),
  import('./cli/io.ts'),
]);
const io = processIo();

// `presage replicas | head` ends when head has seen enough, and that is no error; a daemon serves on unread.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (process.argv[2] !== 'start') process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.failed);
  });
}

const fatal = (error: unknown) => {
  printError(error, io, process.argv.includes('--json'));
  process.exit(EXIT.failed);
};
process.on('uncaughtException', fatal);
process.on('unhandledRejection', fatal);

process.exitCode = await runCli(process.argv.slice(2), io);
