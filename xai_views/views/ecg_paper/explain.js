// What is explained: a row of clusters above each strip, striped where uncertain, on request also behind the trace; strips of
// contributions, ground truth.
const ROW_Y = 0.4, ROW_HEIGHT = 4.2, NUMBER_SIZE = 3; // mm from the top of the band: the row of clusters, and its numbers
const FADED = 0.15; // what a highlight leaves of the others
const UNSURE = [1 / 3, 2 / 3]; // entropies from which on a band is broken into stripes
const STRIPES = [null, [2, 1], [2, 0.5]]; // mm from stripe to stripe, and of each; readable in grey print
const ROW_STRIPES = [null, [1.4, 0.8], [1.4, 0.4]]; // in the row above a strip

const doubt = (entropy) => (entropy === null || entropy < UNSURE[0] ? 0 : entropy < UNSURE[1] ? 1 : 2);

// How strongly a stretch is drawn: the highlighted cluster or interval in full, the others faded.
function weightOf(settings, id) {
  const {cluster = null} = settings.highlight ?? {};
  return cluster === null || cluster === id ? 1 : FADED;
}

function rectOf(view, segment, sheet, start, stop, y, height) {
  const left = Math.round(view.x(segment.x + (start - segment.start) * sheet.speed)), right = Math.round(view.x(segment.x + (stop - segment.start) * sheet.speed));
  return [left, view.y(y), Math.max(1, right - left), height * view.ppm];
}

// Horizontal stripes of a colour as a pattern, whose first one begins at ``top``. One fill in place of a rectangle for each stripe.
const stripeTiles = new Map();
function stripes(context, colour, level, ppm, top, kinds) {
  const [pitch, tall] = kinds[level].map((mm) => Math.max(1, Math.round(mm * ppm))), key = `${colour} ${pitch} ${tall}`;
  if (!stripeTiles.has(key)) {
    if (stripeTiles.size > 200) stripeTiles.clear(); // a zoom leaves its sizes behind
    const tile = Object.assign(document.createElement("canvas"), {width: 1, height: pitch}), brush = tile.getContext("2d");
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, Math.min(tall, pitch - 1));
    stripeTiles.set(key, {pattern: context.createPattern(tile, "repeat"), top: 0});
  }
  const known = stripeTiles.get(key);
  if (known.top !== top) {
    known.pattern.setTransform(new DOMMatrix([1, 0, 0, 1, 0, top]));
    known.top = top;
  }
  return known.pattern;
}

// Fill a stretch of a band: whole where it is certain, in horizontal stripes where it is not.
function fillBand(context, view, rect, level, colour, hatch, kinds = STRIPES) {
  const [left, top, width, height] = rect, first = Math.round(top), last = Math.round(top + height);
  context.fillStyle = level ? stripes(context, colour, level, view.ppm, first, kinds) : colour;
  context.fillRect(left, first, width, last - first);
  if (!hatch) return;
  context.fillStyle = hatch;
  const [pitch, tall] = level ? kinds[level].map((mm) => Math.max(1, Math.round(mm * view.ppm))) : [height, height];
  for (let y = first; y < last; y += pitch) context.fillRect(left, y, width, Math.min(tall, last - y));
}

function drawBands(context, view, sheet, record, segment, settings) {
  const stop = Math.min(segment.stop, record.seconds), behind = bandsOf(settings) === "full", unsure = record.entropy && settings.uncertainty;
  for (const [id, from, to] of record.clusters.runs(segment.lead, segment.start, stop)) {
    if (id === null || id < 0) continue;
    const weight = weightOf(settings, id), colour = colourOf(id), hatch = id >= 8 ? context.createPattern(hatchTile(hatchOf(id)), "repeat") : null;
    for (const [level, a, b] of unsure ? record.entropy.runs(segment.lead, from, to, doubt) : [[0, from, to]]) {
      context.globalAlpha = weight;
      fillBand(context, view, rectOf(view, segment, sheet, a, b, segment.band + ROW_Y, ROW_HEIGHT), level, colour, hatch, ROW_STRIPES);
      context.globalAlpha = settings.opacity * weight;
      if (behind) fillBand(context, view, rectOf(view, segment, sheet, a, b, segment.y, segment.height), level, colour, hatch);
    }
  }
  context.globalAlpha = 1;
}

