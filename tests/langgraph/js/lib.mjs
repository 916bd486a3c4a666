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

export function tell(document) {
  process.stdout.write(JSON.stringify(document));
  // Connections that are kept open for later would keep the process.
  process.exit(0);
}
