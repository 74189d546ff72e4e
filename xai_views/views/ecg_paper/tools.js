// The paper's toolbar, the calibration of the screen, the legend and the text twin.
const CARD_MM = 85.6, STORED = "xai-views.px-per-mm"; // a bank card is 85.6 mm long everywhere (ISO/IEC 7810)

// CSS pixels per mm of this screen as somebody measured them once, null before.
function calibrated() {
  try { const value = Number(localStorage.getItem(STORED)); return value > 0 ? value : null; } catch { return null; }
}

function calibrate(pixels) {
  try { localStorage.setItem(STORED, String(pixels)); return true; } catch { return false; }
}

class PaperTools {
  constructor(host) {
    this.host = host;
    this.inputs = {};
    const icons = (name, label, action, extra = {}) => h("button", {type: "button", class: "xv-icon", "aria-label": label, title: label, onclick: action, ...extra}, name.length > 1 ? icon(name) : name);
    this.place = h("output", {class: "xv-place", "aria-label": "Record"});
    this.previous = icons("previous", "Previous record (left arrow)", () => host.go(host.scrubber.position - 1, true));
    this.next = icons("next", "Next record (right arrow)", () => host.go(host.scrubber.position + 1, true));
    this.slider = h("input", {type: "range", class: "xv-scrubber", "aria-label": "Record", min: 0, step: 1, value: 0, oninput: () => host.go(+this.slider.value), onpointerup: () => host.root.focus({preventScroll: true})});
    this.stepper = h("div", {class: "xv-cluster"}, this.previous, this.place, this.next, this.slider);
    this.tools = [["pan", "Move", "Move the sheet"], ["interval", "Interval", "Select an interval (Shift + drag)"], ["calipers", "Calipers", "Measure with calipers (c)"]].map(([tool, label, title]) =>
      h("button", {type: "button", class: "xe-tool", "data-tool": tool, title, "aria-pressed": "false", onclick: () => { host.setTool(tool); if (tool !== "calipers") host.root.focus({preventScroll: true}); }}, label));
    this.rr = h("button", {type: "button", class: "xe-tool", "aria-pressed": "false", onclick: () => host.calipers.takeRr()}, "Use as RR");
    this.panel = h("div", {class: "xe-panel"}, this.check("explain", "Explanation"), this.check("uncertainty", "Stripe uncertain clusters"),
      this.check("strip", "Contributions"), this.check("truth", "Ground truth"), this.check("minimap", "Whole record below"),
      this.choice("size", "Size", [["fit", "fit to the page"], ["true", "true to size"]]), this.card());
    this.more = h("details", {class: "xv-more xe-menu"}, h("summary", {}, "Display"), this.panel);
    this.element = h("div", {class: "xv-toolbar xe-toolbar", role: "toolbar", "aria-label": "Paper"}, this.stepper,
      this.choice("bands", "Clusters", BANDS.map((name) => [name, name])), this.choice("layout", "Layout", Object.keys(LAYOUTS).map((name) => [name, name])),
      this.choice("speed", "Speed", SPEEDS.map((v) => [v, `${v} mm/s`])), this.choice("gain", "Gain", GAINS.map((v) => [v, `${v} mm/mV`])),
      h("div", {class: "xv-cluster xe-group", role: "group", "aria-label": "Tool"}, ...this.tools, this.rr), this.more,
      h("div", {class: "xv-cluster xe-group xv-zoomers"}, icons("minus", "Zoom out (−)", () => host.zoomBy(1 / 1.5)), icons("plus", "Zoom in (+)", () => host.zoomBy(1.5)),
        icons("reset", "Whole page (Home)", () => host.reset()), icons("?", "Keys (?)", () => host.help.toggle(true))));
    attachMenu(this.more, this.panel);
  }

  check(name, label) {
    const input = h("input", {type: "checkbox", name, onchange: () => this.host.set({[name]: input.checked})});
    giveBackFocus(input, this.host);
    this.inputs[name] = ({[name]: value}) => { input.checked = value === "auto" ? !this.host.minimap.canvas.hidden : !!value; };
    return h("label", {class: "xv-field xv-check"}, input, h("span", {}, label));
  }

  choice(name, label, options) {
    const numbers = typeof options[0][0] === "number";
    const select = h("select", {name, "aria-label": label, title: label, onchange: () => this.pick(name, numbers ? +select.value : select.value)},
      options.map(([value, text]) => h("option", {value}, text)));
    giveBackFocus(select, this.host);
    this.inputs[name] = (settings) => { select.value = name === "size" ? (settings.px_per_mm === null ? "fit" : "true") : name === "bands" ? bandsOf(settings) : String(settings[name]); };
    return h("label", {class: "xv-field"}, h("span", {}, label), select);
  }

