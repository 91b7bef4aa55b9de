// Asks the service: pixels, judgements and files. A token that it wants is kept in memory alone.
import { getLanguage } from "./words.js";

/** An answer that is a problem (RFC 9457), or the network that gave none. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? "");
    this.code = body.code ?? "";
    this.status = status;
  }
}

let token = "";
let askForToken = async () => "";

/** `ask(refused)` gives the token that somebody types in, "" for none; `refused` says that one was not taken. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

/** The response of a POST, or a GET without `body`. Throws Problem; an aborted `signal` throws its AbortError. */
async function ask(path, { body, accept = "application/json", signal } = {}) {
  for (;;) {
    const headers = { Accept: accept, "Accept-Language": getLanguage() };
    if (token) headers.Authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", body, headers, signal, cache: "no-store" });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Problem({ code: "no_network" }, 0);
    }
    if (response.status !== 401) return response.ok ? response : Promise.reject(await problemOf(response));
    const given = await askForToken(token !== "");
    if (!given) throw await problemOf(response);
    token = given;
  }
}

async function problemOf(response) {
  const body = await response.json().catch(() => ({ code: `http_${response.status}` }));
  return new Problem(body, response.status);
}

const query = (parameters) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

const form = (files) => {
  const data = new FormData();
  files.forEach((file, n) => data.append("files", file, `${n + 1}`)); // a file's name may name a patient
  return data;
};

/** One of the service's own example files. */
export async function example(name) {
  const response = await ask(`docs/${name}`, { accept: "*/*" });
  return new File([await response.blob()], name);
}

/** The pixels of one slice (`kind` "slice") or of a series: {head, pixels}; `tell(done, of)` as slices come. */
export async function readPixels(kind, files, parameters, tell, signal) {
  const path = kind === "slice" ? "v1/predict/pixels" : "v1/studies/pixels";
  const body = form(files);
  const response = await ask(path + query(kind === "slice" ? parameters : {}), { body, accept: "*/*", signal });
  return unpacked(response.body.getReader(), tell);
}

async function unpacked(reader, tell) {
  let head, bytes, size = 0;
  let first = new Uint8Array(0);
  const take = (piece) => {
    if (size + piece.length > bytes.length) throw new Problem({ code: "cut_short" }, 0);
    bytes.set(piece, size);
    size += piece.length;
    tell(Math.floor(size / (2 * head.rows * head.columns)), head.slices);
  };
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Problem({ code: "no_network" }, 0);
    });
    if (done) break;
    if (head) {
      take(value);
      continue;
    }
    const joined = new Uint8Array(first.length + value.length);
    joined.set(first);
    joined.set(value, first.length);
    first = joined;
    const end = first.indexOf(10);
    if (end < 0) continue;
    head = JSON.parse(new TextDecoder().decode(first.subarray(0, end)));
    bytes = new Uint8Array(2 * head.slices * head.rows * head.columns);
    take(first.subarray(end + 1));
  }
  if (!head || size !== bytes.length) throw new Problem({ code: "cut_short" }, 0);
  return { head, pixels: new Int16Array(bytes.buffer) };
}

/** The judgement of one slice: of the nodule at `parameters.roi`, or of all that is found. */
export async function judgeSlice(file, parameters, signal) {
  const path = "v1/predict" + query({ ...parameters, explain: "true" });
  return (await ask(path, { body: form([file]), signal })).json();
}

/** The judgement of a series; `tell(stage, done, of)` while it is at work. To abort stops the service's work. */
export async function judgeSeries(files, parameters, tell, signal) {
  const path = "v1/studies" + query({ ...parameters, explain: "true" });
  const response = await ask(path, { body: form(files), accept: "application/x-ndjson", signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Problem({ code: "no_network" }, 0);
    });
    if (done) throw new Problem({ code: "cut_short" }, 0);
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const { event, ...content } = JSON.parse(line);
      if (event === "result") return content;
      if (event === "problem") throw new Problem(content, content.status);
      tell(content.stage, content.done, content.of);
    }
  }
}

/** The same judgement in another format, as [{name, blob}]; DICOM objects come one by one. */
export async function inFormat(kind, files, parameters, accept, signal) {
  const path = kind === "slice" ? "v1/predict" : "v1/studies";
  const response = await ask(path + query(parameters), { body: form(files), accept, signal });
  const type = response.headers.get("content-type") ?? "";
  const content = new Uint8Array(await response.arrayBuffer());
  if (type.startsWith("multipart/related")) return parts(content, type);
  return [{ name: type.includes("fhir") ? "lungscope-fhir.json" : "lungscope.png", blob: new Blob([content], { type }) }];
}

// PS3.4 B.5: the storage classes of the objects that the service writes, and what to call their files.
const CLASSES = [
  ["1.2.840.10008.5.1.4.1.1.88.", "report-sr"],
  ["1.2.840.10008.5.1.4.1.1.66.4", "outlines-seg"],
  ["1.2.840.10008.5.1.4.1.1.30", "evidence-map"],
  ["1.2.840.10008.5.1.4.1.1.7", "picture"],
];

function parts(content, type) {
  const boundary = /boundary="?([^";]+)/.exec(type)[1];
  const text = latin1(content); // one character a byte: places in it are places in the content
  const files = [];
  for (let at = text.indexOf(`--${boundary}`); at >= 0; ) {
    const start = text.indexOf("\r\n\r\n", at) + 4;
    const end = text.indexOf(`\r\n--${boundary}`, start);
    if (start < 4 || end < 0) break;
    const head = text.slice(start, start + 1024);
    const name = CLASSES.find(([uid]) => head.includes(uid))?.[1] ?? "object";
    const same = files.filter((each) => each.name.startsWith(`lungscope-${name}`)).length;
    const number = same ? `-${same + 1}` : "";
    files.push({ name: `lungscope-${name}${number}.dcm`, blob: new Blob([content.subarray(start, end)], { type: "application/dicom" }) });
    at = end + 2;
  }
  return files;
}

/** Bytes as text of as many characters. */
export function latin1(bytes) {
  const texts = [];
  for (let at = 0; at < bytes.length; at += 32768) texts.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
  return texts.join("");
}
