// A graph asks, and goes on with `command.resume`.
import { all, client, tell } from "./lib.mjs";

const { threads, runs } = client();
const { thread_id } = await threads.create();
const asked = await all(runs.stream(thread_id, "interrupt", { input: { question: "q" }, streamMode: "updates" }));
const waiting = await threads.get(thread_id);
const rest = await all(runs.stream(thread_id, "interrupt", { command: { resume: "yes" }, streamMode: "values" }));
tell({
  asked: asked.at(-1).data.__interrupt__.map(({ value }) => value),
  status: waiting.status,
  pending: Object.values(waiting.interrupts).flat().map(({ value }) => value),
  last: rest.at(-1).data,
  after: (await threads.get(thread_id)).status,
});
