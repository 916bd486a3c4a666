// A resumable run is heard again from any of its events on; a connection that breaks is taken up by the SDK itself.
import { isDeepStrictEqual } from "node:util";
import { all, breakOnce, client, HELLO, tell } from "./lib.mjs";

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
const breaking = breakOnce((url, init) => init?.method === "POST" && String(url).endsWith("/runs/stream"), 600);
const other = await threads.create();
const unlucky = client({ callerOptions: { fetch: breaking.fetch } });
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
  broken: breaking.times() > 0,
  taken: taken.filter(({ event }) => event === "updates").map(({ data }) => Object.keys(data)[0]),
});
