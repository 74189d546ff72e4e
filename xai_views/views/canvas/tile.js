// A tile: one picture with its maps on its own canvas. Tiles of one link share zoom, cross-hair and region.
const MAX_ZOOM = 40, READ_MS = 150;

class Link {
  constructor() {
    this.view = {k: 1, x: 0, y: 0};
    this.tiles = new Set();
    this.region = null;
    this.cross = null;
  }

  redraw() { for (const tile of this.tiles) tile.draw(); }

  moveTo(x, y) {
    const {k} = this.view, most = 1 - 1 / k;
    this.view = {k, x: clamp(x, 0, most), y: clamp(y, 0, most)};
    this.redraw();
  }

  // Zoom so that the point at stays under the hand.
  zoomTo(k, at = {x: this.view.x + 0.5 / this.view.k, y: this.view.y + 0.5 / this.view.k}) {
    k = clamp(k, 1, MAX_ZOOM);
    const old = this.view;
    this.view = {...old, k};
    this.moveTo(at.x - ((at.x - old.x) * old.k) / k, at.y - ((at.y - old.y) * old.k) / k);
  }

  reset() { this.view = {k: 1, x: 0, y: 0}; this.redraw(); }

  setCross(at, origin) {
    const fresh = at && !this.cross;
    this.cross = at;
    if (!at) { clearTimeout(this.timer); this.reading = false; }
    if (fresh) this.timer = setTimeout(() => { this.reading = true; this.showCross(); }, READ_MS);
    this.origin = origin;
    this.showCross();
  }

  showCross() { for (const tile of this.tiles) tile.showCross(this.cross, this.reading, tile === this.origin); }

  setRegion(points) { this.region = points; this.redraw(); }
}

class Tile {
  constructor(id, spec, host, {small = false} = {}) {
    Object.assign(this, {id, spec, host, small, drawn: 0});
    this.canvas = h("canvas", {role: "img", "data-tile": id, "aria-label": spec.label || id});
    this.vertical = h("div", {class: "xv-cross xv-cross-x", hidden: true});
    this.horizontal = h("div", {class: "xv-cross xv-cross-y", hidden: true});
    this.read = h("div", {class: "xv-read", hidden: true});
    this.empty = h("div", {class: "xv-empty", hidden: true});
    this.chip = h("div", {class: "xv-chip", role: "status", hidden: true});
    this.stage = h("div", {class: "xv-stage"}, this.canvas, this.vertical, this.horizontal, this.read, this.empty, this.chip);
    this.label = h("span", {class: "xv-label", title: spec.label}, spec.label ?? "");
    this.title = h("span", {class: "xv-title"});
    this.caption = h("figcaption", {}, this.label, this.title);
    this.element = h("figure", {class: small ? "xv-tile xv-small" : "xv-tile", style: `--size:${spec.size ?? 200}px`}, small ? null : this.caption, this.stage);
    this.link = host.link(spec.link ?? spec.photo ?? spec.group ?? id);
    this.link.tiles.add(this);
    attachGestures(this);
    host.resizes.observe(this.stage);
  }

  remove() {
    this.link.tiles.delete(this);
    this.host.resizes.unobserve(this.stage);
    this.element.remove();
  }

  get maps() {
    if (this.host.settings.hidden) return [];
    const all = (this.host.frame?.maps.get(this.id) ?? []).filter((map) => map.drawn !== false), {layers} = this.spec;
    return layers ? layers.map((name) => all.find((map) => map.layer === name)).filter(Boolean) : all;
  }

  // What is drawn and then what is only read under the hand.
  get readable() { return this.host.settings.hidden ? [] : [...this.maps, ...(this.host.frame?.maps.get(this.id) ?? []).filter((map) => map.drawn === false)]; }

  about() { return this.host.frame?.header.tiles?.[this.id] ?? {}; }

  // Height and width of the picture in its own pixels.
  get size() {
    const about = this.about(), source = about.photo ?? this.spec.photo;
    return about.size ?? this.host.frame?.header.tiles?.[source]?.size ?? [1, 1];
  }