// Numbers in the row of clusters, above the traces: none where it does not fit, and none on a trace that leaves its strip.
function drawNumbers(context, view, sheet, record, settings) {
  if (!record.clusters || bandsOf(settings) === "off") return;
  context.font = fontOf(view, NUMBER_SIZE, 600);
  const wide = context.measureText("0").width / view.ppm;
  for (const segment of sheet.segments) {
    if (segment.band === null || view.x(segment.x) > view.width || view.x(segment.x + segment.width) < 0) continue;
    for (const [id, from, to] of record.clusters.runs(segment.lead, segment.start, Math.min(segment.stop, record.seconds))) {
      const half = (String(id).length * wide) / 2;
      if (id === null || id < 0 || (to - from) * sheet.speed < 2 * half) continue;
      const middle = segment.x + ((from + to) / 2 - segment.start) * sheet.speed;
      if (crossed(sheet, record, segment, middle - half, middle + half)) continue;
      context.globalAlpha = Math.max(2 * FADED, weightOf(settings, id));
      writeText(context, view, String(id), middle, segment.band + ROW_Y + ROW_HEIGHT / 2 + 1.1, {size: NUMBER_SIZE, align: "center", weight: 600, halo: "rgba(255, 255, 255, .85)"});
    }
  }
  context.globalAlpha = 1;
}

// Whether a trace of this row or of the one above passes through the band of a segment between two mm.
function crossed(sheet, record, segment, left, right) {
  const top = segment.band, bottom = segment.band + PAPER.band;
  return sheet.segments.some((other) => {
    if ((other.row !== segment.row && other.row !== segment.row - 1) || other.x >= right || other.x + other.width <= left || !record.present[other.lead]) return false;
    const time = (x) => other.start + (clamp(x, other.x, other.x + other.width) - other.x) / sheet.speed;
    let [high, low] = [Infinity, -Infinity];
    for (let i = record.column(time(left)); i <= record.column(time(right)) + 1; i++) {
      const mv = record.value(other.lead, i);
      if (mv === null) continue;
      const y = other.baseline - mv * sheet.gain;
      high = Math.min(high, y);
      low = Math.max(low, y);
    }
    return high < bottom && low > top;
  });
}

// Veil everything but the highlighted interval.
function drawVeil(context, view, sheet, segment, {lead, start, stop}) {
  const own = lead < 0 || lead === segment.lead, from = own ? Math.max(segment.start, start) : segment.stop, to = own ? Math.min(segment.stop, stop) : segment.stop;
  const kept = to > from, top = segment.band ?? segment.y, tall = segment.y + segment.height - top;
  context.fillStyle = "rgba(255, 255, 255, .65)";
  for (const [a, b] of kept ? [[segment.start, from], [to, segment.stop]] : [[segment.start, segment.stop]])
    if (b > a) context.fillRect(...rectOf(view, segment, sheet, a, b, top, tall));
  if (!kept) return;
  strokeOf(context, view, INK.text, 0.25);
  context.strokeRect(...rectOf(view, segment, sheet, from, to, top + 0.3, tall - 0.6));
}

// [value, first pixel, last pixel + 1] along a strip: its steps, or the means of pixels where steps are finer than those.
function* bars(view, sheet, segment, strip, left, right, stop) {
  const pixel = 1 / (view.ppm * sheet.speed), place = (time) => Math.round(view.x(segment.x + (time - segment.start) * sheet.speed));
  if (strip.step >= 2 * pixel) {
    for (const [value, from, to] of strip.runs(segment.lead, segment.start, stop)) yield [value, Math.max(left, place(from)), Math.min(right, place(to))];
    return;
  }
  for (let x = left; x < right; x++) {
    const time = segment.start + (x / view.ppm + view.ox - segment.x) / sheet.speed;
    if (time >= segment.start - pixel && time < stop) yield [strip.mean(segment.lead, time, time + pixel), x, x + 1];
  }
}

