// The page: what is open, what the service said of it, and what a person does with it.
import { byId, element, save } from "./elements.js";
import { SourceFiles, dropped, isSeries } from "./files.js";
import { letters } from "./geometry.js";
import { Overlay } from "./overlay.js";
import { GUIDELINES, markOf, tenths, showDecision, showFindings, showGuidelines, suspicionOf } from "./panel.js";
import { Reviews, csv } from "./reviews.js";
import { Problem, example, inFormat, judgeSeries, judgeSlice, onTokenWanted, readPixels } from "./service.js";
import { Stack } from "./stack.js";
import { getLanguage, hasWords, say, sayAll, setLanguage } from "./words.js";

const CLICK_PX = 4; // a hand moves that far in a click

const stack = new Stack(byId("viewport"), draw);
const overlay = new Overlay(byId("overlay"), stack);
const reviews = new Reviews();
const library = stack.start();
library.catch(() => {}); // who waits for it says so

let open = null; // {kind, files, sources, head, parameters}: what is shown
let answer = null; // of the whole slice or series
let answerLanguage = getLanguage();
let points = []; // entries of places that were clicked, the newest first
let chosen = null; // the key of an entry
let cross = null; // [column, row] of the crosshair
let mode = "judge";
let work = null; // the AbortController of what the service does now
let progress = { key: null };

// What the service does for us ------------------------------------------------------------------------------------

/** Run `task(signal)`, one at a time, with its progress shown and a button to stop it. */
async function during(key, task) {
  work?.abort();
  const own = new AbortController();
  work = own;
  tellProblem(null);
  tellProgress(key);
  try {
    return await task(own.signal);
  } catch (error) {
    if (error.name === "AbortError") {
      if (work === own) tellProblem({ key: "stopped" });
    } else {
      tellProblem(error);
    }
    return undefined;
  } finally {
    if (work === own) {
      work = null;
      tellProgress(null);
    }
  }
}

/** Show the files: as one slice, or as a series where they are several, a zip, or one file of many frames. */
async function openFiles(files) {
  if (!files.length) return;
  const shown = await during("reading", async (signal) => {
    let kind = (await isSeries(files)) ? "series" : "slice";
    const progressed = (done, of) => kind === "series" && tellProgress("reading_of", { done, of }, done / of);
    const read = (as) => readPixels(as, files, {}, progressed, signal);
    let image = await read(kind).catch((error) => {
      if (error.code !== "frame_required") throw error;
      kind = "series";
      return read(kind);
    });
    if (signal.aborted) return false;
    await library;
    reset();
    open = { kind, files, sources: new SourceFiles(files), head: image.head, parameters: {} };
    revealImage();
    await stack.show(image, Math.floor(image.head.slices / 2));
    byId("viewport").tabIndex = 0; // the library takes it out of the order of Tab
    image = null;
    return true;
  });
  if (!shown) return;
  tell("opened", open.head);
  byId("viewport").focus({ preventScroll: true });
  await judgeAll();
}

/** Have the whole slice or series judged. */
async function judgeAll(parameters = {}) {
  const { kind, files } = open;
  const given = { ...open.parameters, ...parameters };
  const found = await during("judging", (signal) => {
    const progressed = (stage, done, of) => tellProgress("stage_of", { stage: say(`stage_${stage}`), done, of }, of ? done / of : 0);
    return kind === "slice" ? judgeSlice(files[0], given, signal) : judgeSeries(files, given, progressed, signal);
  });
  if (!found) return;
  answer = found;
  answerLanguage = getLanguage();
  if (kind === "slice") stateScale();
  chosen = entries()[0]?.key ?? null;
  render();
  if (chosen) await goToChosen();
}

/** Have the nodule at a pixel of the shown slice judged. */
async function judgePoint(pixel) {
  if (!open || !pixel) return;
  const { index } = stack, source = open.head.sources[index];
  const found = await during("judging_point", async (signal) => {
    const file = open.kind === "slice" ? open.files[0] : await open.sources.of(source.sop_instance_uid);
    if (!file) throw new Problem({ code: "no_file" }, 0);
    const roi = pixel.map((value) => value.toFixed(1)).join(",");
    return judgeSlice(file, { ...open.parameters, roi, frame: source.frame ?? "" }, signal);
  });
  const finding = found?.findings[0];
  if (!finding) return;
  const label = String.fromCharCode(65 + (points.length % 26));
  const entry = { key: `point-${found.request_id}`, from: "point", label, finding, answer: found, index, uid: source.sop_instance_uid, language: getLanguage() };
  points = [entry, ...points];
  chosen = entry.key;
  render();
}