  // Id of the tile whose photo is shown, null when there is none.
  get source() { return [this.id, this.about().photo ?? this.spec.photo].find((id) => this.host.frame?.photos.has(id)) ?? null; }

  get photo() { return this.host.frame?.photos.get(this.source) ?? null; }

  // Whether the tile is there: an optional one with maps or a photo of its own; without the model's output each photo once
  // (`seen`), and further ones only if they are said to be none of its output.
  isWanted(seen) {
    const {spec, source, host} = this;
    if (!host.frame) return !spec.optional;
    if (!host.settings.hidden) return !spec.optional || this.maps.length > 0 || source === this.id;
    if (source === null || seen.has(source) || spec.output === true || (seen.size > 0 && spec.output !== false)) return false;
    seen.add(source);
    return true;
  }

  // A new frame: words first, then pixels.
  update(seen = new Set()) {
    const about = this.about(), [tall, wide] = this.size, hidden = !this.small && !this.isWanted(seen), back = this.element.hidden && !hidden;
    this.element.hidden = hidden;
    if (hidden) return;
    this.showTitle();
    setAttribute(this.canvas, "aria-label", this.words(about));
    this.element.classList.toggle("xv-wrong", about.mark === "wrong" && !this.host.settings.hidden);
    const aspect = tall && wide ? `${wide} / ${tall}` : "1", broken = this.aspect !== aspect;
    if (broken) {
      this.stage.style.aspectRatio = this.aspect = aspect;
      this.element.style.setProperty("--narrowing", String(Math.min(1, wide / tall || 1))); // a tall picture is no higher than `size`
    }
    if (broken || back) this.measure();
    const nothing = this.host.frame && !this.photo && !this.maps.length;
    this.empty.hidden = !nothing;
    if (nothing) setText(this.empty, about.reason ?? "Nothing to show here for this sample.");
    this.draw();
    if (this.link.cross) this.showCross(this.link.cross, this.link.reading, false);
  }

  words(about) {
    if (this.host.settings.hidden) return `${this.host.nameOf(about)}; the model's output is hidden`;
    return (about.alt ?? [this.spec.label, about.title].filter(Boolean).join(", ")) || this.id;
  }

  // The title; where every panel has its own limits, they stand beside it. Without the model's output it is the sample's name.
  showTitle() {
    const {settings, frame} = this.host, map = this.maps.find((other) => other.kind !== "label");
    const own = map && hasOwnLimit(map, settings) ? `limit ${formatNumber(limitOf(frame, map, settings))}` : "";
    const text = settings.hidden ? this.host.nameOf(this.about()) : [own, this.about().title].filter(Boolean).join(" · ");
    setText(this.title, text);
    setAttribute(this.title, "title", text);
    this.label.hidden = Boolean(settings.hidden);
    if (this.small) setAttribute(this.stage, "title", own);
  }

  measure() {
    const ratio = window.devicePixelRatio || 1, box = this.stage.getBoundingClientRect();
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    this.ratio = ratio;
    this.box = box;
    if (!width || !height || (this.canvas.width === width && this.canvas.height === height)) return false;
    this.canvas.width = width;
    this.canvas.height = height;
    return true;
  }

  draw() {
    const {canvas, host} = this;
    if (!host.frame) return;
    if (!this.ratio) this.measure();
    if (!canvas.width || !this.box?.width) return;
    this.context ??= canvas.getContext("2d");
    this.paint(this.context, canvas.width, canvas.height, this.ratio);
    this.stage.classList.toggle("xv-zoomed", this.link.view.k > 1);
    this.placeChip();
    this.drawn++;
  }

  paint(context, width, height, ratio) {
    const {host, photo, maps, size, link: {view, region}} = this;
    composeTile(context, width, height, {view, photo, maps, frame: host.frame, settings: host.settings, ratio, size});
    if (region) this.drawRegion(context, width, height, ratio);
  }

