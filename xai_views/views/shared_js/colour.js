// Colours: tables from Python, overlays from maps, hatching for categories beyond eight.
const TABLES = Object.fromEntries(Object.entries(COLOURS.tables).map(([name, text]) => [name, bytesOfBase64(text)]));
const CATEGORIES = COLOURS.categorical.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
// An address may name a table that is offered no more.
const tableOf = (map, settings) => (map.kind === "signed" ? TABLES[settings.map] ?? TABLES.CET_D1A : TABLES[settings.sequential] ?? TABLES.viridis);

const little = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

// 256 colours, one for each code of a signed or sequential map. Opaque where there is no photo under the map.
function colourCodes(map, limit, settings, opaque) {
  const table = tableOf(map, settings), signed = map.kind === "signed", out = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const code = signed ? i - 128 : i;
    if (signed && code === MISSING) continue;
    const share = clamp((code * map.scale) / limit, -1, 1), size = Math.abs(share);
    const hidden = (settings.sign === "for" && code < 0) || (settings.sign === "against" && code > 0) || size < settings.threshold;
    const index = 3 * Math.round(signed ? (hidden ? 127 : share * 127 + 127) : (hidden ? 0 : share) * 255);
    const alpha = opaque ? 255 : hidden ? 0 : Math.round(255 * settings.opacity * Math.pow(size, 0.7));
    out[i] = little(table[index], table[index + 1], table[index + 2], alpha);
  }
  return out;
}

function colourOf(id) {
  const [r, g, b] = CATEGORIES[((id % 8) + 8) % 8];
  return `rgb(${r} ${g} ${b})`;
}

// A small square in the colour and hatching of an id, as the maps draw it.
function paintSwatch(canvas, id) {
  const context = canvas.getContext("2d"), {width, height} = canvas;
  context.fillStyle = colourOf(id);
  context.fillRect(0, 0, width, height);
  if (id < 8) return canvas;
  context.fillStyle = context.createPattern(hatchTile(hatchOf(id)), "repeat");
  context.fillRect(0, 0, width, height);
  return canvas;
}

// A canvas with one pixel per cell, kept until a setting that matters changes.
function overlayOf(map, limit, settings, opaque) {
  const focus = map.kind === "label" ? settings.focus?.[map.layer] ?? null : null;
  const about = [limit, settings.map, settings.sequential, settings.sign, settings.threshold, settings.opacity, opaque, focus].join();
  if (map.overlay?.about === about) return map.overlay.canvas;
  const canvas = map.overlay?.canvas ?? Object.assign(document.createElement("canvas"), {width: map.columns, height: map.rows});
  const context = canvas.getContext("2d"), image = context.createImageData(map.columns, map.rows);
  const pixels = new Uint32Array(image.data.buffer), codes = map.codes;
  if (map.kind === "label") {
    const alpha = Math.round(255 * (opaque ? 1 : 0.6 * settings.opacity));
    const colours = CATEGORIES.map(([r, g, b]) => little(r, g, b, alpha));
    const chosen = focus?.length ? new Set(focus) : null, veil = little(17, 24, 39, opaque ? 255 : 170); // all but the chosen ids step back
    for (let i = 0; i < codes.length; i++) pixels[i] = chosen && !chosen.has(codes[i]) ? veil : codes[i] < 0 ? 0 : colours[codes[i] % 8];
  } else {
    const colours = colourCodes(map, limit, settings, opaque), shift = map.kind === "signed" ? 128 : 0;
    for (let i = 0; i < codes.length; i++) pixels[i] = colours[codes[i] + shift];
  }
  context.putImageData(image, 0, 0);
  map.overlay = {about, canvas};
  return canvas;
}

const HATCH = {1: "M-2 10 10-2M6 18 18 6M-2 18 18-2", 2: "M-2-2 18 18M6-2 18 10M-2 6 10 18", 3: "M0 4h16M0 12h16", 4: "M4 4h2v2H4zM12 12h2v2h-2z"};
const hatchTiles = {};
const hatchOf = (id) => ((Math.floor(id / 8) - 1) % 4) + 1;

