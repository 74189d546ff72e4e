// The legend: a colour bar with numbers for each kind of map in view, and the words "against" and "for" with the class.
class Legend {
  constructor(host) {
    this.host = host;
    this.bars = new Map();
    this.element = h("div", {class: "xv-legend", "aria-label": "Legend", role: "group"});
    this.warning = h("p", {class: "xv-warning", role: "note", hidden: true}, "Limits differ by panel: equal colours do not mean equal values.");
  }

  // One entry for each layer in view, described by its first map and the header's legend.
  update() {
    const {frame, settings} = this.host;
    this.element.hidden = !settings.legend;
    this.warning.hidden = settings.limits !== "per panel";
    if (!frame) return;
    const layers = new Map();
    for (const tile of this.host.allTiles()) for (const map of tile.maps) if (!layers.has(map.layer)) layers.set(map.layer, map);
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
    const title = h("div", {class: "xv-bar-title"}), low = h("span"), middle = h("span"), high = h("span");
    const against = h("span"), speaksFor = h("span");
    const element = h("div", {class: "xv-scale"}, title, canvas, h("div", {class: "xv-ticks"}, low, middle, high), h("div", {class: "xv-words"}, against, speaksFor));
    return {element, canvas, title, low, middle, high, against, speaksFor};
  }

  fillBar(bar, map, about) {
    const {frame, settings} = this.host, own = settings.limits === "per panel" && !(settings.limit > 0);
    const limit = limitOf(frame, map, settings), signed = map.kind === "signed";
    setText(bar.title, `${about.title ?? map.layer}${about.unit ? ` (${about.unit})` : ""}`);
    const clipped = settings.limit > 0 || settings.percentile < 100; // the ends stand for more than the number
    setText(bar.low, own ? (signed ? "− own limit" : "0") : signed ? `${clipped ? "≤ " : ""}${formatNumber(-limit, true)}` : "0");
    setText(bar.middle, signed ? "0" : "");
    setText(bar.high, own ? (signed ? "+ own limit" : "own limit") : `${clipped ? "≥ " : ""}${formatNumber(limit, signed)}`);
    setAttribute(bar.element, "title", settings.limit > 0 ? "Fixed limit" : `Limit: ${settings.percentile < 100 ? `${settings.percentile}th percentile of the size` : "largest size"}${own ? " in each panel" : ", shared by all panels"}`);
    setText(bar.against, signed ? `against${about.target ? ` ${about.target}` : ""}` : "");
    setText(bar.speaksFor, signed ? `for${about.target ? ` ${about.target}` : ""}` : "");
    const name = signed ? settings.map : settings.sequential;
    setAttribute(bar.element, "data-limit", String(own ? "" : limit));
    if (bar.name === name) return;
    bar.name = name;
    const context = bar.canvas.getContext("2d"), image = context.createImageData(256, 1), table = TABLES[name];
    for (let i = 0; i < 256; i++) {
      const index = 3 * (signed ? Math.round((i * 254) / 255) : i);
      image.data.set([table[index], table[index + 1], table[index + 2], 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
  }

  makeSwatches() {
    const title = h("div", {class: "xv-bar-title"}), list = h("ul", {class: "xv-swatches"});
    return {element: h("div", {class: "xv-scale xv-labels"}, title, list), title, list};
  }

  fillSwatches(bar, map, about) {
    setText(bar.title, about.title ?? map.layer);
    const ids = [...new Set(map.codes)].filter((id) => id >= 0).sort((a, b) => a - b), names = about.names ?? [];
    const text = ids.map((id) => `${id} ${names[id] ?? ""}`).join();
    if (bar.text === text) return;
    bar.text = text;
    bar.list.replaceChildren(...ids.map((id) => {
      const swatch = paintSwatch(h("canvas", {width: 28, height: 28, "aria-hidden": true}), id);
      return h("li", {}, swatch, `${id}${names[id] ? ` ${names[id]}` : ""}`);
    }));
  }
}