function drawStrip(context, view, sheet, record, segment, settings) {
  const {strip} = record, middle = view.y(segment.strip + PAPER.stripHeight / 2), half = (PAPER.stripHeight / 2) * view.ppm;
  const limit = stripLimit(record, settings), table = TABLES[settings.map] ?? TABLES.CET_D1A;
  const left = Math.max(0, Math.floor(view.x(segment.x))), right = Math.min(view.width, Math.ceil(view.x(segment.x + segment.width)));
  context.fillStyle = "rgba(255, 255, 255, .8)";
  context.fillRect(left, view.y(segment.strip), right - left, PAPER.stripHeight * view.ppm);
  for (const [value, from, to] of bars(view, sheet, segment, strip, left, right, Math.min(record.seconds, segment.stop))) {
    if (!value || to <= from) continue;
    const share = clamp(value / limit, -1, 1), index = 3 * Math.round(share * 127 + 127), tall = share * half;
    context.fillStyle = `rgb(${table[index]} ${table[index + 1]} ${table[index + 2]})`;
    context.fillRect(from, Math.min(middle, middle - tall), to - from, Math.max(1, Math.abs(tall)));
  }
  strokeOf(context, view, INK.soft, 0.1);
  context.beginPath();
  context.moveTo(left, Math.round(middle) + 0.5);
  context.lineTo(right, Math.round(middle) + 0.5);
  context.stroke();
}

const stripLimit = (record, settings) => (settings.limit > 0 ? settings.limit : record.contribution.limit) || 1;

// "II +0.31" for the leads of each row at its right edge.
function drawTotals(context, view, sheet, record) {
  const {totals} = record.contribution, right = sheet.width - PAPER.right - PAPER.totals + 2, lines = {};
  for (const segment of sheet.segments) (lines[segment.row] ??= []).push(segment);
  for (const row of Object.values(lines)) {
    row.forEach((segment, i) => writeText(context, view, `${record.leads[segment.lead]} ${formatNumber(totals[segment.lead], true)}`, right, segment.y + 7.2 + 4 * i, {size: 2.8}));
  }
  writeText(context, view, `total (${record.contribution.unit})`, right, PAPER.top - 1, {size: 2.6, colour: INK.soft});
}

function drawExplanation(context, view, sheet, record, settings) {
  for (const segment of sheet.segments) {
    if (view.x(segment.x) > view.width || view.x(segment.x + segment.width) < 0) continue;
    if (record.clusters && segment.band !== null) drawBands(context, view, sheet, record, segment, settings);
    if (record.strip && segment.strip !== null) drawStrip(context, view, sheet, record, segment, settings);
    if (settings.highlight?.interval) drawVeil(context, view, sheet, segment, settings.highlight.interval);
  }
  if (record.contribution.totals && record.strip && settings.strip) drawTotals(context, view, sheet, record);
}

// The ground truth as outlined brackets around the trace, with their word.
function drawTruth(context, view, sheet, record) {
  strokeOf(context, view, INK.text, 0.4);
  for (const segment of sheet.segments) {
    for (const [lead, start, stop, word] of record.truth) {
      const from = Math.max(start, segment.start), to = Math.min(stop, segment.stop);
      if ((lead >= 0 && lead !== segment.lead) || to <= from) continue;
      const [left, top, width, height] = rectOf(view, segment, sheet, from, to, segment.y + 5, segment.height - 6), foot = Math.min(1.2 * view.ppm, width / 2);
      strokeOf(context, view, INK.text, 0.4);
      context.beginPath();
      for (const [x, way] of [[left, 1], [left + width, -1]]) {
        context.moveTo(x + way * foot, top);
        context.lineTo(x, top);
        context.lineTo(x, top + height);
        context.lineTo(x + way * foot, top + height);
      }
      context.stroke();
      if (word) writeText(context, view, word, segment.x + (from - segment.start) * sheet.speed + 0.5, segment.y + segment.height - 1.6, {size: 2.4, colour: INK.soft, room: segment.x + segment.width - (segment.x + (from - segment.start) * sheet.speed) - 1});
    }
  }
}
