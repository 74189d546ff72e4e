// Outlines: contours of signed and sequential maps (dashed = against), borders and numbers of label maps.

// Marching squares through cell centres; returns a path in cell coordinates.
function contourPath(map, level, sign) {
  const {rows, columns, codes} = map, path = new Path2D();
  const at = (r, c) => {
    const code = codes[clamp(r, 0, rows - 1) * columns + clamp(c, 0, columns - 1)];
    return code === MISSING && map.kind === "signed" ? 0 : sign * code;
  };
  const inside = (r, c) => (r < 0 || c < 0 || r >= rows || c >= columns ? -1e-6 : at(r, c) - level);
  for (let r = -1; r < rows; r++)
    for (let c = -1; c < columns; c++) {
      const a = inside(r, c), b = inside(r, c + 1), d = inside(r + 1, c + 1), e = inside(r + 1, c);
      const cell = (a > 0 ? 8 : 0) | (b > 0 ? 4 : 0) | (d > 0 ? 2 : 0) | (e > 0 ? 1 : 0);
      if (cell === 0 || cell === 15) continue;
      const y = r + 0.5, x = c + 0.5;
      const north = [x + a / (a - b), y], south = [x + e / (e - d), y + 1];
      const west = [x, y + a / (a - e)], east = [x + 1, y + b / (b - d)];
      const lines = {
        1: [west, south], 2: [south, east], 3: [west, east], 4: [north, east], 5: [west, north, south, east],
        6: [north, south], 7: [west, north], 8: [west, north], 9: [north, south], 10: [north, east, west, south],
        11: [north, east], 12: [west, east], 13: [south, east], 14: [west, south],
      }[cell];
      for (let i = 0; i < lines.length; i += 2) { path.moveTo(...lines[i]); path.lineTo(...lines[i + 1]); }
    }
  return path;
}

function borderPath(map) {
  const {rows, columns, codes} = map, path = new Path2D();
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const id = codes[r * columns + c];
      if (c + 1 < columns && codes[r * columns + c + 1] !== id) { path.moveTo(c + 1, r); path.lineTo(c + 1, r + 1); }
      if (r + 1 < rows && codes[(r + 1) * columns + c] !== id) { path.moveTo(c, r + 1); path.lineTo(c + 1, r + 1); }
    }
  return path;
}

function pathsOf(map, limit, settings) {
  const share = settings.threshold > 0 ? settings.threshold : 0.5, level = (share * limit) / map.scale;
  const about = `${level} ${settings.sign}`;
  if (map.paths?.about === about) return map.paths.list;
  const list = [];
  if (map.kind === "label") list.push([borderPath(map), []]);
  else {
    if (settings.sign !== "against") list.push([contourPath(map, level, 1), []]);
    if (map.kind === "signed" && settings.sign !== "for") list.push([contourPath(map, level, -1), [4, 3]]);
  }
  map.paths = {about, list};
  return list;
}

function drawContours(context, map, limit, settings, {width, height, view, ratio}) {
  const transform = new DOMMatrix([
    (width * view.k) / map.columns, 0, 0, (height * view.k) / map.rows, -view.x * view.k * width, -view.y * view.k * height,
  ]);
  for (const [path, dash] of pathsOf(map, limit, settings)) {
    const placed = new Path2D();
    placed.addPath(path, transform);
    context.setLineDash([]);
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "rgba(255,255,255,.75)";
    context.stroke(placed);
    context.setLineDash(dash.map((length) => length * ratio));
    context.lineWidth = 1.25 * ratio;
    context.strokeStyle = "#111827";
    context.stroke(placed);
    context.setLineDash([]);
  }
}

// One place for the number of each id: the cell of the region that lies nearest to its centre of gravity.
function anchorsOf(map) {
  if (map.anchors) return map.anchors;
  const sums = new Map();
  map.codes.forEach((id, i) => {
    if (id < 0) return;
    if (!sums.has(id)) sums.set(id, {n: 0, x: 0, y: 0, best: Infinity});
    const sum = sums.get(id);
    sum.n++;
    sum.x += i % map.columns;
    sum.y += Math.floor(i / map.columns);
  });
  map.codes.forEach((id, i) => {
    const sum = sums.get(id);
    if (!sum) return;
    const column = i % map.columns, row = Math.floor(i / map.columns);
    const distance = (column - sum.x / sum.n) ** 2 + (row - sum.y / sum.n) ** 2;
    if (distance < sum.best) Object.assign(sum, {best: distance, column, row});
  });
  map.anchors = [...sums].map(([id, {column, row}]) => ({id, x: (column + 0.5) / map.columns, y: (row + 0.5) / map.rows}));
  return map.anchors;
}

function drawNumbers(context, map, {width, height, view, ratio}) {
  context.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * ratio;
  for (const {id, x, y} of anchorsOf(map)) {
    const px = (x - view.x) * view.k * width, py = (y - view.y) * view.k * height;
    context.strokeStyle = "rgba(255,255,255,.9)";
    context.strokeText(id, px, py);
    context.fillStyle = "#111827";
    context.fillText(id, px, py);
  }
}