  pick(name, value) {
    if (name === "size") this.resize(value);
    else this.host.set({[name]: value});
  }

  // A bar that is dragged to the length of a bank card; after that a millimetre on the paper is one on the screen.
  card() {
    this.bar = h("div", {class: "xe-card", onpointerdown: (event) => { const {left} = this.bar.getBoundingClientRect(); event.preventDefault(); dragged(this.bar, event, (moved) => this.setCard(moved.clientX - left)); }}, "bank card, 85.6 mm");
    this.length = h("input", {type: "range", name: "card", min: 120, max: 900, step: 1, "aria-label": "Length of the bar in pixels", oninput: () => this.setCard(+this.length.value)});
    this.setCard((calibrated() ?? 96 / 25.4) * CARD_MM);
    return h("details", {class: "xe-calibration"}, h("summary", {}, "Calibrate this screen"), h("p", {}, "Hold a bank card against the screen and drag the bar to its length."), this.bar, this.length,
      h("button", {type: "button", class: "xe-tool", onclick: () => this.keepCard()}, "Keep"));
  }

  setCard(pixels) {
    this.pixels = clamp(pixels, 120, 900);
    this.bar.style.width = `${this.pixels}px`;
    this.length.value = Math.round(this.pixels);
  }

  keepCard() {
    const value = this.pixels / CARD_MM;
    this.memory = calibrate(value) ? null : value; // a page without storage keeps it until it is closed
    this.host.set({px_per_mm: "true"});
  }

  panelOf(name) { return this.element.querySelector(`[name=${name}]`).parentElement; }

  trueSize() { return this.memory ?? calibrated(); }

  resize(size) {
    if (size === "fit") this.host.set({px_per_mm: null});
    else if (this.trueSize()) this.host.set({px_per_mm: "true"});
    else { this.more.open = this.panel.querySelector(".xe-calibration").open = true; this.update(); }
  }

  update() {
    const {settings, scrubber, tool, calipers} = this.host, count = scrubber.order.length, place = count ? scrubber.position + 1 : 0;
    this.element.hidden = !settings.toolbar;
    for (const show of Object.values(this.inputs)) show(settings);
    this.stepper.hidden = count < 2 || !settings.stepper;
    setText(this.place, `${place} / ${count}`);
    setAttribute(this.slider, "max", String(Math.max(0, count - 1)));
    if (+this.slider.value !== scrubber.position) this.slider.value = scrubber.position;
    setAttribute(this.slider, "aria-valuetext", `${place} of ${count}`);
    this.previous.disabled = scrubber.position <= 0;
    this.next.disabled = scrubber.position >= count - 1;
    this.inputs.bands(settings);
    for (const name of ["bands", "explain", "uncertainty", "strip", "truth"]) this.panelOf(name).hidden = settings.hidden || (name === "bands" && !this.host.record?.clusters);
    for (const button of this.tools) setAttribute(button, "aria-pressed", String(button.dataset.tool === tool));
    this.rr.hidden = tool !== "calipers";
    setAttribute(this.rr, "aria-pressed", String(calipers.rr !== null));
  }
}

// Clusters as buttons in their colours, what stripes mean, and the scale of the strip with its numbers; one row.
class PaperLegend {
  constructor(host) {
    this.host = host;
    this.list = h("ul", {class: "xv-swatches"});
    this.note = h("span", {class: "xe-note", title: "Entropy of the assignment: stripes from 1/3 on, finer stripes from 2/3 on"}, "Striped: uncertain (entropy ≥ 1/3; finer stripes ≥ 2/3)");
    this.bar = h("canvas", {class: "xv-bar", width: 255, height: 1, "aria-hidden": true});
    this.title = h("span", {class: "xe-note"});
    this.low = h("span", {class: "xe-low"});
    this.high = h("span", {class: "xe-high"});
    this.scale = h("div", {class: "xv-scale xe-scale", role: "group", "aria-label": "Scale of the contributions"}, this.title, this.low, this.bar, this.high);
    this.element = h("div", {class: "xe-legend", role: "group", "aria-label": "Legend"}, this.list, this.note, this.scale);
  }

