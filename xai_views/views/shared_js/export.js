// Pictures to keep: tiles with their titles, the legend in numbers and words, and a caption, on one sheet. It is laid out once, as
// texts, images and areas in CSS pixels, and then painted: as PNG at twice the size, or as SVG with the texts as texts.
const SAVED_SCALE = 2, SAVED = {pad: 16, gap: 12, line: 16, legend: 280, bar: 10};
const SAVED_FONT = 'Roboto, system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif';

function savedMeasure() {
  const context = document.createElement("canvas").getContext("2d");
  return (text, weight = 400) => { context.font = `${weight} 12px ${SAVED_FONT}`; return context.measureText(text).width; };
}

// Text that ends in dots where it is too long.
function savedShort(text, room, measure, weight) {
  if (measure(text, weight) <= room) return text;
  let end = text.length;
  while (end > 0 && measure(`${text.slice(0, end)}…`, weight) > room) end--;
  return `${text.slice(0, end)}…`;
}

function savedLines(text, room, measure) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && measure(longer) <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

// tiles: {canvas, width, height, label, title} in CSS pixels, with x and y where they lie as on the page, else one under another.
// legend: {title, colours, low, middle, high, lower, raise} for a scale, {title, swatches: [{canvas, text}]} for labels.
// Returns {width, height, parts}; parts are {text, x, y, weight, soft, anchor}, {image, x, y, width, height}, {colours, …}.
function layOutSheet({tiles, legend = [], caption = ""}) {
  const measure = savedMeasure(), {pad, gap, line} = SAVED, parts = [], placed = [];
  const left = Math.min(...tiles.map(({x = 0}) => x)), top = Math.min(...tiles.map(({y = 0}) => y));
  let below = 0;
  for (const tile of tiles) {
    const x = tile.x === undefined ? 0 : tile.x - left, y = tile.y === undefined ? below : tile.y - top;
    placed.push({...tile, x: pad + x, y: pad + line + 4 + y});
    below = Math.max(below, y + tile.height + gap + line + 4);
  }
  for (const {canvas, x, y, width, height, label = "", title = ""} of placed) {
    const own = savedShort(label, width, measure, 600), used = own ? measure(own, 600) + 8 : 0;
    if (own) parts.push({text: own, x, y: y - 6, weight: 600});
    if (title && used < width) parts.push({text: savedShort(title, width - used, measure), x: x + used, y: y - 6, soft: true});
    parts.push({image: canvas, x, y, width, height});
  }
  const width = Math.max(2 * pad + SAVED.legend, ...placed.map((tile) => tile.x + tile.width + pad));
  let x = pad, y = pad + below + 4, tall = 0;
  for (const entry of legend) {
    const made = entry.swatches ? layOutSwatches(entry, width - 2 * pad, measure) : layOutScale(entry, measure);
    if (x > pad && x + made.width > width - pad) { x = pad; y += tall + gap; tall = 0; }
    parts.push(...made.parts.map((part) => ({...part, x: part.x + x, y: part.y + y})));
    x += made.width + 2 * gap;
    tall = Math.max(tall, made.height);
  }
  y += tall ? tall + gap : 0;
  for (const text of savedLines(caption, width - 2 * pad, measure)) { parts.push({text, x: pad, y: y + 12}); y += line; }
  return {width: Math.ceil(width), height: Math.ceil(y + pad), parts};
}

function layOutScale({title, colours, low, middle, high, lower, raise}, measure) {
  const {legend: width, bar, line} = SAVED, half = width / 2 - 12;
  const said = (text, x, y, anchor, soft = false) => (text ? [{text: savedShort(text, anchor === "middle" ? width : half, measure), x, y, anchor, soft}] : []);
  return {width, height: 2 * line + bar + line + 4, parts: [
    {text: savedShort(title, width, measure), x: 0, y: 12, soft: true}, {colours, x: 0, y: line + 2, width, height: bar},
    ...said(low, 0, line + bar + 16, "start"), ...said(middle, width / 2, line + bar + 16, "middle"), ...said(high, width, line + bar + 16, "end"),
    ...said(lower, 0, 2 * line + bar + 16, "start", true), ...said(raise, width, 2 * line + bar + 16, "end", true)]};
}