  // The tile as it is seen, drawn anew at another scale, and where it lies on the page.
  picture(scale) {
    const {left: x, top: y, width, height} = this.stage.getBoundingClientRect();
    const canvas = Object.assign(document.createElement("canvas"), {width: Math.round(width * scale), height: Math.round(height * scale)});
    this.paint(canvas.getContext("2d"), canvas.width, canvas.height, scale);
    return {canvas, x, y, width, height, label: this.label.hidden ? "" : this.label.textContent, title: this.title.textContent};
  }

  drawRegion(context, width, height, ratio) {
    const {view, region} = this.link;
    const path = new Path2D();
    region.forEach(({x, y}, i) => path[i ? "lineTo" : "moveTo"]((x - view.x) * view.k * width, (y - view.y) * view.k * height));
    path.closePath();
    for (const [line, colour, dash] of [[3.5, "rgba(17,24,39,.85)", []], [1.5, "#ffffff", this.host.draft ? [5, 4] : []]]) {
      context.setLineDash(dash.map((length) => length * ratio));
      context.lineWidth = line * ratio;
      context.strokeStyle = colour;
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  // What is known of the region, beside it and always in view.
  showChip(text) {
    setText(this.chip, text);
    this.chip.hidden = !text;
    this.placeChip();
  }

  placeChip() {
    const {chip} = this;
    if (chip.hidden) return;
    const {view, region} = this.link, {clientWidth: wide, clientHeight: tall} = this.stage, {offsetWidth: width, offsetHeight: height} = chip;
    const points = region ?? [{x: view.x, y: view.y + 1 / view.k}], xs = points.map(({x}) => (x - view.x) * view.k * wide), ys = points.map(({y}) => (y - view.y) * view.k * tall);
    const under = Math.max(...ys) + 6, over = Math.min(...ys) - height - 6, free = under + height <= tall - 4 ? under : over;
    const left = clamp((Math.min(...xs) + Math.max(...xs) - width) / 2, 4, Math.max(4, wide - width - 4));
    chip.style.transform = `translate(${left}px, ${clamp(free < 4 ? tall : free, 4, Math.max(4, tall - height - 4))}px)`;
  }

  showCross(at, reading, origin) {
    const {view} = this.link, x = at && (at.x - view.x) * view.k, y = at && (at.y - view.y) * view.k;
    const seen = at && x >= 0 && x <= 1 && y >= 0 && y <= 1;
    this.vertical.hidden = this.horizontal.hidden = !seen;
    if (seen) {
      this.vertical.style.left = `${100 * x}%`;
      this.horizontal.style.top = `${100 * y}%`;
    }
    const text = seen && reading ? this.readOut(at, origin) : "";
    this.read.hidden = !text;
    if (text) setText(this.read, text);
    this.read.classList.toggle("xv-read-top", seen && y > 0.7);
  }

  // The values under the hand: position in image pixels, then each layer.
  readOut(at, origin) {
    const [tall, wide] = this.size, brief = this.stage.clientWidth < 180;
    const parts = (brief ? this.maps : this.readable).map((map) => {
      const value = valueUnder(map, at), about = {...this.host.frame.header.legend?.[map.layer], ...map};
      let text = formatNumber(value, map.kind === "signed");
      if (map.kind === "label") text = value == null || value < 0 ? "background (no part)" : `${value}${about.names?.[value] ? ` ${about.names[value]}` : ""}`;
      return brief ? text : `${about.title ?? map.layer} ${text}${about.unit && map.kind !== "label" ? ` ${about.unit}` : ""}`;
    });
    const place = `x ${Math.min(wide - 1, Math.floor(at.x * wide))}, y ${Math.min(tall - 1, Math.floor(at.y * tall))}`;
    if (origin && !(brief && parts.length)) parts.unshift(place);
    return parts.join(" · ");
  }

  click(at) {
    const [tall, wide] = this.size;
    const labels = Object.fromEntries(this.maps.filter((map) => map.kind === "label").map((map) => [map.layer, valueUnder(map, at)]));
    this.host.select({tile: this.id, row: this.row ?? null, x: +(at.x * wide).toFixed(2), y: +(at.y * tall).toFixed(2), labels});
  }
}
