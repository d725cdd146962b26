/** The thread that calls the PKCS#11 module, synchronously: a batch of requests in, a batch of replies out. */

import { parentPort, workerData } from 'node:worker_threads';
import { Connection } from './connection.ts';
import { loadModule } from './cryptoki.ts';
import { tokenError } from './errors.ts';
import { type BatchReply, failureOf, type Reply, type Request, type WorkerSetup } from './messages.ts';
import { Executor } from './operations.ts';

const port = parentPort!;
const setup = workerData as WorkerSetup;
let connection: Connection | undefined;
let executor: Executor | undefined;

/** Loaded by the first request, so that a module that is not there is an answer and not a dead thread. */
function ready(): Executor {
  connection ??= new Connection(loadModule(setup.module), setup.module, setup.selector, setup.pin, setup.parameters);
  executor ??= new Executor(connection);
  return executor;
}

function answer(request: Request): Reply {
  try {
    return { output: ready().execute(request) };
  } catch (error) {
    return { failure: failureOf(tokenError(error, request.operation)) };
  }
}

port.on('message', (requests: readonly Request[]) => {
  const replies = requests.map(answer);
  port.postMessage({ replies, timings: connection?.takeTimings() ?? [] } satisfies BatchReply);
  if (requests.some((request) => request.operation === 'close')) port.close();
});
