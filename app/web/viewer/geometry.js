// Where pixels of a slice lie in the patient (PS3.3 C.7.6.2.1.1). Points are [column, row], 0 at the first pixel's centre.

const AXIAL = [1, 0, 0, 0, 1, 0];

/** The plane of one slice; what the source does not state is taken as axial, at the origin. */
export function planeOf(head, index) {
  const cosines = head.orientation ?? AXIAL;
  const [betweenRows, betweenColumns] = head.pixel_spacing_mm;
  const row = cosines.slice(0, 3), column = cosines.slice(3, 6);
  const origin = head.positions_mm[index] ?? [0, 0, 0];
  return { origin, row, column, betweenRows, betweenColumns };
}

export const toWorld = ({ origin, row, column, betweenRows, betweenColumns }, [x, y]) =>
  origin.map((at, n) => at + x * betweenColumns * row[n] + y * betweenRows * column[n]);

export function toPixel({ origin, row, column, betweenRows, betweenColumns }, world) {
  const from = world.map((at, n) => at - origin[n]);
  return [dot(from, row) / betweenColumns, dot(from, column) / betweenRows];
}

const dot = (one, other) => one.reduce((sum, value, n) => sum + value * other[n], 0);

/** Whether the slices ascend towards the head; true where nobody knows. */
export function ascends(head) {
  const [a, b, , d, e] = head.orientation ?? AXIAL;
  return a * e - b * d >= 0; // z of the cross product of rows and columns
}

/** The letters at the edges (left, right, top, bottom) of a slice as it is stored; null where nobody knows. */
export function letters(head) {
  if (!head.orientation) return null;
  const row = head.orientation.slice(0, 3), column = head.orientation.slice(3, 6);
  const minus = (vector) => vector.map((value) => -value);
  return { left: letter(minus(row)), right: letter(row), top: letter(minus(column)), bottom: letter(column) };
}

// Of DICOM's axes: x grows to the patient's left, y to the back, z to the head.
function letter(vector) {
  const n = vector.reduce((best, value, at) => (Math.abs(value) > Math.abs(vector[best]) ? at : best), 0);
  return (vector[n] > 0 ? "LPH" : "RAF")[n];
}
