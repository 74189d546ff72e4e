// The component: tiles in groups, the ledger, the legend, the toolbar, the keys, and the wire to Python.
const REPORT_MS = 150, SPEAK_MS = 500, DIM_MS = 200;
const NARROW = 600, WIDE = 900; // px of the component: below, pictures come first; from there on, ledger and pictures stand side by side

class CanvasApp {
  constructor(model) {
    Object.assign(this, {id: Math.random().toString(36).slice(2), model, settings: {...model.settings}, layout: model.layout ?? {}, frame: null, tool: "pan", chip: model.chip ?? {}, draft: null});
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
      this.fit(entries.some(({target}) => target === this.root));
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
    model.on("chip", () => { this.chip = model.chip ?? {}; this.showChip(); });
    model.on("edits", () => this.ledger.fillEdits());
    model.on("export", () => this.save(model.export));
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
    const {position, row, by = ""} = this.model.jump;
    if (by === this.id) return; // another view of this canvas follows this one
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
    const hidden = this.settings.hidden;
    Object.assign(this.settings, changes);
    if (this.frame && this.settings.hidden !== hidden) this.fill();
    this.redraw();
    if (!report || !this.model.report_settings) return;
    clearTimeout(this.settingsTimer);
    this.settingsTimer = setTimeout(() => {
      this.told = {...this.settings};
      this.model.send_msg({type: "settings", settings: {...this.settings}});
    }, REPORT_MS);
  }

  // Narrow is what the component is given, not what the window has.
  fit(resized = true) {
    const width = this.root.clientWidth;
    if (!resized || !width) return;
    this.root.classList.toggle("xv-narrow", width < NARROW);
    this.root.classList.toggle("xv-wide", width >= WIDE);
    this.toolbar.fit();
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
    this.updateTiles();
  }

  updateTiles() {
    const seen = new Set();
    for (const tile of this.tiles.values()) tile.update(seen);
    for (const group of this.groups.children) group.hidden = ![...group.querySelectorAll(".xv-tile")].some((tile) => !tile.hidden);
  }

  // A frame is in view: pixels of every tile in this very task, words and legend with them.
  show(frame) {
    const other = this.frame && this.sampleOf(frame) !== this.sampleOf(this.frame);
    this.frame = frame;
    this.announce();
    if (other) { this.draft = null; this.clearRegion(true); }
    this.fill();
    this.toolbar.update();
    this.root.dataset.key = frame.key;
    this.root.dataset.seq = frame.seq;
  }