/** Hand over a file, and say so: a browser may do it without a sign. */
function keep(name, blob) {
  save(name, blob);
  byId("saved").textContent = say("saved", { name });
}

async function download(accept) {
  const { kind, files, parameters } = open;
  const made = await during("writing", (signal) => inFormat(kind, files, parameters, accept, signal));
  for (const file of made ?? []) keep(file.name, file.blob);
}

// What is shown ---------------------------------------------------------------------------------------------------

/** All findings, as the panel and the overlay take them: those of the search in the service's order, then places. */
function entries() {
  const of = (finding) => finding.slice ?? { index: 0, sop_instance_uid: open.head.sources[0].sop_instance_uid };
  const found = (answer?.findings ?? []).map((finding) => ({
    key: `found-${finding.id}`, from: "search", label: String(finding.id), finding, answer, index: of(finding).index,
    uid: of(finding).sop_instance_uid, language: answerLanguage,
  }));
  return [...found, ...points];
}

function reset() {
  answer = null;
  points = [];
  chosen = cross = null;
  reviews.clear();
  byId("assessments").replaceChildren();
  byId("saved").textContent = "";
  render();
}

function render() {
  const all = open ? entries() : [];
  const entry = all.find(({ key }) => key === chosen);
  const of = entry?.from === "point" ? "point" : open?.kind;
  const shown = of === "point" ? entry.answer : answer;
  for (const [id, visible] of [["decision", shown], ["findings", open && (answer || points.length)], ["options", answer || points.length]]) {
    byId(id).hidden = !visible;
  }
  byId("scale").hidden = !answer?.quality.some(({ code }) => code === "spacing_assumed" || code === "window_assumed");
  if (shown) {
    const judged = (of === "point" ? [entry] : all).filter(({ finding }) => finding.probability !== null);
    showDecision(byId("decision"), shown, of, judged);
  }
  if (open) showFindings(byId("findings"), all, chosen, open.head.slices, { choose, review, remove, reviewOf: (key) => reviews.of(key) });
  showDownloads();
  draw();
}

function draw() {
  if (!open || !stack.slices) return;
  const { index } = stack;
  const shown = entries().flatMap((entry) => {
    const here = entry.index === index;
    return here || entry.finding.slices?.some((slice) => slice.index === index) ? [{ ...entry, here, suspicion: suspicionOf(entry) }] : [];
  });
  const layers = { outline: byId("show-outline").checked, evidence: byId("show-evidence").checked, opacity: byId("opacity").value / 100 };
  overlay.draw({ head: open.head, shown, chosen, cross, layers });
  const [center, width] = stack.window.map(Math.round);
  const hu = cross ? ` · ${stack.valueAt(cross)} HU` : "";
  byId("corner").textContent = `W ${width}  C ${center}${hu}${letters(open.head) ? "" : `\n${say("note_orientation_assumed")}`}`;
  byId("slice").value = index;
  const position = open.head.positions_mm[index];
  byId("where").textContent = say("slice_n", { n: index + 1, of: open.head.slices }) + (position ? ` · z ${tenths(position[2])} mm` : "");
  for (const each of document.querySelectorAll("[data-window]")) each.setAttribute("aria-pressed", String(each.dataset.window === `${center},${width}`));
}

function revealImage() {
  byId("start").hidden = true;
  for (const id of ["tools", "viewport", "overlay"]) byId(id).hidden = false;
  byId("scroll").hidden = open.head.slices < 2;
  byId("slice").max = open.head.slices - 1;
}

async function choose(key) {
  chosen = key;
  render();
  byId("findings").querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  await goToChosen();
}

async function goToChosen() {
  const entry = entries().find(({ key }) => key === chosen);
  if (entry && entry.index !== stack.index) await stack.goTo(entry.index);
  draw();
}

function review(key, change) {
  reviews.change(key, change);
  // Not all is shown anew: who writes a comment would lose the place in it.
  byId("findings").querySelector(`[data-key="${CSS.escape(key)}"] .mark`).textContent = markOf(reviews.of(key));
}

/** Forget a place that was pointed at. */
function remove(key) {
  points = points.filter((entry) => entry.key !== key);
  chosen = entries()[0]?.key ?? null;
  render();
  goToChosen();
}

