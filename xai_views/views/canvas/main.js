// The component: tiles in groups, the ledger, the legend, the toolbar, the keys, and the wire to Python.
const REPORT_MS = 150, SPEAK_MS = 500, DIM_MS = 200;

class CanvasApp {
  constructor(model) {
    Object.assign(this, {model, settings: {...model.settings}, layout: model.layout ?? {}, frame: null, tool: "pan"});
    this.links = new Map();
    this.tiles = new Map();
    this.told = {...model.settings};
    this.scrubber = new Scrubber({
      send: (message) => model.send_msg(message),
      show: (frame) => this.show(frame),
      state: (state, error = "") => this.setState(state, error),
      kept: (count) => { this.root.dataset.cached = count; },
    });
    this.resizes = new ResizeObserver((entries) => {
      this.fit();
      for (const {target} of entries) for (const tile of this.allTiles()) if (tile.stage === target && tile.measure()) tile.draw();
    });
    this.legend = new Legend(this);
    this.ledger = new Ledger(this);
    this.help = new Help(this);
    this.toolbar = new Toolbar(this);
    this.groups = h("div", {class: "xv-groups"});
    this.error = h("div", {class: "xv-error", role: "alert", hidden: true});
    this.live = h("p", {class: "xv-hidden xv-live", "aria-live": "polite"});
    this.root = h("div", {class: "xv", tabindex: "0", role: "region", "aria-label": "Pictures and explanations", "data-state": "waiting", "data-key": "", "data-seq": "0"},
      h("style", {}, CSS), h("div", {class: "xv-top"}, this.toolbar.element, this.legend.element), this.legend.warning,
      this.error, h("div", {class: "xv-body"}, this.groups, this.ledger.element), this.live, this.help.element);
    this.resizes.observe(this.root);
    this.detachKeys = attachKeys(this);
    this.themes = watchTheme(this.root, model);
    this.build();
    this.listen();
  }

  listen() {
    const {model} = this;
    model.on("frame", () => this.take());
    model.on("layout", () => { this.layout = model.layout ?? {}; this.build(); this.redraw(); });
    model.on("settings", () => this.takeSettings());
    model.on("order", () => { this.scrubber.order = model.order ?? []; this.scrubber.refresh(); this.toolbar.update(); this.announce(); });
    model.on("context", () => { this.scrubber.context = model.context; this.scrubber.refresh(); });
    model.on("jump", () => this.takeJump());
    model.on("dark", () => this.themes.update());
    model.on("remove", () => this.close());
    this.disobey = obey(() => model.channel, ({step, help}) => { if (step) this.step(step, true); if (help) this.help.toggle(true); });
    this.scrubber.prefetch = this.settings.prefetch !== false;
    this.scrubber.order = model.order ?? [];
    this.scrubber.context = model.context ?? "";
    const {position = 0, row = ""} = model.jump ?? {};
    this.ledger.setSelected(row);
    this.toolbar.update();
    this.take();
    this.scrubber.position = position;
    this.scrubber.go(position);
    this.announce();
    this.toolbar.update();
  }

  take() { if (this.model.frame?.byteLength) this.scrubber.take(this.model.frame); }

  takeJump() {
    const {position, row} = this.model.jump;
    if (row !== this.ledger.selected) this.ledger.setSelected(row);
    this.reported = position;
    if (position !== this.scrubber.position) this.go(position, false);
  }

  // Only what Python changed; what the hand changed here stays.
  takeSettings() {
    const news = this.model.settings ?? {}, changed = {};
    for (const [name, value] of Object.entries(news)) if (JSON.stringify(this.told[name]) !== JSON.stringify(value)) changed[name] = value;
    this.told = {...news};
    if (Object.keys(changed).length) this.set(changed, false);
  }

  set(changes, report = true) {
    Object.assign(this.settings, changes);
    this.redraw();
    if (!report || !this.model.report_settings) return;
    clearTimeout(this.settingsTimer);
    this.settingsTimer = setTimeout(() => {
      this.told = {...this.settings};
      this.model.send_msg({type: "settings", settings: {...this.settings}});
    }, REPORT_MS);
  }

  // Narrow is what the component is given, not what the window has.
  fit() {
    const width = this.root.clientWidth, narrow = width > 0 && width < 600;
    if (narrow === this.narrow) return;
    this.narrow = narrow;
    this.root.classList.toggle("xv-narrow", narrow);
    this.toolbar.fit(narrow);
  }

  link(name) {
    if (!this.links.has(name)) this.links.set(name, new Link());
    return this.links.get(name);
  }

  allTiles() { return [...this.tiles.values(), ...this.ledger.allTiles()]; }