  // Fill everything with the frame in view.
  fill() {
    const {frame, settings} = this, fresh = (performance.now() - (this.spoken ?? -1e9)) > SPEAK_MS;
    this.root.dataset.hidden = String(Boolean(settings.hidden));
    this.updateTiles();
    this.ledger.update();
    this.root.classList.toggle("xv-split", !this.ledger.element.hidden);
    this.legend.update();
    this.showChip();
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.spoken = performance.now(); setText(this.live, this.words(frame)); }, fresh ? 0 : SPEAK_MS);
  }

  words(frame) { return this.settings.hidden ? `${this.nameOf(frame.header.tiles?.[[...this.tiles.keys()][0]] ?? {})}. The model's output is hidden.` : frame.header.text ?? ""; }

  // The name of a picture: what its tile is given, else the sample's.
  nameOf(about) { return about.name ?? (this.frame ? this.sampleOf(this.frame) : ""); }

  // Whether pictures are drawn smoothly: as chosen, else by the size of the first one.
  get smooth() {
    const first = [...this.tiles.values()].find((tile) => !tile.element.hidden);
    return isSmooth(this.settings, first?.size ?? [1, 1]);
  }

  // What the answer line of this canvas says; the position may run ahead of the frame.
  announce() {
    const {position, order} = this.scrubber, answer = this.frame?.header.answer ?? null;
    announce(this.model.channel, {position, count: order.length, sample: this.frame ? this.sampleOf(this.frame) : order[position] ?? "", answer});
  }

  sampleOf(frame) { return frame.key.split("|", 1)[0]; }

  redraw() {
    for (const tile of this.allTiles()) if (!tile.element.hidden) { tile.draw(); tile.showTitle(); }
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
    this.reporting = setTimeout(() => this.tellPosition(), now ? 0 : REPORT_MS);
  }

  // Where the hand is comes before what it does there.
  tellPosition() {
    if (this.reporting == null) return;
    clearTimeout(this.reporting);
    this.reporting = null;
    const {position: at, order} = this.scrubber;
    if (this.reported === at) return;
    this.reported = at;
    this.model.send_msg({type: "position", position: at, sample: order[at] ?? "", view: this.id});
  }

  select({row = null, tile = null, x = null, y = null, labels = {}}) {
    if (row !== null) this.ledger.setSelected(row);
    this.root.focus({preventScroll: true});
    this.tellPosition();
    this.model.send_msg({type: "select", view: this.id, tile, row, x, y, labels, sample: this.scrubber.order[this.scrubber.position] ?? ""});
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
    this.dropChip();
    const polygon = points.map(({x, y}) => [+(x * wide).toFixed(2), +(y * tall).toFixed(2)]);
    this.clearRegion(false, tile.link);
    this.region = tile;
    this.tellPosition();
    this.model.send_msg({type: "region", tile: tile.id, polygon, sample: this.scrubber.order[this.scrubber.position] ?? ""});
  }

  // Forget regions (all but those of one link); returns whether there was one.
  clearRegion(report, except = null) {
    let any = false;
    if (except === null) this.dropChip();
    for (const link of this.links.values()) if (link !== except && link.region) { any = true; link.setRegion(null); }
    if (any && report && this.region) {
      this.model.send_msg({type: "region", tile: this.region.id, polygon: [], sample: this.frame ? this.sampleOf(this.frame) : ""});
      this.region = null;
    }
    return any;
  }

  // --- a region by keys: a rectangle in pixels of its picture, which arrows move and Shift + arrows resize ---

  startDraft() {
    const shown = [...this.tiles.values()].filter((tile) => !tile.element.hidden && (tile.photo || tile.maps.length)), tile = shown.find(({link}) => link.cross) ?? shown[0];
    if (!tile) return false;
    const [tall, wide] = tile.size, {k, x, y} = tile.link.view, width = Math.max(1, Math.round(wide / k / 4)), height = Math.max(1, Math.round(tall / k / 4));
    this.clearRegion(true);
    this.draft = {tile, wide, tall, width, height, step: Math.max(1, Math.round(Math.max(wide, tall) / k / 32)),
      x: Math.round((x + 0.5 / k) * wide - width / 2), y: Math.round((y + 0.5 / k) * tall - height / 2)};
    this.drawDraft();
    return true;
  }

  moveDraft(x, y, resizes) {
    const {draft} = this, {wide, tall, step} = draft;
    if (resizes) {
      draft.width = clamp(draft.width + x * step, 1, wide - draft.x);
      draft.height = clamp(draft.height + y * step, 1, tall - draft.y);
    } else {
      draft.x = clamp(draft.x + x * step, 0, wide - draft.width);
      draft.y = clamp(draft.y + y * step, 0, tall - draft.height);
    }
    this.drawDraft();
  }

  drawDraft() {
    const {tile, x, y, width, height, wide, tall} = this.draft;
    tile.link.setRegion([[x, y], [x + width, y], [x + width, y + height], [x, y + height]].map(([left, top]) => ({x: left / wide, y: top / tall})));
    setText(this.live, `Rectangle: x ${x} to ${x + width}, y ${y} to ${y + height} pixels. Enter sets it, Esc drops it.`);
  }

  endDraft(set) {
    const {tile} = this.draft;
    this.draft = null;
    if (set) this.reportRegion(tile, tile.link.region);
    else tile.link.setRegion(null);
    tile.link.redraw();
  }

  // --- what Python says of a region, and pictures to keep ---

  showChip() {
    const {tile, text, sample} = this.chip, here = this.frame && !this.settings.hidden && (!sample || sample === this.sampleOf(this.frame));
    for (const other of this.tiles.values()) other.showChip(here && other.id === tile ? text : "");
  }

  dropChip() {
    if (!this.chip.text) return;
    this.chip = {};
    this.showChip();
  }

  save({kind, name}) {
    const tiles = [...this.tiles.values()].filter((tile) => !tile.element.hidden && tile.box?.width).map((tile) => tile.picture(SAVED_SCALE));
    const style = getComputedStyle(this.root), colour = (variable) => style.getPropertyValue(variable).trim();
    savePicture({tiles, legend: this.settings.overlay ? this.legend.entries() : [], caption: this.model.caption ?? "", ink: colour("--ink"), soft: colour("--soft"), ground: colour("--ground")}, kind, name);
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
