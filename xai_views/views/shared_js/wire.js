// Read a frame: header, photographs (decoded once, kept as bitmaps) and maps (typed arrays, coloured when drawn).
const MISSING = -128;
const ARRAYS = {int8: Int8Array, uint8: Uint8Array, int16: Int16Array};

function splitFrame(raw) {
  const buffer = raw.buffer ?? raw, start = raw.byteOffset ?? 0;
  const bytes = new Uint8Array(buffer, start, raw.byteLength);
  if (bytes.length < 8 || bytes[0] !== 88 || bytes[1] !== 86 || bytes[2] !== 49) return null;
  const length = new DataView(buffer, start, 8).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const blob = (index) => bytes.subarray(8 + length + header.blobs[index][0]).subarray(0, header.blobs[index][1]);
  return {header, blob};
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function decodeMap(entry, bytes) {
  if (entry.encoding === "deflate") bytes = await inflate(bytes);
  const kind = ARRAYS[entry.dtype], copy = bytes.slice(); // aligned, and free of the frame's buffer
  const codes = new kind(copy.buffer, 0, copy.byteLength / kind.BYTES_PER_ELEMENT);
  return {...entry, codes, rows: entry.shape[0], columns: entry.shape[1]};
}

// -> {key, seq, final, error, header, photos: Map(tile -> {bitmap, rect}), maps: Map(tile -> [map]), bytes}
async function decodeFrame(raw) {
  const split = splitFrame(raw);
  if (!split) return null;
  const {header, blob} = split;
  const frame = {
    key: header.key, seq: header.seq, final: header.final !== false, error: header.error || "", header,
    photos: new Map(), maps: new Map(), limits: new Map(), bytes: 2048,
  };
  const sheets = header.photos.map((entry) => createImageBitmap(new Blob([blob(entry.blob)], {type: entry.type})).catch(() => null)); // one that cannot be read takes no other with it
  const maps = await Promise.all(header.maps.map((entry) => decodeMap(entry, blob(entry.blob))));
  for (const map of maps) {
    if (!frame.maps.has(map.tile)) frame.maps.set(map.tile, []);
    frame.maps.get(map.tile).push(map);
    frame.bytes += map.codes.byteLength * 5; // codes and, once drawn, colours
  }
  const bitmaps = await Promise.all(sheets);
  header.photos.forEach((entry, i) => {
    if (!bitmaps[i]) { entry.tiles.forEach((tile) => { (header.tiles[tile] ??= {}).reason ??= "This picture could not be decoded."; }); return; }
    frame.bytes += bitmaps[i].width * bitmaps[i].height * 4;
    entry.tiles.forEach((tile, j) => frame.photos.set(tile, {bitmap: bitmaps[i], rect: entry.rects[j]}));
  });
  frame.close = () => bitmaps.forEach((bitmap) => bitmap?.close());
  return frame;
}

// The value under a cell, null where nothing is known.
function valueAt(map, row, column) {
  const code = map.codes[row * map.columns + column];
  if (code === undefined || (map.kind === "signed" && code === MISSING)) return null;
  return map.kind === "label" ? code : code * map.scale;
}

// The value of a map under a position given as shares of the picture.
function valueUnder(map, {x, y}) {
  return valueAt(map, clamp(Math.floor(y * map.rows), 0, map.rows - 1), clamp(Math.floor(x * map.columns), 0, map.columns - 1));
}

// |value| at a percentile of one map; 100 is the largest.
function percentileOf(map, percentile) {
  map.percentiles ??= new Map();
  if (!map.percentiles.has(percentile)) {
    const counts = new Uint32Array(256);
    let total = 0;
    for (const code of map.codes) if (!(map.kind === "signed" && code === MISSING)) { counts[Math.abs(code)]++; total++; }
    let level = 255, above = total * (1 - percentile / 100);
    while (level > 0 && (above -= counts[level]) >= 0) level--;
    map.percentiles.set(percentile, Math.max(level, 0) * map.scale);
  }
  return map.percentiles.get(percentile);
}

const isLocked = (map, settings) => settings.locked?.[map.layer] > 0;
const hasOwnLimit = (map, settings) => settings.limits === "per panel" && !isLocked(map, settings) && !(settings.limit > 0);

// The limit of one map under the settings: locked, fixed, its own, or shared by all maps of a layer.
function limitOf(frame, map, settings) {
  if (isLocked(map, settings)) return settings.locked[map.layer];
  if (settings.limit > 0) return settings.limit;
  if (hasOwnLimit(map, settings)) return percentileOf(map, settings.percentile) || 1;
  const name = `${map.layer} ${settings.percentile}`;
  if (!frame.limits.has(name)) {
    let limit = 0;
    for (const maps of frame.maps.values())
      for (const other of maps) if (other.layer === map.layer) limit = Math.max(limit, percentileOf(other, settings.percentile));
    frame.limits.set(name, limit || 1);
  }
  return frame.limits.get(name);
}