  update() {
    const {record, settings} = this.host, shown = settings.legend && explains(settings, record);
    this.element.hidden = !shown;
    if (!shown) { this.about = null; this.list.replaceChildren(); for (const part of [this.title, this.low, this.high]) setText(part, ""); return; }
    const banded = record.clusters && bandsOf(settings) !== "off", named = banded && !this.host.sideBySide; // the ledger beside names them
    this.list.hidden = !named;
    this.note.hidden = !banded || !record.entropy || !settings.uncertainty;
    this.scale.hidden = !record.strip || !settings.strip;
    const chosen = settings.highlight?.cluster ?? null, ids = named ? record.ids : [], about = `${ids.map((id) => record.clusterName(id))}|${chosen}`;
    if (this.about !== about) {
      this.about = about;
      this.list.replaceChildren(...ids.map((id) => h("li", {}, h("button", {type: "button", class: "xe-swatch", title: `Cluster ${record.clusterName(id)}`, "data-cluster": String(id), "aria-pressed": String(chosen === id), onclick: () => { this.host.chooseCluster(id); this.host.root.focus({preventScroll: true}); }},
        paintSwatch(h("canvas", {width: 28, height: 28, "aria-hidden": true}), id), h("span", {}, record.clusterName(id))))));
    }
    if (!this.scale.hidden) this.fillScale(record, settings);
  }

  // The same for a saved picture (see savePicture).
  entries() {
    const {record, settings} = this.host, out = [];
    if (!explains(settings, record)) return out;
    if (record.clusters && bandsOf(settings) !== "off")
      out.push({title: "clusters", swatches: record.ids.map((id) => ({canvas: paintSwatch(h("canvas", {width: 28, height: 28}), id), text: record.clusterName(id)}))});
    if (!record.strip || !settings.strip) return out;
    const {target, unit} = record.contribution, limit = stripLimit(record, settings), table = TABLES[settings.map] ?? TABLES.CET_D1A;
    const colours = Array.from({length: 17}, (_, i) => { const at = 3 * Math.round((i / 16) * 254); return `rgb(${table[at]} ${table[at + 1]} ${table[at + 2]})`; });
    out.push({title: `contribution per step (${unit})`, colours, low: formatNumber(-limit, true), middle: "0", high: formatNumber(limit, true), lower: `lowers ${target}`, raise: `raises ${target}`});
    return out;
  }

  fillScale(record, settings) {
    const {target, unit} = record.contribution, limit = stripLimit(record, settings), table = TABLES[settings.map] ?? TABLES.CET_D1A;
    const words = `contribution per step (${unit}${target ? `, ${target}` : ""})`;
    setText(this.title, words);
    setAttribute(this.scale, "title", words);
    setText(this.low, `lowers ${formatNumber(-limit, true)}`);
    setText(this.high, `${formatNumber(limit, true)} raises`);
    setAttribute(this.scale, "data-limit", String(limit));
    const context = this.bar.getContext("2d"), image = context.createImageData(255, 1);
    for (let i = 0; i < 255; i++) image.data.set([table[3 * i], table[3 * i + 1], table[3 * i + 2], 255], 4 * i);
    context.putImageData(image, 0, 0);
  }
}

// The same in words and numbers, for screen readers, tests and copying.
class PaperTwin {
  constructor() {
    this.text = h("p", {class: "xe-text"});
    this.body = h("div");
    this.element = h("details", {class: "xe-twin"}, h("summary", {}, "As text"), this.text, this.body);
  }

  update(record, text, settings) {
    const shown = explains(settings, record), about = record && `${record.key} ${record.full} ${shown} ${text}`;
    if (this.about === about) return;
    this.about = about;
    setText(this.text, text);
    this.body.replaceChildren();
    if (!shown) return;
    const rows = record.stretches().map(({id, share, runs}) => [record.clusterName(id), `${(100 * share).toFixed(1)} %`, String(runs)]);
    const {totals, unit} = record.contribution;
    this.body.replaceChildren(
      rows.length ? tableOfText("Clusters", ["cluster", "share of time", "stretches"], rows) : "",
      totals ? tableOfText(`Total per lead (${unit})`, ["lead", "total"], record.leads.map((lead, i) => [lead, formatNumber(totals[i], true)])) : "");
  }
}

const tableOfText = (caption, columns, rows) => h("table", {}, h("caption", {}, caption),
  h("thead", {}, h("tr", {}, columns.map((name) => h("th", {scope: "col"}, name)))),
  h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text) => h("td", {}, text))))));
