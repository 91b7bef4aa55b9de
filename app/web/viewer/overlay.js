// Draws over the slice: evidence, outlines, marks, the crosshair, letters of orientation, and a scale bar.
import { letters } from "./geometry.js";
import { say } from "./words.js";

// Okabe and Ito's orange and blue, as on the pictures that the service writes (app/explain/palette.py).
const FOR = [230, 159, 0], AGAINST = [0, 114, 178], NEUTRAL = 0.5;
const LIGHT = "#ffffff", DARK = "#000000", CHOSEN = "#ffe14d", CROSS = "#5fd7ff";
const BAR_MM = 50, EDGE = 14;

/** Draws what `scene` describes on a canvas that lies over the viewport of `stack`. */
export class Overlay {
  #canvas;
  #stack;
  #maps = new WeakMap();

  constructor(canvas, stack) {
    this.#canvas = canvas;
    this.#stack = stack;
  }

  /** `scene`: {head, shown: entries of this slice and of others, chosen, cross, layers}. */
  draw({ head, shown, chosen, cross, layers }) {
    const { clientWidth: width, clientHeight: height } = this.#canvas, dense = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * dense);
    this.#canvas.height = Math.round(height * dense);
    const ink = this.#canvas.getContext("2d");
    ink.scale(dense, dense);
    ink.font = font();
    const own = shown.find(({ key, here }) => key === chosen && here)?.finding.evidence;
    if (own && layers.evidence) this.#evidence(ink, dense, own, layers.opacity);
    for (const entry of layers.outline ? shown : []) {
      const colour = entry.key === chosen ? CHOSEN : LIGHT;
      // What does not count in the decision is there for who looks for it.
      ink.globalAlpha = entry.key !== chosen && entry.suspicion === "low" ? 0.5 : 1;
      if (entry.here) this.#outline(ink, entry, colour);
      else this.#elsewhere(ink, entry, colour, head);
    }
    ink.globalAlpha = 1;
    if (cross) this.#crosshair(ink, cross);
    this.#letters(ink, head, width, height);
    this.#bar(ink, head, width, height);
    if (own && layers.evidence) legend(ink, width);
  }

  // A map is drawn from a picture of its own size by the transform that takes pixels of the slice to the screen.
  #evidence(ink, dense, evidence, opacity) {
    const [left, top, right, bottom] = evidence.rectangle_px;
    const corner = this.#stack.toCanvas([left, top]);
    const across = this.#stack.toCanvas([right, top]), down = this.#stack.toCanvas([left, bottom]);
    const [rows, columns] = evidence.shape;
    const per = (to, n, count) => ((to[n] - corner[n]) / count) * dense;
    ink.save();
    ink.setTransform(per(across, 0, columns), per(across, 1, columns), per(down, 0, rows), per(down, 1, rows), corner[0] * dense, corner[1] * dense);
    ink.globalAlpha = opacity;
    ink.imageSmoothingQuality = "high";
    ink.drawImage(this.#map(evidence), 0, 0);
    ink.restore();
  }