  build() {
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    const groups = new Map();
    for (const [id, spec] of Object.entries(this.layout.tiles ?? {})) {
      if (spec.in_table) continue;
      const name = spec.group ?? "main";
      if (!groups.has(name)) {
        const title = this.layout.groups?.[name]?.title;
        const box = h("div", {class: "xv-tiles"});
        groups.set(name, {box, element: h("section", {class: "xv-group", "data-group": name}, title ? h("h3", {}, title) : null, box)});
      }
      const tile = new Tile(id, {group: name, ...spec}, this);
      this.tiles.set(id, tile);
      groups.get(name).box.append(tile.element);
    }
    this.groups.replaceChildren(...[...groups.values()].map(({element}) => element));
    this.groups.hidden = !groups.size;
  }

  // A frame is in view: pixels of every tile in this very task, words and legend with them.
  show(frame) {
    if (this.frame && this.sampleOf(frame) !== this.sampleOf(this.frame)) this.clearRegion(true);
    this.frame = frame;
    this.announce();
    for (const tile of this.tiles.values()) tile.update();
    this.ledger.update();
    this.legend.update();
    this.toolbar.update();
    this.root.dataset.key = frame.key;
    this.root.dataset.seq = frame.seq;
    const fresh = (performance.now() - (this.spoken ?? -1e9)) > SPEAK_MS;
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.spoken = performance.now(); setText(this.live, frame.header.text ?? ""); }, fresh ? 0 : SPEAK_MS);
  }

  // What the answer line of this canvas says; the position may run ahead of the frame.
  announce() {
    const {position, order} = this.scrubber, answer = this.frame?.header.answer ?? null;
    announce(this.model.channel, {position, count: order.length, sample: this.frame ? this.sampleOf(this.frame) : order[position] ?? "", answer});
  }

  sampleOf(frame) { return frame.key.split("|", 1)[0]; }

  redraw() {
    for (const tile of this.allTiles()) { tile.draw(); tile.showTitle(); }
    this.legend.update();
    this.toolbar.update();
  }

  setState(state, error = "") {
    this.root.dataset.state = state;
    clearTimeout(this.dimming);
    if (state === "waiting") this.dimming = setTimeout(() => this.root.classList.add("xv-dim"), DIM_MS);
    else this.root.classList.toggle("xv-dim", Boolean(error));
    this.error.hidden = !error;
    if (error) {
      const retry = h("button", {type: "button", onclick: () => this.scrubber.go(this.scrubber.position, {force: true})}, "Try again");
      this.error.replaceChildren(h("span", {}, error), retry);
    }
  }

  step(by, click = false) { this.go(this.scrubber.position + by, true, click); }

  go(position, report = true, now = false) {
    this.scrubber.go(position);
    this.announce();
    this.toolbar.update();
    if (!report) return;
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => {
      const {position: at, order} = this.scrubber;
      if (this.reported === at) return;
      this.reported = at;
      this.model.send_msg({type: "position", position: at, sample: order[at] ?? ""});
    }, now ? 0 : REPORT_MS);
  }

  select({row = null, tile = null, x = null, y = null, labels = {}}) {
    if (row !== null) this.ledger.setSelected(row);
    this.root.focus({preventScroll: true});
    this.model.send_msg({type: "select", tile, row, x, y, labels, sample: this.scrubber.order[this.scrubber.position] ?? ""});
  }

  forward(key) { this.model.send_msg({type: "key", key}); }

  zoom(factor) {
    const hovered = [...this.links.values()].find((link) => link.cross);
    const links = hovered ? [hovered] : new Set([...this.tiles.values()].map((tile) => tile.link));
    for (const link of links) link.zoomTo(link.view.k * factor, link.cross ?? undefined);
  }

  resetZoom() { for (const link of this.links.values()) link.reset(); }

  setTool(tool) {
    this.tool = tool;
    this.root.dataset.tool = tool;
    this.toolbar.update();
  }

  reportRegion(tile, points) {
    const [tall, wide] = tile.size;
    const polygon = points.map(({x, y}) => [+(x * wide).toFixed(2), +(y * tall).toFixed(2)]);
    this.clearRegion(false, tile.link);
    this.region = tile;
    this.model.send_msg({type: "region", tile: tile.id, polygon, sample: this.scrubber.order[this.scrubber.position] ?? ""});
  }

  // Forget regions (all but those of one link); returns whether there was one.
  clearRegion(report, except = null) {
    let any = false;
    for (const link of this.links.values()) if (link !== except && link.region) { any = true; link.setRegion(null); }
    if (any && report && this.region) {
      this.model.send_msg({type: "region", tile: this.region.id, polygon: [], sample: this.frame ? this.sampleOf(this.frame) : ""});
      this.region = null;
    }
    return any;
  }

  close() {
    this.detachKeys();
    this.disobey();
    this.themes.disconnect();
    this.resizes.disconnect();
    this.scrubber.close();
    for (const timer of [this.reporting, this.settingsTimer, this.speaking, this.dimming]) clearTimeout(timer);
  }
}

export function render({model}) {
  return new CanvasApp(model).root;
}