function hatchTile(kind) {
  if (!hatchTiles[kind]) {
    const tile = Object.assign(document.createElement("canvas"), {width: 16, height: 16}), context = tile.getContext("2d");
    context.lineWidth = 2;
    context.strokeStyle = "rgba(255,255,255,.9)";
    context.stroke(new Path2D(HATCH[kind]));
    context.lineWidth = 1;
    context.strokeStyle = "rgba(0,0,0,.75)";
    context.stroke(new Path2D(HATCH[kind]));
    hatchTiles[kind] = tile;
  }
  return hatchTiles[kind];
}

// Hatch the regions of ids >= 8; ids 8-15 diagonally, 16-23 back-diagonally, then horizontally, then dotted.
function drawHatching(context, map, source, width, height) {
  const kinds = new Set();
  for (const id of map.codes) if (id >= 8) kinds.add(hatchOf(id));
  for (const kind of kinds) {
    const mask = Object.assign(document.createElement("canvas"), {width: map.columns, height: map.rows});
    const small = mask.getContext("2d"), image = small.createImageData(map.columns, map.rows);
    map.codes.forEach((id, i) => { if (id >= 8 && hatchOf(id) === kind) image.data[4 * i + 3] = 255; });
    small.putImageData(image, 0, 0);
    const big = Object.assign(document.createElement("canvas"), {width, height}), layer = big.getContext("2d");
    layer.imageSmoothingEnabled = false;
    layer.drawImage(mask, ...source, 0, 0, width, height);
    layer.globalCompositeOperation = "source-in";
    layer.fillStyle = layer.createPattern(hatchTile(kind), "repeat");
    layer.fillRect(0, 0, width, height);
    context.drawImage(big, 0, 0);
  }
}

const PIXELS_SHOWN = 256; // pictures up to this many pixels a side are drawn pixel by pixel unless "smooth" is chosen

// Whether a picture of [height, width] pixels is drawn smoothly where it is enlarged.
const isSmooth = (settings, size) => settings.smooth ?? Math.max(...size) > PIXELS_SHOWN;

// Draw one tile. view = {k, x, y}: zoom and the shown corner, as shares of the picture; size = [height, width] of the picture.
function composeTile(context, width, height, {view, photo, maps, frame, settings, ratio, size}) {
  const {k, x, y} = view, smooth = isSmooth(settings, size);
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  if (photo) {
    const [left, top, w, tall] = photo.rect;
    context.imageSmoothingEnabled = smooth || width * k < w;
    context.imageSmoothingQuality = width * k < 0.6 * w ? "high" : "medium";
    context.drawImage(photo.bitmap, left + x * w, top + y * tall, w / k, tall / k, 0, 0, width, height);
    if (settings.grey && settings.overlay && maps.length) {
      context.globalCompositeOperation = "saturation";
      context.fillStyle = "hsl(0 0% 50%)";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
    }
  }
  if (!settings.overlay && photo) return;
  maps.forEach((map, i) => {
    const source = [x * map.columns, y * map.rows, map.columns / k, map.rows / k];
    const limit = map.kind === "label" ? 1 : limitOf(frame, map, settings);
    context.imageSmoothingEnabled = smooth && map.kind !== "label";
    context.imageSmoothingQuality = "low";
    context.drawImage(overlayOf(map, limit, settings, !photo && i === 0), ...source, 0, 0, width, height);
    if (map.kind === "label" && !settings.focus?.[map.layer]?.length) drawHatching(context, map, source, width, height);
    if (settings.outline || map.kind === "label") {
      drawContours(context, map, limit, settings, {width, height, view, ratio});
      if (map.kind === "label" && width >= 120 * ratio) drawNumbers(context, map, {width, height, view, ratio});
    }
  });
}
