// What a person says of the findings: kept in the page, and saved where they ask for it.

/** Verdicts and comments by a finding's key. */
export class Reviews {
  #given = new Map();

  of(key) {
    return this.#given.get(key) ?? { verdict: "undecided", comment: "" };
  }

  change(key, change) {
    this.#given.set(key, { ...this.of(key), ...change });
  }

  clear() {
    this.#given.clear();
  }

  /** One object for each finding: what it is, what the service said of it, and what the person says. */
  rows(entries) {
    return entries.map(({ key, finding, answer, from, uid, index }) => ({
      sop_instance_uid: uid,
      slice_index: index,
      column: finding.center_px[0],
      row: finding.center_px[1],
      center_mm: finding.center_mm,
      diameter_mm: finding.diameter_mm,
      probability: finding.probability,
      suspicion: finding.suspicion ?? null,
      decision: answer.decision,
      found_by: from === "point" ? "person" : "search",
      model: `${answer.model.name}/${answer.model.version}`,
      model_digest: answer.model.digest,
      request_id: answer.request_id,
      verdict: this.of(key).verdict,
      comment: this.of(key).comment,
    }));
  }
}

/** Rows as CSV (RFC 4180), without what a spreadsheet would run. */
export function csv(rows) {
  if (!rows.length) return "";
  const names = Object.keys(rows[0]);
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((values) => values.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = Array.isArray(value) ? value.join(" ") : String(value);
  const harmless = /^[=+@\t\r-]/.test(text) && !Array.isArray(value) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
