// Draw the sheet: paper, grid, pulse, names, traces. What is explained lies behind the traces (explain.js).
const INK = {trace: "#000000", text: "#1a1a1a", soft: "#444444", paper: "#ffffff"};
const GRIDS = {pink: ["#fbdcdc", "#efa6a6"], grey: ["#ebebeb", "#c6c6c6"]};
const THIN = 2; // device pixels up to which two hairlines make a line
const FINE_GRID = 2.5; // device pixels of 1 mm below which only the squares of 5 mm are drawn
const TEXT_FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

// A window on the paper: mm -> device pixels.
class View {
  constructor({ppm, ox = 0, oy = 0, width, height, ratio = 1}) { Object.assign(this, {ppm, ox, oy, width, height, ratio}); }
  x(mm) { return (mm - this.ox) * this.ppm; }
  y(mm) { return (mm - this.oy) * this.ppm; }
  right() { return this.ox + this.width / this.ppm; }
  bottom() { return this.oy + this.height / this.ppm; }
}

function drawGrid(context, view, sheet, colours) {
  const {ppm} = view, [fine, bold] = colours;
  const left = Math.max(0, view.x(0)), top = Math.max(0, view.y(0));
  const right = Math.min(view.width, view.x(sheet.width)), bottom = Math.min(view.height, view.y(sheet.height));
  context.fillStyle = INK.paper;
  context.fillRect(left, top, right - left, bottom - top);
  const line = (share) => Math.max(1, Math.round(share * ppm));
  for (const [colour, thick, wanted] of [[fine, line(0.1), (k) => k % 5 !== 0 && ppm >= FINE_GRID], [bold, line(0.2), (k) => k % 5 === 0]]) {
    context.fillStyle = colour;
    for (let k = Math.ceil(Math.max(0, view.ox)); k <= Math.min(sheet.width, view.right()); k++)
      if (wanted(k)) context.fillRect(Math.round(view.x(k) - thick / 2), top, thick, bottom - top);
    for (let k = Math.ceil(Math.max(0, view.oy)); k <= Math.min(sheet.height, view.bottom()); k++)
      if (wanted(k)) context.fillRect(left, Math.round(view.y(k) - thick / 2), right - left, thick);
  }
}

function strokeOf(context, view, colour, mm = 0.3) {
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1, mm * view.ppm);
  context.lineJoin = "round";
  context.setLineDash([]);
}

// 1 mV over 5 mm, before each row.
function drawPulses(context, view, sheet) {
  strokeOf(context, view, INK.trace);
  for (const baseline of sheet.baselines) {
    const top = baseline - sheet.gain, from = PAPER.pulseX, to = from + PAPER.pulseWidth;
    context.beginPath();
    [[from - 2, baseline], [from, baseline], [from, top], [to, top], [to, baseline], [to + 2, baseline]]
      .forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](view.x(x), view.y(y)));
    context.stroke();
  }
}

const LEAST_TEXT = 9; // CSS pixels below which nobody reads a word
const fontOf = (view, size, weight) => `${weight} ${Math.max(LEAST_TEXT * view.ratio, size * view.ppm)}px ${TEXT_FONT}`;

// Write a text; where there are fewer than ``room`` mm it ends in dots. Returns how many mm it takes.
function writeText(context, view, text, x, y, {size = 3, colour = INK.text, align = "left", weight = 400, room = Infinity, halo = ""} = {}) {
  context.font = fontOf(view, size, weight);
  context.textAlign = align;
  context.textBaseline = "alphabetic";
  const shown = cutText(context, text, room * view.ppm);
  if (halo) {
    Object.assign(context, {strokeStyle: halo, lineWidth: 2.4 * view.ratio, lineJoin: "round"});
    context.setLineDash([]);
    context.strokeText(shown, view.x(x), view.y(y));
  }
  context.fillStyle = colour;
  context.fillText(shown, view.x(x), view.y(y));
  return shown ? context.measureText(shown).width / view.ppm : 0;
}

// As much of a text as fits into some pixels of the context's font, with dots where it was cut.
function cutText(context, text, pixels) {
  if (!(pixels < Infinity) || context.measureText(text).width <= pixels) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${text.slice(0, middle)}…`).width <= pixels) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low).trimEnd()}…` : "";
}

// The points of one segment in device pixels; where steps are denser than pixels, the extremes of each pixel.
function tracePoints(record, segment, sheet, view) {
  const {lead} = segment, out = [];
  const first = Math.max(0, record.column(segment.start) - 1), last = Math.min(record.trace.columns - 1, record.column(segment.stop) + 2);
  const place = (i) => view.x(segment.x + (record.time(i) - segment.start) * sheet.speed);
  const level = (i) => view.y(segment.baseline - record.value(lead, i) * sheet.gain);
  const dense = last > first && (last - first) / Math.max(1, place(last) - place(first)) > 2;
  if (!dense) {
    for (let i = first; i <= last; i++) out.push(place(i), level(i));
    return out;
  }
  let column = null, low, high, open, close;
  const flush = () => { if (column !== null) for (const y of open <= close ? [low, high] : [high, low]) out.push(column + 0.5, y); };
  for (let i = first; i <= last; i++) {
    const at = Math.floor(place(i)), y = level(i);
    if (at !== column) { flush(); column = at; low = high = open = y; }
    low = Math.min(low, y);
    high = Math.max(high, y);
    close = y;
  }
  flush();
  return out;
}

