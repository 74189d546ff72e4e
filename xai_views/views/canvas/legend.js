// The legend: a colour bar with numbers for each kind of map in view, and what its two ends mean.
const STOPS = 32; // of a colour table where it is drawn as a gradient

class Legend {
  constructor(host) {
    this.host = host;
    this.bars = new Map();
    this.element = h("div", {class: "xv-legend", "aria-label": "Legend", role: "group"});
    this.warning = h("p", {class: "xv-warning", role: "note", hidden: true}, "Colour ranges differ between panels: equal colours do not mean equal values.");
  }

  // One entry for each layer in view, described by its first map and the header's legend.
  update() {
    const {frame, settings} = this.host;
    const layers = new Map();
    for (const tile of this.host.allTiles()) if (!tile.element.hidden) for (const map of tile.maps) if (!layers.has(map.layer)) layers.set(map.layer, map);
    this.element.hidden = !settings.legend || (frame && !layers.size);
    this.warning.hidden = ![...layers.values()].some((map) => map.kind !== "label" && hasOwnLimit(map, settings));
    if (!frame) return;
    for (const [name, bar] of this.bars) if (!layers.has(name)) { bar.element.remove(); this.bars.delete(name); }
    for (const [name, map] of layers) {
      const kind = map.kind === "label" ? "label" : "scale";
      if (this.bars.get(name)?.kind !== kind) {
        this.bars.get(name)?.element.remove();
        const bar = kind === "label" ? this.makeSwatches() : this.makeBar();
        this.bars.set(name, {...bar, kind});
        this.element.append(bar.element);
      }
      const about = {...frame.header.legend?.[name], ...map}, bar = this.bars.get(name);
      if (kind === "label") this.fillSwatches(bar, map, about);
      else this.fillBar(bar, map, about);
    }
  }

  makeBar() {
    const canvas = h("canvas", {width: 256, height: 1, class: "xv-bar", "aria-hidden": true});
    const name = h("span"), locked = h("span", {class: "xv-locked", hidden: true}, "locked"), low = h("span"), middle = h("span"), high = h("span");
    const lower = h("span"), raise = h("span");
    const element = h("div", {class: "xv-scale xv-line"}, h("div", {class: "xv-bar-title"}, name, locked), h("div", {class: "xv-range"}, low, canvas, high), h("div", {class: "xv-words"}, lower, middle, raise));
    return {element, canvas, name, locked, low, middle, high, lower, raise};
  }

  // What stands at one colour bar: numbers, words and why the range is as it is.
  scaleOf(map, about) {
    const {frame, settings} = this.host, own = hasOwnLimit(map, settings), locked = isLocked(map, settings);
    const limit = limitOf(frame, map, settings), signed = map.kind === "signed", named = about.target ? ` ${about.target}` : "";
    const clipped = locked || settings.limit > 0 || settings.percentile < 100; // the ends stand for more than the number
    const why = locked ? "Locked colour range" : settings.limit > 0 ? "Fixed colour range" : `Colour range up to the ${settings.percentile < 100 ? `${settings.percentile}th percentile` : "largest value"}, ${own ? "separate per panel" : "shared by all panels"}`;
    return {
      signed, limit, locked, own, why, table: signed ? settings.map : settings.sequential,
      title: `${about.title ?? map.layer}${about.unit ? ` (${about.unit})` : ""}`,
      low: own ? (signed ? "− own limit" : "0") : signed ? `${clipped ? "≤ " : ""}${formatNumber(-limit, true)}` : "0",
      middle: signed ? "0" : "",
      high: own ? (signed ? "+ own limit" : "own limit") : `${clipped ? "≥ " : ""}${formatNumber(limit, signed)}`,
      lower: about.low ?? (signed ? (named ? `lowers${named}` : "negative") : ""),
      raise: about.high ?? (signed ? (named ? `raises${named}` : "positive") : ""),
    };
  }

  fillBar(bar, map, about) {
    const scale = this.scaleOf(map, about);
    setText(bar.name, scale.title);
    for (const part of ["low", "middle", "high", "lower", "raise"]) setText(bar[part], scale[part]);
    bar.locked.hidden = !scale.locked;
    setAttribute(bar.element, "title", `${scale.title}. ${scale.why}.`);
    setAttribute(bar.element, "data-limit", String(scale.own ? "" : scale.limit));
    bar.said = {...scale, title: `${scale.title}${scale.locked ? ", locked" : ""}`};
    if (bar.table === scale.table) return;
    bar.table = scale.table;
    const context = bar.canvas.getContext("2d"), image = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) image.data.set([...this.colourAt(scale, i / 255), 255], 4 * i);
    context.putImageData(image, 0, 0);
  }

  // The colour at a share of the bar.
  colourAt({signed, table: name}, share) {
    const table = TABLES[name] ?? TABLES[signed ? "CET_D1A" : "viridis"], index = 3 * Math.round(share * (signed ? 254 : 255));
    return [table[index], table[index + 1], table[index + 2]];
  }

  makeSwatches() {
    const title = h("div", {class: "xv-bar-title"}), list = h("ul", {class: "xv-swatches"});
    return {element: h("div", {class: "xv-scale xv-labels"}, title, list), title, list};
  }

  fillSwatches(bar, map, about) {
    setText(bar.title, about.title ?? map.layer);
    const ids = [...new Set(map.codes)].filter((id) => id >= 0).sort((a, b) => a - b), names = about.short ? [] : about.names ?? [];
    const text = ids.map((id) => `${id} ${names[id] ?? ""}`).join();
    bar.said = {title: about.title ?? map.layer, swatches: ids.map((id) => ({id, text: `${id}${names[id] ? ` ${names[id]}` : ""}`}))};
    if (bar.text === text) return;
    bar.text = text;
    bar.list.replaceChildren(...bar.said.swatches.map(({id, text: words}) => h("li", {}, paintSwatch(h("canvas", {width: 28, height: 28, "aria-hidden": true}), id), words)));
  }

  // What the legend shows, for a picture to keep (see shared_js/export.js).
  entries() {
    if (this.element.hidden) return [];
    return [...this.bars.values()].map(({said}) => (said.swatches
      ? {title: said.title, swatches: said.swatches.map(({id, text}) => ({text, canvas: paintSwatch(h("canvas", {width: 28, height: 28}), id)}))}
      : {...said, colours: Array.from({length: STOPS + 1}, (_, i) => `rgb(${this.colourAt(said, i / STOPS)})`)}));
  }

  // The present limits of all layers of the frame, so that they can be locked.
  limits() {
    const {frame, settings} = this.host, found = {}, shared = {...settings, limits: "shared"};
    for (const maps of frame?.maps.values() ?? []) for (const map of maps) if (map.kind !== "label") found[map.layer] ??= limitOf(frame, map, shared);
    return found;
  }
}
