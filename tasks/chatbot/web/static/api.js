// Requests to the server. The token, where one is needed, goes into a header: a cookie would be sent for other sites' pages too.
const TOKEN = "migaki.token";

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const token = () => localStorage.getItem(TOKEN) ?? "";

export function setToken(value) {
  if (value) localStorage.setItem(TOKEN, value);
  else localStorage.removeItem(TOKEN);
}

async function send(method, path, body, signal) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "offline", "");
  }
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({ error: { code: "http_error", message: `HTTP ${response.status}` } }));
    throw new ApiError(response.status, error.code, error.message);
  }
  return response;
}

export async function call(method, path, body) {
  const response = await send(method, path, body);
  return response.status === 204 ? null : response.json();
}

/** The events of an answer, as [name, data]. Throws ApiError when it ends without `ended`. */
export async function* ask(question, conversation, generation, signal) {
  const response = await send("POST", "api/chat", { question, conversation, generation }, signal);
  for await (const [name, data] of events(response.body)) {
    if (name === "error") throw new ApiError(200, data.code, data.message);
    yield [name, data];
    if (name === "ended") return;
  }
  throw new ApiError(0, "broken", "");
}

/** Server-sent events of a byte stream (https://html.spec.whatwg.org/multipage/server-sent-events.html), comments left out. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    held += value;
    const blocks = held.split(/\r?\n\r?\n/);
    held = blocks.pop();
    for (const block of blocks) {
      const fields = { event: "message", data: "" };
      for (const line of block.split(/\r?\n/)) {
        const colon = line.indexOf(":");
        if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      }
      if (fields.data) yield [fields.event, JSON.parse(fields.data)];
    }
  }
}
