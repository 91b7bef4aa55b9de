// What somebody drops or chooses, as files; and the file that a slice of a series came from.
import { latin1 } from "./service.js";

const HEAD_BYTES = 4096; // the file meta information (PS3.10 7.1) names the instance

/** All files below what was dropped; folders are walked. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return files;
}

async function walk(entry, files) {
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  // It gives a hundred at a time, then none.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, files);
  }
}

/** Whether the files are to be sent as a series: several, or a zip. */
export async function isSeries(files) {
  return files.length > 1 || (await isZip(files[0]));
}

const isZip = async (file) => latin1(new Uint8Array(await file.slice(0, 4).arrayBuffer())) === "PK\x03\x04";

/** Finds the file of an instance among those of a series, zip archives opened. */
export class SourceFiles {
  #files;
  #opened;

  constructor(files) {
    this.#files = files;
  }

  /** The file with this SOP Instance UID, or null. */
  async of(uid) {
    if (!uid) return this.#files.length === 1 ? this.#files[0] : null;
    this.#opened ??= opened(this.#files);
    for (const { head, content } of await this.#opened) {
      // Padded by a NUL where it is odd (PS3.5 6.2): 1.2.3 must not be found in 1.2.34.
      const at = head.indexOf(uid);
      if (at >= 0 && !/[0-9.]/.test(head[at + uid.length] ?? "")) return content();
    }
    return null;
  }
}

async function opened(files) {
  const members = [];
  for (const file of files) {
    if (await isZip(file)) members.push(...(await membersOf(file)));
    else members.push({ head: await headOf(file), content: async () => file });
  }
  return members;
}

const headOf = async (blob) => latin1(new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer()));

// APPNOTE 4.3.12 and 4.3.16: the central directory, and where it is said to be.
const END = 0x06054b50, MEMBER = 0x02014b50, STORED = 0, DEFLATED = 8;

async function membersOf(archive) {
  const bytes = new Uint8Array(await archive.arrayBuffer());
  const view = new DataView(bytes.buffer);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) return [];
  const found = [];
  let at = view.getUint32(end + 16, true);
  for (let n = view.getUint16(end + 10, true); n > 0 && view.getUint32(at, true) === MEMBER; n -= 1) {
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true);
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (size && [STORED, DEFLATED].includes(method)) {
      const content = () => inflated(archive.slice(start, start + size), method);
      found.push({ head: await headOf(await content()), content });
    }
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return found;
}

const inflated = async (blob, method) =>
  method === STORED ? blob : new Response(blob.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
