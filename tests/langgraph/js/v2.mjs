// Protocol v2, over server-sent events or a websocket: `node v2.mjs sse|websocket`.
import { Client } from "langgraph-sdk-v2";
import { all, apiKey, apiUrl, HELLO, tell } from "./lib.mjs";

const transport = process.argv[2];
// A websocket of a browser has no headers: the key is in its subprotocols.
const overSocket = transport === "websocket";
const webSocketFactory = (url) => new WebSocket(url, ["agent-server.v1", `bearer.${apiKey}`]);
const client = new Client({ apiUrl, apiKey: overSocket ? null : apiKey });
const open = (assistantId) =>
  client.threads.stream({ assistantId, transport, ...(overSocket ? { webSocketFactory } : {}) });

const react = open("react");
const texts = (async () => {
  const seen = [];
  for await (const message of react.messages) seen.push(await message.text);
  return seen;
})();
const calls = (async () => {
  // Each is given twice: when it begins, and when it has ended.
  const seen = new Map();
  for await (const call of react.toolCalls) seen.set(call.id, [call.name, call.input, await call.output]);
  return [...seen.values()];
})();
const { run_id } = await react.run.start({ input: HELLO });
const output = await react.output;
const heard = { texts: await texts, calls: await calls };
await react.close();

const asking = open("interrupt");
const lifecycle = await asking.subscribe({ channels: ["lifecycle", "input"] });
await asking.run.start({ input: { question: "q" } });
const phases = [];
let asked;
for await (const event of lifecycle) {
  phases.push(event.params.data.event ?? event.method);
  if (event.method === "input.requested") asked = event.params;
  if (phases.at(-1) === "interrupted") break;
}
const rest = await asking.subscribe({ channels: ["lifecycle", "values"] });
await asking.input.respond({
  namespace: asked.namespace,
  interrupt_id: asked.data.interrupt_id,
  response: "yes",
});
let decided;
for await (const event of rest) {
  if (event.method === "values") decided = event.params.data;
  if (event.params.data.event === "completed") break;
}
await asking.close();

tell({
  run: typeof run_id,
  last: output.messages.at(-1).content,
  ...heard,
  phases,
  asked: asked.data.payload,
  decided,
});
