// A stream of protocol v2 breaks off: the SDK comes back by itself, and knows by their ids which events it has.
import { Client } from "langgraph-sdk-v2";
import { apiKey, apiUrl, breakOnce, tell } from "./lib.mjs";

const breaking = breakOnce((url) => String(url).endsWith("/stream/events"), 900);
const client = new Client({ apiUrl, apiKey });
const thread = client.threads.stream({
  assistantId: "steps",
  transport: "sse",
  fetch: breaking.fetch,
  reconnectDelayMs: () => 10,
});
await thread.run.start({ input: { sleep_s: 0.05 } });
const counts = [];
for await (const values of thread.values) counts.push(values.count ?? 0);
const output = await thread.output;

// Another run of the same thread. Who subscribes hears what was, from a stream of its own beside the one that is open.
await thread.run.start({ input: {} });
const lifecycle = await thread.subscribe({ channels: ["lifecycle"] });
const second = [];
for await (const event of lifecycle) {
  second.push(event.params.data.event);
  if (second.filter((phase) => phase === "completed").length === 2) break;
}
tell({ broken: breaking.times() > 0, counts, output: output.log.length, second: second.sort() });
