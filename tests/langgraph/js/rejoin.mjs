// A resumable run is heard again from any of its events on; a connection that breaks is taken up by the SDK itself.
import { isDeepStrictEqual } from "node:util";
import { all, client, HELLO, tell } from "./lib.mjs";

const { threads, runs } = client();
const { thread_id } = await threads.create();
let run;
const payload = { input: HELLO, streamMode: ["updates", "messages-tuple"], streamResumable: true };
const first = await all(runs.stream(thread_id, "react", { ...payload, onRunCreated: (created) => (run = created) }));
const again = [];
for (const place of [0, Math.floor(first.length / 2), first.length - 2]) {
  const rest = await all(runs.joinStream(thread_id, run.run_id, { lastEventId: first[place].id }));
  again.push(isDeepStrictEqual(rest, first.slice(place + 1)));
}
const whole = await all(runs.joinStream(thread_id, run.run_id, { lastEventId: "-1" }));

// The connection ends in the middle of an event, once.
let broken = 0;
const breaking = async (url, init) => {
  const response = await fetch(url, init);
  if (init?.method !== "POST" || !String(url).endsWith("/runs/stream") || broken++) return response;
  const reader = response.body.getReader();
  let left = 600;
  const body = new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value.slice(0, left));
      left -= value.length;
      if (left <= 0) controller.error(new TypeError("terminated"));
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
};
const other = await threads.create();
const unlucky = client({ callerOptions: { fetch: breaking } });
const taken = await all(
  unlucky.runs.stream(other.thread_id, "steps", {
    input: { sleep_s: 0.05 },
    streamMode: "updates",
    streamResumable: true,
    onDisconnect: "continue",
  }),
);
tell({
  ids: new Set(first.map(({ id }) => id)).size === first.length,
  again,
  whole: isDeepStrictEqual(whole, first),
  broken: broken > 0,
  taken: taken.filter(({ event }) => event === "updates").map(({ data }) => Object.keys(data)[0]),
});
