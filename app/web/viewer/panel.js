// Writes an answer for people: the decision with its reasons, and the findings.
import { element } from "./elements.js";
import { getLanguage, hasWords, say } from "./words.js";

/** Titles of the guidelines by the names that the service knows. */
export const GUIDELINES = {
  fleischner: "Fleischner 2017", "lung-rads": "Lung-RADS v2022", bts: "BTS 2015", "c-lung-rads": "C-Lung-RADS", brock: "Brock (PanCan)", mayo: "Mayo",
};

const MARKS = { cancer_suspected: "▲", indeterminate: "◆", normal: "●", rejected: "■" };
const CATEGORIES = "calcification"; // its ratings are kinds, not degrees: a bar would say nothing
const SUSPICION_OF = { cancer_suspected: "suspected", indeterminate: "open", normal: "low", rejected: "low" };

export const percent = (share) => (share === null || share === undefined ? say("not_judged") : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
const mm = (value) => value.toFixed(1);
/** A coordinate in mm, without a sign of zero. */
export const tenths = (value) => value.toFixed(1).replace(/^-0\.0$/, "0.0");

/** A sign of what a person said of a finding. */
export const markOf = ({ verdict, comment }) => ({ accept: "✓", reject: "✗" }[verdict] ?? "") + (comment ? " ✎" : "");

/** What a finding counts for: what the search says of it, or the decision at the place that was clicked. */
export const suspicionOf = ({ finding, answer, from }) =>
  from === "point" ? SUSPICION_OF[answer.decision] : (finding.suspicion ?? SUSPICION_OF[answer.decision]);

/** The words for a code of a reason or remark; what the service says of it where the page has none. */
function explained(code, message) {
  const own = [`reason_${code}`, `note_${code}`].find(hasWords);
  return own ? say(own) : (message ?? code);
}

/** Fill the section of the decision with an answer; `of` is point, slice or series, `judged` the judged findings. */
export function showDecision(section, answer, of, judged) {
  section.className = answer.decision;
  section.replaceChildren(
    element("p", { class: "small" }, say(`of_${of}`)),
    element("p", { class: "verdict", role: "heading", "aria-level": "2" }, `${MARKS[answer.decision]} ${say(`decision_${answer.decision}`)}`),
    element("ul", {}, reasons(answer).map((words) => element("li", {}, words))),
    facts(answer),
    ...(judged.length ? [whatIf(answer, judged)] : []),
    element("ul", { class: "notes" }, notes(answer)),
  );
}

function reasons(answer) {
  if (answer.reasons.length) return answer.reasons.map((code) => explained(code, answer.quality.find((note) => note.code === code)?.message));
  if (!answer.scan) return hasWords(`because_${answer.decision}`) ? [say(`because_${answer.decision}`)] : [];
  const empty = answer.decision === "normal" && !answer.findings.length;
  const key = empty ? "because_scan_empty" : `because_scan_${answer.decision}`;
  return hasWords(key) ? [say(key)] : [];
}

function facts(answer) {
  const set = answer.prediction_set;
  const inWords = set.length === 2 ? say("set_both") : set.length ? say(`label_${set[0]}`) : say("set_none");
  const judged = answer.decision !== "rejected";
  const rows = judged ? [[say("probability"), answer.probability === null ? say("probability_none") : percent(answer.probability)]] : [];
  if (judged) rows.push([say("set"), element("span", { title: say("set_what") }, inWords)]);
  rows.push([say("operating_point"), percent(answer.operating_point)]);
  if (answer.scan) {
    const { score, ...points } = answer.scan;
    const texts = Object.fromEntries(Object.entries(points).map(([name, value]) => [name, value.toFixed(2)]));
    rows.push([say("score"), say("score_what", { ...texts, score: score === null ? say("score_none") : score.toFixed(2) })]);
  }
  const list = element("dl", { class: "facts" }, rows.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  return answer.probability === null ? list : element("div", {}, gauge(answer.probability, answer.operating_point), list);
}

const gauge = (share, at = null) =>
  element(
    "div",
    { class: "gauge", "aria-hidden": "true" },
    element("i", { style: { width: `${100 * Math.min(Math.max(share, 0), 1)}%` } }),
    at === null ? null : element("b", { style: { left: `${100 * at}%` } }),
  );

function whatIf(answer, judged) {
  const says = element("p", { class: "small", role: "status" });
  const range = element("input", { type: "range", min: "1", max: "99", value: String(Math.round(100 * answer.operating_point)), id: "what-if" });
  const tell = () => {
    const point = Number(range.value) / 100;
    const changed = judged.filter(({ finding }) => finding.probability >= point !== finding.probability >= answer.operating_point);
    const ids = changed.map(({ label }) => label).join(", ");
    const above = judged.filter(({ finding }) => finding.probability >= point).length;
    says.textContent = say("try_says", { point: percent(point), above, of: judged.length, changed: ids ? say("try_changed", { ids }) : say("try_same") });
  };
  range.oninput = tell;
  tell();
  return element(
    "details",
    {},
    element("summary", {}, say("try_point")),
    element("label", { class: "row" }, element("span", { class: "unseen" }, say("try_point")), range),
    says,
    element("p", { class: "small" }, say("try_what")),
  );
}

function notes(answer) {
  const shown = answer.quality.filter(({ code }) => !answer.reasons.includes(code));
  return shown.map(({ code, severity, message }) =>
    element("li", { class: severity === "info" ? "info" : "warning" }, explained(code, message), element("span", { class: "unseen" }, ` ${code}`)),
  );
}

/** Fill the section of findings with entries, most suspicious first; `act` has what a person may do with them. */
export function showFindings(section, entries, chosen, slices, act) {
  const list = (some) => element("ol", {}, some.map((entry) => item(entry, entry.key === chosen, slices, act)));
  const points = entries.filter(({ from }) => from === "point"), found = entries.filter(({ from }) => from !== "point");
  section.replaceChildren(...[
    ...(points.length ? [element("h2", {}, `${say("points")} (${points.length})`), list(points)] : []),
    element("h2", {}, `${say("findings")} (${found.length})`),
    found.length > 1 ? element("p", { class: "small" }, say("findings_order")) : null,
    found.length ? list(found) : element("p", {}, say("no_findings")),
  ].filter(Boolean));
}

function item(entry, isChosen, slices, act) {
  const { finding, label, index } = entry, suspicion = suspicionOf(entry);
  const refused = entry.from === "point" && entry.answer.decision === "rejected";
  const where = [refused ? null : placeOf(finding), slices > 1 ? say("slice_n", { n: index + 1, of: slices }) : null];
  const size = finding.size ? `${mm(finding.size.mean_diameter_mm.value)} mm` : "";
  const pick = element(
    "button",
    { type: "button", class: "pick", "aria-expanded": String(isChosen), "data-key": entry.key, onclick: () => act.choose(entry.key) },
    element("span", { class: `number ${suspicion}` }, label),
    element("span", {}, [size, say(entry.from === "point" ? `decision_${entry.answer.decision}` : `suspicion_${suspicion}`)].filter(Boolean).join(" · ")),
    element("strong", {}, refused ? "" : percent(finding.probability), element("span", { class: "mark" }, markOf(act.reviewOf(entry.key)))),
    element("span", { class: "dim" }, where.filter(Boolean).join(" · ")),
  );
  return element("li", { class: isChosen ? "chosen" : "" }, pick, isChosen ? more(entry, act) : null);
}

function placeOf(finding) {
  const { side, third } = finding.location;
  return [side ? say(side) : say("no_side"), third ? say(third) : null].filter(Boolean).join(", ");
}

function more(entry, act) {
  const { finding, answer } = entry, { size } = finding;
  const rows = [[say("nodule"), percent(finding.nodule_probability)]];
  if (size) {
    const { value, interval } = size.mean_diameter_mm;
    const places = { long: mm(size.long_axis_mm), short: mm(size.short_axis_mm), mean: mm(value), low: mm(interval[0]), high: mm(interval[1]) };
    rows.push([say("size"), say("size_what", places)]);
    if (size.volume_mm3) rows.push([say("volume"), `${Math.round(size.volume_mm3.value)} mm³ (${size.volume_mm3.interval.map(Math.round).join("–")})`]);
    rows.push([say("density"), `${say(size.attenuation.code)}, ${say("median", { hu: Math.round(size.attenuation.median_hu) })}`]);
  } else {
    rows.push([say("size"), say("size_none")]);
  }
  rows.push([say("position"), position(finding)]);
  return element(
    "div",
    { class: "more" },
    finding.suspicion === "low" && finding.probability >= answer.operating_point ? element("p", { class: "small" }, say("low_what")) : null,
    element("dl", { class: "facts" }, rows.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    traits(finding, entry.language),
    reviewing(entry, act),
    entry.from === "point" ? element("p", { class: "row" }, element("button", { type: "button", onclick: () => act.remove(entry.key) }, say("remove"))) : null,
  );
}

function position({ center_px: [column, row], center_mm: at, location }) {
  const words = [`${Math.round(column)}, ${Math.round(row)} px`];
  if (at) words.push(`${at.map(tenths).join(", ")} mm`);
  if (location.side_assumed) words.push(say("side_assumed"));
  return words.join(" · ");
}

// The words for a rating are the service's, in the language in which it was asked.
function traits({ traits: given }, language) {
  const names = Object.keys(given);
  if (!names.length) return null;
  const rows = names.map((name) => {
    const { value, scale, display } = given[name];
    const [low, high] = scale;
    const words = language === getLanguage() ? display : `${value.toFixed(1)} / ${high}`;
    const bar = name === CATEGORIES ? element("span") : gauge((value - low) / (high - low));
    return element("div", { class: "trait" }, element("span", {}, say(name)), bar, element("span", {}, words));
  });
  return element("div", {}, element("h3", {}, say("traits")), rows);
}

function reviewing(entry, act) {
  const { verdict, comment } = act.reviewOf(entry.key);
  const choice = (value) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name: `review-${entry.key}`, checked: verdict === value, onchange: () => act.review(entry.key, { verdict: value }) }),
      ` ${say(value)}`,
    );
  return element(
    "fieldset",
    { class: "reviewing" },
    element("legend", {}, say("review", { id: entry.label })),
    ["accept", "reject", "undecided"].map(choice),
    element("textarea", {
      "aria-label": say("comment"), placeholder: say("comment"), value: comment, maxLength: 2000,
      oninput: (event) => act.review(entry.key, { comment: event.target.value }),
    }),
  );
}

