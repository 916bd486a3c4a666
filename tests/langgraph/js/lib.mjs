// What every script begins with: where the server is, and how a script tells what it has seen.
import { Client } from "@langchain/langgraph-sdk";

export const apiUrl = process.env.SERVER_URL;
export const apiKey = process.env.SERVER_KEY;
export const HELLO = { messages: [{ role: "user", content: "Hello" }] };

export const client = (options = {}) => new Client({ apiUrl, apiKey, ...options });

export async function all(stream) {
  const seen = [];
  for await (const item of stream) seen.push(item);
  return seen;
}

export const names = (events) => [...new Set(events.map(({ event }) => event.split("|")[0]))];

// A `fetch` whose first answer to such a request breaks off after so many bytes.
export function breakOnce(isIt, bytes) {
  let times = 0;
  const fetchOnce = async (url, init) => {
    const response = await fetch(url, init);
    if (!isIt(url, init) || times++) return response;
    const reader = response.body.getReader();
    let left = bytes;
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
  return { fetch: fetchOnce, times: () => times };
}

export function tell(document) {
  process.stdout.write(JSON.stringify(document));
  // Connections that are kept open for later would keep the process.
  process.exit(0);
}