function tellProgress(key, places = {}, share = null) {
  progress = { key, places };
  byId("busy").hidden = key === null;
  if (key === null) return;
  byId("busy-text").textContent = say(key, places);
  const bar = byId("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

/** Say something to who does not see it. */
function tell(key, places) {
  byId("told").textContent = say(key, places);
}

/** Say what went wrong in plain words, with the service's own where they say more; null takes it back. */
function tellProblem(error) {
  const box = byId("problem");
  box.hidden = error === null;
  if (error === null) return;
  if (error.key || error.code === "no_file") {
    box.replaceChildren(element("p", {}, say(error.key ?? error.code)));
    return;
  }
  const key = hasWords(`error_${error.code}`) ? `error_${error.code}` : "error_other";
  const own = error instanceof Problem ? error.message : String(error);
  box.replaceChildren(
    element("p", {}, element("strong", {}, say(key))),
    element("p", {}, own),
    error.code ? element("p", { class: "code" }, error.code) : "",
  );
}

function showDownloads() {
  const button = (key, act) => element("button", { type: "button", onclick: act }, say(key));
  const json = () => {
    const whole = { answer, points: points.map((entry) => entry.answer), reviews: reviews.rows(entries()) };
    keep("lungscope.json", new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" }));
  };
  const made = [button("save_json", json)];
  if (answer && open.head.kind === "dicom") made.push(button("save_dicom", () => download('multipart/related; type="application/dicom"')));
  if (answer) made.push(button("save_pdf", () => download("application/pdf")));
  if (answer) made.push(button("save_fhir", () => download("application/fhir+json")));
  if (answer && open.kind === "slice") made.push(button("save_png", () => download("image/png")));
  byId("downloads").replaceChildren(...made);
}

// What a person does ----------------------------------------------------------------------------------------------

function setMode(chosenMode) {
  mode = chosenMode;
  stack.setMode(mode);
  for (const each of document.querySelectorAll("[data-mode]")) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
}

function setWindow(text) {
  const [center, width] = text.split(",").map(Number);
  stack.setWindow(center, width);
}

function stateScale() {
  for (const [name, value] of Object.entries(open.parameters)) byId("scale-form").elements[name].value = value;
}

/** Read the picture again at the scale that somebody stated. */
async function rescale(event) {
  event.preventDefault();
  const parameters = Object.fromEntries([...new FormData(byId("scale-form"))].filter(([, value]) => value.trim()));
  const { files } = open;
  const image = await during("reading", (signal) => readPixels("slice", files, parameters, () => {}, signal));
  if (!image) return;
  reset();
  open = { ...open, head: image.head, parameters };
  await stack.show(image, 0);
  await judgeAll();
}

async function askGuidelines() {
  const names = [...byId("guidelines").querySelectorAll("input:checked")].map((box) => box.value);
  if (!names.length) return;
  await judgeAll({ guidelines: names.join(",") });
  byId("problem").scrollIntoView({ block: "nearest" }); // the button is far below it
  if (answer?.guidelines) showGuidelines(byId("assessments"), answer.guidelines);
}

function showGuidelineChoices() {
  byId("guidelines").append(
    ...Object.entries(GUIDELINES).map(([name, title]) => element("label", {}, element("input", { type: "checkbox", value: name }), ` ${title}`)),
  );
}

function moveCross(columns, rows) {
  const { head } = open;
  cross ??= [Math.round(head.columns / 2), Math.round(head.rows / 2)];
  cross = [Math.min(Math.max(cross[0] + columns, 0), head.columns - 1), Math.min(Math.max(cross[1] + rows, 0), head.rows - 1)];
  tell("crosshair", { column: cross[0], row: cross[1] });
  draw();
}

function chooseNext(by) {
  const all = entries();
  if (!all.length) return;
  const at = all.findIndex(({ key }) => key === chosen);
  chosen = all[(at + by + all.length) % all.length].key;
  render();
  goToChosen();
}

function toggle(id) {
  byId(id).checked = !byId(id).checked;
  draw();
}

const KEYS = {
  PageUp: () => stack.step(10), PageDown: () => stack.step(-10),
  Home: () => stack.step(Infinity), End: () => stack.step(-Infinity),
  "+": () => stack.zoom(1.25), "=": () => stack.zoom(1.25), "-": () => stack.zoom(0.8), 0: () => stack.fit(),
  1: () => setWindow("-600,1500"), 2: () => setWindow("40,400"), 3: () => setWindow("400,1800"),
  o: () => toggle("show-outline"), e: () => toggle("show-evidence"),
  n: () => chooseNext(1), p: () => chooseNext(-1),
  j: () => setMode("judge"), m: () => setMode("pan"), z: () => setMode("zoom"), l: () => setMode("length"),
  c: () => moveCross(0, 0), Delete: () => stack.removeLastLength(), "?": () => byId("help").showModal(),
  Enter: () => cross && judgePoint(cross),
  Escape: () => {
    cross = null;
    draw();
  },
};

const HELP = [
  ["↑ ↓ · PageUp PageDown · Home End", "key_scroll"], ["+ − · 0", "key_zoom"], ["1 2 3", "key_window"], ["O · E", "key_layers"],
  ["N · P", "key_findings"], ["C", "key_cross"], ["J · M · Z · L", "key_mode"], ["Delete", "key_delete"],
];

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !open) return;
  const arrows = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  const arrow = arrows[event.key];
  const act = arrow ? () => pressedArrow(arrow, event.shiftKey) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function pressedArrow([columns, rows], fast) {
  if (cross) moveCross(columns * (fast ? 10 : 1), rows * (fast ? 10 : 1));
  else stack.step(columns ? columns : -rows);
}

function listen() {
  const viewport = byId("viewport"), stage = byId("stage");
  let down = null;
  viewport.addEventListener("keydown", pressed);
  viewport.addEventListener("pointerdown", (event) => (down = event.button === 0 ? [event.clientX, event.clientY] : null));
  viewport.addEventListener("pointerup", (event) => {
    const moved = down ? Math.hypot(event.clientX - down[0], event.clientY - down[1]) : Infinity;
    down = null;
    if (mode !== "judge" || moved > CLICK_PX) return;
    const { left, top } = viewport.getBoundingClientRect();
    judgePoint(stack.toPixel([event.clientX - left, event.clientY - top]));
  });
  for (const each of document.querySelectorAll("[data-mode]")) each.onclick = () => setMode(each.dataset.mode);
  for (const each of document.querySelectorAll("[data-window]")) each.onclick = () => setWindow(each.dataset.window);
  for (const id of ["show-outline", "show-evidence", "opacity"]) byId(id).oninput = draw;
  byId("slice").oninput = (event) => stack.goTo(Number(event.target.value));
  byId("fit").onclick = () => stack.fit();
  byId("judge-all").onclick = () => judgeAll();
  byId("stop").onclick = () => work?.abort();
  byId("scale-form").onsubmit = rescale;
  byId("ask-guidelines").onclick = askGuidelines;
  byId("save-reviews-json").onclick = () => keep("lungscope-reviews.json", new Blob([JSON.stringify(reviews.rows(entries()), null, 1)], { type: "application/json" }));
  byId("save-reviews-csv").onclick = () => keep("lungscope-reviews.csv", new Blob([csv(reviews.rows(entries()))], { type: "text/csv" }));
  for (const id of ["files", "folder"]) byId(id).onchange = (event) => openFiles([...event.target.files]).finally(() => (event.target.value = ""));
  byId("open-files").onclick = byId("other").onclick = () => byId("files").click();
  byId("open-folder").onclick = () => byId("folder").click();
  for (const [id, name] of [["example-slice", "example-slice.dcm"], ["example-series", "example-series.zip"]]) {
    byId(id).onclick = async () => openFiles([await during("reading", () => example(name))].filter(Boolean));
  }
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  window.addEventListener("dragleave", () => stage.classList.remove("over"));
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    openFiles(await dropped(event.dataTransfer));
  });
}

function listenToPage() {
  byId("help-open").onclick = () => byId("help").showModal();
  byId("theme").onclick = () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  };
  byId("language").value = getLanguage();
  byId("language").onchange = (event) => {
    setLanguage(event.target.value);
    speak();
  };
  onTokenWanted((refused) => {
    const dialog = byId("token"), field = byId("token-text");
    field.value = "";
    field.setAttribute("placeholder", refused ? say("token_refused") : "");
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "use" ? field.value.trim() : ""), { once: true }));
  });
}

function speak() {
  sayAll(document);
  byId("help-keys").replaceChildren(
    element("tbody", {}, HELP.map(([keys, key]) => element("tr", {}, element("td", {}, keys.split(" ").map((each) => (each === "·" ? " · " : element("kbd", {}, each)))), element("td", {}, say(key))))),
  );
  if (progress.key) byId("busy-text").textContent = say(progress.key, progress.places);
  render();
}

listen();
listenToPage();
showGuidelineChoices();
speak();