/** Fill `section` with what the guidelines said. */
export function showGuidelines(section, { assessments }) {
  section.replaceChildren(
    ...assessments.map((each) => {
      const missing = each.missing.map(({ message }) => message);
      const lines = [];
      if (!each.applies) lines.push(`${say("guideline_not")}: ${each.reason}`);
      else if (!each.probabilities) lines.push(`${say("guideline_category")}: ${each.category ?? say("guideline_none")}${others(each)}`);
      for (const row of each.findings ?? []) lines.push(`${row.finding}: ${row.category} — ${row.rule}`);
      for (const row of each.probabilities ?? []) {
        const between = row.interval ? ` (${row.interval.map(percent).join("–")})` : "";
        const none = between ? "" : say("guideline_no_number");
        const given = row.probability === null ? none : percent(row.probability);
        lines.push(`${row.finding}: ${given}${between}. ${row.missing.map(({ message }) => message).join(" ")}`);
      }
      return element(
        "div",
        { class: "assessment" },
        element("h3", {}, GUIDELINES[each.name] ?? each.name),
        element("p", { class: "small" }, each.source),
        lines.map((line) => element("p", {}, line)),
        missing.length ? element("p", { class: "small" }, `${say("guideline_missing")}: ${missing.join(" ")}`) : null,
      );
    }),
  );
}

const others = ({ category, possible }) => {
  const rest = possible.filter((each) => each !== category);
  return rest.length ? ` (${rest.join(", ")})` : "";
};