function layOutSwatches({title, swatches}, room, measure) {
  const {line} = SAVED, parts = [{text: title, x: 0, y: 12, soft: true}];
  let x = 0, y = line + 2, width = measure(title);
  for (const {canvas, text} of swatches) {
    const wide = 20 + measure(text);
    if (x > 0 && x + wide > room) { x = 0; y += line + 2; }
    parts.push({image: canvas, x, y, width: 14, height: 14}, {text, x: x + 20, y: y + 11});
    width = Math.max(width, x + wide);
    x += wide + 12;
  }
  return {width, height: y + line, parts};
}

function paintSheet({width, height, parts}, {ink, soft, ground}) {
  const canvas = Object.assign(document.createElement("canvas"), {width: width * SAVED_SCALE, height: height * SAVED_SCALE}), context = canvas.getContext("2d");
  context.scale(SAVED_SCALE, SAVED_SCALE);
  context.fillStyle = ground;
  context.fillRect(0, 0, width, height);
  for (const part of parts) {
    if (part.image) context.drawImage(part.image, part.x, part.y, part.width, part.height);
    else if (part.colours) {
      const gradient = context.createLinearGradient(part.x, 0, part.x + part.width, 0);
      part.colours.forEach((colour, i) => gradient.addColorStop(i / (part.colours.length - 1), colour));
      context.fillStyle = gradient;
      context.fillRect(part.x, part.y, part.width, part.height);
    } else {
      context.font = `${part.weight ?? 400} 12px ${SAVED_FONT}`;
      context.textAlign = {middle: "center", end: "right"}[part.anchor] ?? "left";
      context.fillStyle = part.soft ? soft : ink;
      context.fillText(part.text, part.x, part.y);
    }
  }
  return canvas;
}

const savedText = (text) => String(text).replace(/[&<>"]/g, (sign) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[sign]);

// Each text keeps the length it was laid out with, whatever font is there where the file is opened.
function writeSheet({width, height, parts}, {ink, soft, ground}) {
  const measure = savedMeasure(), out = parts.map((part, i) => {
    const box = `x="${part.x.toFixed(2)}" y="${part.y.toFixed(2)}"`, size = `width="${part.width?.toFixed(2)}" height="${part.height?.toFixed(2)}"`;
    if (part.image) return `<image ${box} ${size} preserveAspectRatio="none" href="${part.image.toDataURL("image/png")}"/>`;
    if (part.colours) {
      const stops = part.colours.map((colour, k) => `<stop offset="${(k / (part.colours.length - 1)).toFixed(4)}" stop-color="${colour}"/>`).join("");
      return `<defs><linearGradient id="scale-${i}">${stops}</linearGradient></defs><rect ${box} ${size} fill="url(#scale-${i})"/>`;
    }
    return `<text ${box} textLength="${Math.max(1, measure(part.text, part.weight)).toFixed(2)}" lengthAdjust="spacingAndGlyphs" font-weight="${part.weight ?? 400}" text-anchor="${part.anchor ?? "start"}" fill="${part.soft ? soft : ink}">${savedText(part.text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${savedText(SAVED_FONT)}" font-size="12">`
    + `<rect width="100%" height="100%" fill="${ground}"/>${out.join("")}</svg>`;
}

function downloadFile(blob, name) {
  const url = URL.createObjectURL(blob), link = h("a", {href: url, download: name, hidden: true});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// Download what is given as one picture; kind is "png" or "svg". See layOutSheet for tiles, legend and caption; ink, soft and
// ground are colours.
async function savePicture({tiles, legend, caption, ink = "#1c2430", soft = "#5b6675", ground = "#ffffff"}, kind, name) {
  if (!tiles.length) return;
  const sheet = layOutSheet({tiles, legend, caption}), colours = {ink, soft, ground};
  const blob = kind === "svg" ? new Blob([writeSheet(sheet, colours)], {type: "image/svg+xml"}) : await new Promise((done) => paintSheet(sheet, colours).toBlob(done, "image/png"));
  downloadFile(blob, `${name}.${kind}`);
}
