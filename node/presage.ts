#!/usr/bin/env node
import { EXIT, printError, runCli } from './cli/cli.ts';
import { processIo } from './cli/io.ts';

/** The program: one command line in, an exit code out. What nobody caught is told with code and remedy. */

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
