// Runs jobs that do nothing through graphile-worker and prints what it took, as JSON.
// Use: peer.mjs DATABASE-URL single|batched JOBS
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

const [url, mode, count] = process.argv.slice(2);
const jobs = Number(count);
// `single` asks the database for every job; `batched` fetches many ahead and completes many at a time, its fastest way.
const worker = {
  single: { concurrentJobs: 16 },
  batched: {
    concurrentJobs: 64,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
}[mode];
const quiet = { error: console.error, warn: console.error, info() {}, debug() {} };
const logger = new Logger(() => (level, message) => quiet[level]?.(message));

const utils = await makeWorkerUtils({ connectionString: url, preset: { worker: { logger } } });
await utils.migrate();
await utils.release();

const pool = new pg.Pool({ connectionString: url, max: 32 });
// The server goes away at the end.
pool.on("error", () => {});
pool.on("connect", (client) => client.on("error", () => {}));
const add = `select graphile_worker.add_job('nothing', json_build_object('number', number))
  from generate_series(1, $1::int) as number`;
await pool.query(add, [jobs]);
await pool.query("analyze");

let done = 0;
let begun;
let finished;
const all = new Promise((resolve) => (finished = resolve));
const runner = await run({
  pgPool: pool,
  preset: { worker: { ...worker, logger, pollInterval: 100 } },
  noHandleSignals: true,
  taskList: {
    nothing() {
      begun ??= process.hrtime.bigint();
      done += 1;
      if (done === jobs) finished();
    },
  },
});
await all;
// What was completed in batches is written before the runner stops, which belongs to the work.
await runner.stop();
const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
const left = await pool.query("select count(*)::int as count from graphile_worker.jobs");
await pool.end();
console.log(JSON.stringify({ mode, jobs, seconds, left: left.rows[0].count }));