// A thin line of many points as two hairlines side by side: without a graphics card an eighth of the time of a stroke.
function strokeThin(context, points, thick) {
  const shift = (thick - 1) / 2;
  context.lineWidth = 1;
  for (const d of shift > 0 ? [-shift, shift] : [0]) {
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context[i ? "lineTo" : "moveTo"](points[i] + d, points[i + 1] + d);
    context.stroke();
  }
}

function drawTrace(context, view, sheet, record, segment) {
  const left = view.x(segment.x), width = segment.width * view.ppm;
  if (left > view.width || left + width < 0) return;
  if (!record.present[segment.lead]) {
    strokeOf(context, view, INK.soft, 0.15);
    context.setLineDash([view.ppm, view.ppm]);
    context.beginPath();
    context.moveTo(left, view.y(segment.baseline));
    context.lineTo(left + width, view.y(segment.baseline));
    context.stroke();
    context.setLineDash([]);
    writeText(context, view, "missing", segment.x + 2, segment.baseline - 1.5, {colour: INK.soft});
    return;
  }
  const points = tracePoints(record, segment, sheet, view);
  context.save();
  context.beginPath();
  context.rect(Math.round(left), 0, Math.round(left + width) - Math.round(left), view.height);
  context.clip();
  strokeOf(context, view, INK.trace);
  if (context.lineWidth <= THIN) strokeThin(context, points, context.lineWidth);
  else {
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context[i ? "lineTo" : "moveTo"](points[i], points[i + 1]);
    context.stroke();
  }
  context.restore();
}

// Ticks where the lead changes, and the name of the lead.
function drawNames(context, view, sheet, record) {
  for (const segment of sheet.segments) {
    if (segment.column > 0) {
      strokeOf(context, view, INK.trace);
      context.beginPath();
      context.moveTo(view.x(segment.x), view.y(segment.baseline - 4));
      context.lineTo(view.x(segment.x), view.y(segment.baseline + 4));
      context.stroke();
    }
    writeText(context, view, record.leads[segment.lead], segment.x + 1, segment.y + 3.4, {size: 3.2, weight: 600, room: segment.width - 2});
  }
}

const clean = (number) => String(+number.toFixed(2));
const settingLine = (sheet) => `${clean(sheet.speed)} mm/s  ${clean(sheet.gain)} mm/mV`;

// Name, title and remarks on top, beside the warning; the setting and the seconds below. What is too long ends in dots.
function drawWords(context, view, sheet, record) {
  const left = PAPER.pulseX - 2, right = sheet.width - PAPER.right, high = 5.4, below = sheet.height - 1.4, gap = 3;
  const warning = [record.synthetic ? "synthetic" : "", "Not for clinical use"].filter(Boolean).join(" · ");
  const end = right - gap - writeText(context, view, warning, right, high, {align: "right", weight: 600});
  let x = left;
  for (const [text, about] of [[record.name, {size: 3.6, weight: 600}], [record.title, {colour: INK.soft}], [record.flag, {colour: INK.soft}]]) {
    if (text && end > x) x += writeText(context, view, text, x, high, {...about, room: end - x}) + gap;
  }
  const wide = writeText(context, view, settingLine(sheet), left, below, {weight: 600, room: right - left});
  const {start, stop} = sheet.segments[sheet.segments.length - 1], last = sheet.segments.reduce((most, {stop: at}) => Math.max(most, at), stop);
  writeText(context, view, `${sheet.segments[0].start.toFixed(2)} to ${Math.min(record.seconds, last).toFixed(2)} s`, left + wide + 4, below, {colour: INK.soft, room: right - left - wide - 4});
  strokeOf(context, view, INK.soft, 0.2);
  for (let t = 3 * Math.ceil(start / 3); t <= Math.min(last, record.seconds); t += 3) { // marks of 3 s
    const x = view.x(PAPER.left + (t - start) * sheet.speed);
    context.beginPath();
    context.moveTo(x, view.y(PAPER.top - 2.5));
    context.lineTo(x, view.y(PAPER.top - 0.5));
    context.stroke();
  }
}

// How the clusters are drawn: in a thin row above each strip, also behind the trace, or not at all.
const BANDS = ["thin", "full", "off"];
const bandsOf = ({bands}) => (bands === true ? "thin" : bands === false ? "off" : bands);
// Whether anything that a model says is drawn.
const explains = (settings, record) => Boolean(settings.explain && !settings.hidden && record?.explained);

function drawSheet(context, view, sheet, record, settings) {
  context.clearRect(0, 0, view.width, view.height);
  const explained = explains(settings, record), behind = explained && record.clusters && bandsOf(settings) === "full";
  drawGrid(context, view, sheet, GRIDS[settings.grid === "auto" ? (behind ? "grey" : "pink") : settings.grid] ?? GRIDS.pink);
  if (!record) return;
  if (explained) drawExplanation(context, view, sheet, record, settings);
  if (settings.truth && !settings.hidden) drawTruth(context, view, sheet, record);
  drawPulses(context, view, sheet);
  for (const segment of sheet.segments) drawTrace(context, view, sheet, record, segment);
  drawNames(context, view, sheet, record);
  if (explained) drawNumbers(context, view, sheet, record, settings);
  drawWords(context, view, sheet, record);
}
