// Where each piece of an ECG lies on the paper, in mm: the same arithmetic as layout.py, tested against it.
const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const LAYOUTS = {"3x4+1": [3, 3], "3x4": [3, 3], "6x2": [6, 2.5], "12x1": [0, 2]}; // rows, height of a row in mV
const SPEEDS = [12.5, 25, 50], GAINS = [5, 10, 20];
const PAPER = {left: 15, right: 5, top: 10, bottom: 5, band: 5, pulseX: 5, pulseWidth: 5, lane: 10, stripTop: 1, stripHeight: 8, totals: 20, page: 10};

function orderedLeads(leads) {
  const known = LEADS.filter((name) => leads.includes(name)).map((name) => leads.indexOf(name));
  return [...known, ...[...leads.keys()].filter((i) => !known.includes(i))];
}

// -> {width, height, speed, gain, segments: [{lead, row, column, start, stop, x, y, width, height, baseline, strip, band}], baselines}
function sheetOf({layout, leads, start = 0, seconds = PAPER.page, speed = 25, gain = 10, strip = "none", totals = false, rhythm = "II", bands = false}) {
  const order = orderedLeads(leads), [wanted, tall] = LAYOUTS[layout];
  const rows = Math.min(wanted || order.length, order.length), columns = Math.ceil(order.length / rows);
  const span = layout === "12x1" ? seconds : PAPER.page / columns, height = 5 * Math.ceil((tall * gain) / 5);
  const long = layout === "3x4+1", count = rows + long, offset = 5 * Math.ceil(height / 10), above = bands ? PAPER.band : 0;
  const lanes = Array.from({length: count}, (_, row) => strip === "each" || (strip === "last" && row === count - 1));
  const tops = lanes.map((_, row) => PAPER.top + above + row * (height + above) + PAPER.lane * lanes.slice(0, row).filter(Boolean).length);
  const segment = (lead, row, column, length) => ({
    lead, row, column, start: start + column * span, stop: start + column * span + length,
    x: PAPER.left + column * span * speed, y: tops[row], width: length * speed, height, baseline: tops[row] + offset,
    strip: lanes[row] ? tops[row] + height + PAPER.stripTop : null, band: bands ? tops[row] - PAPER.band : null,
  });
  const segments = order.map((lead, i) => segment(lead, i % rows, Math.floor(i / rows), span));
  if (long) segments.push(segment(leads.includes(rhythm) ? leads.indexOf(rhythm) : order[0], rows, 0, span * columns));
  return {
    width: PAPER.left + span * columns * speed + PAPER.right + (totals ? PAPER.totals : 0),
    height: PAPER.top + count * (height + above) + PAPER.lane * lanes.filter(Boolean).length + PAPER.bottom,
    speed, gain, segments, baselines: tops.map((top) => top + offset),
  };
}

// The width that a page of a scrolled record needs besides its seconds.
const marginsOf = (totals) => PAPER.left + PAPER.right + (totals ? PAPER.totals : 0);