  #map(evidence) {
    let map = this.#maps.get(evidence);
    if (map) return map;
    const [rows, columns] = evidence.shape;
    map = new OffscreenCanvas(columns, rows);
    const picture = new ImageData(columns, rows);
    evidence.values.flat().forEach((value, n) => {
      const strength = Math.min(Math.abs(value - NEUTRAL) / NEUTRAL, 1);
      picture.data.set([...(value > NEUTRAL ? FOR : AGAINST), Math.round(255 * strength)], 4 * n);
    });
    map.getContext("2d").putImageData(picture, 0, 0);
    this.#maps.set(evidence, map);
    return map;
  }

  #outline(ink, { finding, label }, colour) {
    const points = finding.outline_px.map((point) => this.#stack.toCanvas(point));
    const center = this.#stack.toCanvas(finding.center_px);
    ink.beginPath();
    if (points.length) {
      points.forEach(([x, y], n) => (n ? ink.lineTo(x, y) : ink.moveTo(x, y)));
      ink.closePath();
    } else {
      mark(ink, center);
    }
    cased(ink, colour);
    const right = Math.max(center[0] + 8, ...points.map(([x]) => x)), top = Math.min(center[1] - 8, ...points.map(([, y]) => y));
    text(ink, label, right + 4, top, colour);
  }

  // On the other slices of a nodule: where it is, dashed, because its outline is of another slice.
  #elsewhere(ink, { finding, label, index }, colour, head) {
    const center = this.#stack.toCanvas(finding.center_px);
    const radius = (finding.diameter_mm ?? 8) / 2 / head.pixel_spacing_mm[1];
    const [edge] = this.#stack.toCanvas([finding.center_px[0] + radius, finding.center_px[1]]);
    const size = Math.abs(edge - center[0]) || 8;
    ink.setLineDash([4, 4]);
    ink.beginPath();
    ink.arc(...center, size, 0, 2 * Math.PI);
    cased(ink, colour);
    ink.setLineDash([]);
    text(ink, say("shows_here", { id: label, n: index + 1 }), center[0] + size + 4, center[1] - size, colour);
  }

  #crosshair(ink, point) {
    const [x, y] = this.#stack.toCanvas(point);
    ink.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ink.moveTo(x + 5 * dx, y + 5 * dy);
      ink.lineTo(x + 26 * dx, y + 26 * dy);
    }
    cased(ink, CROSS);
  }

  #letters(ink, head, width, height) {
    const at = letters(head);
    if (!at) return;
    ink.font = font(1.1);
    text(ink, at.left, EDGE, height / 2, LIGHT, "center");
    text(ink, at.right, width - EDGE, height / 2, LIGHT, "center");
    text(ink, at.top, width / 2, EDGE + 6, LIGHT, "center");
    text(ink, at.bottom, width / 2, height - EDGE, LIGHT, "center");
    ink.font = font();
  }

  #bar(ink, head, width, height) {
    const [from] = this.#stack.toCanvas([0, 0]);
    const [to] = this.#stack.toCanvas([BAR_MM / head.pixel_spacing_mm[1], 0]);
    const length = Math.abs(to - from), x = width - 50 - length, y = height - 22;
    if (!(length > 10 && length < width - 100)) return;
    ink.beginPath();
    ink.moveTo(x, y - 5);
    ink.lineTo(x, y);
    ink.lineTo(x + length, y);
    ink.lineTo(x + length, y - 5);
    cased(ink, LIGHT);
    text(ink, `${BAR_MM} mm`, x + length / 2, y - 9, LIGHT, "center");
  }
}

const rem = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
const font = (size = 1) => `600 ${size * rem()}px system-ui, sans-serif`;

function mark(ink, [x, y]) {
  ink.moveTo(x - 8, y);
  ink.lineTo(x + 8, y);
  ink.moveTo(x, y - 8);
  ink.lineTo(x, y + 8);
}

// A dark line below the light one, so that it shows on bright tissue too.
function cased(ink, colour) {
  ink.lineJoin = "round";
  for (const [style, width] of [[DARK, 3.5], [colour, 1.6]]) {
    ink.strokeStyle = style;
    ink.lineWidth = width;
    ink.stroke();
  }
}

function text(ink, words, x, y, colour, align = "left") {
  ink.textAlign = align;
  ink.lineWidth = 3.5;
  ink.strokeStyle = DARK;
  ink.strokeText(words, x, y);
  ink.fillStyle = colour;
  ink.fillText(words, x, y);
}

function legend(ink, width) {
  const line = 1.4 * rem();
  ink.font = font(0.9);
  [[FOR, "legend_for"], [AGAINST, "legend_against"]].forEach(([colour, key], n) => {
    const words = say(key), y = 10 + line * (n + 1), x = width - 34 - ink.measureText(words).width;
    ink.fillStyle = `rgb(${colour.join(" ")})`;
    ink.fillRect(x - line, y - 0.75 * rem(), 0.8 * rem(), 0.8 * rem());
    text(ink, words, x, y, LIGHT);
  });
}
