// Every mode by itself, and all of them with subgraphs.
import { all, client, HELLO, names, tell } from "./lib.mjs";

const GRAPHS = {
  values: ["react", HELLO],
  updates: ["react", HELLO],
  messages: ["react", HELLO],
  "messages-tuple": ["react", HELLO],
  events: ["react", HELLO],
  tasks: ["steps", {}],
  checkpoints: ["steps", {}],
  debug: ["steps", {}],
  custom: ["steps", {}],
};

const { threads, runs } = client();
const told = Object.entries(GRAPHS).map(async ([streamMode, [graph, input]]) => {
  const { thread_id } = await threads.create();
  const events = await all(runs.stream(thread_id, graph, { input, streamMode }));
  return [streamMode, names(events)];
});
const nested = all(
  runs.stream(null, "nested", { input: { text: "a" }, streamMode: ["updates", "values"], streamSubgraphs: true }),
);
const failed = all(runs.stream(null, "steps", { input: { fail_at: 2 }, streamMode: "values" }));
tell({
  modes: Object.fromEntries(await Promise.all(told)),
  subgraphs: (await nested).some(({ event }) => event.startsWith("updates|child:")),
  error: (await failed).at(-1),
});
