// What React's `useStream` asks of a server, in its order: a thread, its history, a run that goes on without its reader,
// and after a reload the run that is still going.
import { all, client, tell } from "./lib.mjs";

const { threads, runs } = client();
const { thread_id } = await threads.create({ metadata: { app: "chat" } });
const before = await threads.getHistory(thread_id, { limit: 10 });

let created;
const leaving = new AbortController();
const stream = runs.stream(thread_id, "steps", {
  input: { sleep_s: 0.1 },
  metadata: { tab: 1 },
  streamMode: ["values", "updates"],
  streamResumable: true,
  onDisconnect: "continue",
  signal: leaving.signal,
  onRunCreated: (run) => (created = run),
});
let lastEventId;
try {
  for await (const event of stream) {
    lastEventId = event.id;
    if (event.event === "updates") leaving.abort();
  }
} catch (error) {
  if (!leaving.signal.aborted) throw error;
}

const [going] = await runs.list(thread_id, { limit: 1, status: "running" });
const rest = await all(
  runs.joinStream(thread_id, going.run_id, { lastEventId, streamMode: ["values", "updates"] }),
);
const history = await threads.getHistory(thread_id, { limit: 4 });
tell({
  before,
  same: going.run_id === created.run_id && created.thread_id === thread_id,
  missed: rest.filter(({ event }) => event === "updates").map(({ data }) => Object.keys(data)[0]),
  history: history.map(({ values }) => values.count),
  values: (await threads.getState(thread_id)).values.log.length,
});
