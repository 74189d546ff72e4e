// The component: one canvas for the sheet, one for the minimap, the hand, the keys, and the wire to Python.
const TOLD_MS = 150, SAID_MS = 500, DIMMED_MS = 200, ZOOMS = [0.02, 24];
const LEGIBLE = 2.4; // CSS pixels of 1 mm below which a sheet is not fitted to the width but moved in its window
const LEAST_FIT = 2.1, LEAST_ROOM = 240; // CSS pixels of 1 mm, and of height, below which a sheet is not fitted to the height
const LEDGER = 300, GAP = 12; // CSS pixels of the ledger beside the paper, and between both
const NARROW_PAPER = 600; // CSS pixels below which the paper comes before its tools
const WIDE = 900; // CSS pixels from which on the ledger stands beside the paper

class PaperApp {
  constructor(model) {
    Object.assign(this, {id: Math.random().toString(36).slice(2), model, settings: {...model.settings}, told: {...model.settings}, record: null, tool: "pan", start: 0, zoom: 1, ox: 0, oy: 0, width: 0, height: 0, at: null});
    this.scrubber = new RecordScrubber({
      send: (message) => model.send_msg(message), show: (frame) => this.show(frame), state: (state, error = "") => this.setState(state, error),
      kept: (count) => { this.root.dataset.cached = count; }, view: () => ({start: this.start, stop: this.start + this.visible}),
    });
    this.canvas = h("canvas", {class: "xe-sheet", role: "img", "aria-label": "Electrocardiogram on paper"});
    this.cursor = h("div", {class: "xe-cursor", hidden: true, "aria-hidden": true});
    this.brushed = h("div", {class: "xe-brush", hidden: true, "aria-hidden": true});
    this.calipers = new Calipers(this);
    this.chip = h("p", {class: "xe-chip", "aria-live": "polite", hidden: true});
    this.readout = h("p", {class: "xe-readout", "aria-live": "polite", hidden: true});
    this.stage = h("div", {class: "xe-stage"}, this.canvas, this.cursor, this.brushed, this.calipers.span, this.calipers.marks, this.calipers.text, this.chip, this.readout);
    this.minimap = new MiniMap(this);
    this.tools = new PaperTools(this);
    this.legend = new PaperLegend(this);
    this.ledger = new PaperLedger(this);
    this.twin = new PaperTwin();
    this.line = h("p", {class: "xe-line"});
    this.live = h("p", {class: "xv-hidden xv-live", "aria-live": "polite"});
    this.error = h("div", {class: "xv-error", role: "alert", hidden: true});
    this.help = new Help(this, PAPER_KEYS, PAPER_MOUSE);
    this.main = h("div", {class: "xe-main"}, this.stage, this.minimap.canvas, h("div", {class: "xe-foot"}, this.line, this.twin.element));
    this.body = h("div", {class: "xe-body"}, this.main, this.ledger.element);
    this.root = h("div", {class: "xv xe", tabindex: "0", role: "region", "aria-label": "ECG paper", "data-state": "waiting", "data-key": "", "data-seq": "0", "data-full": "false"},
      h("style", {}, CSS), h("style", {}, ECG_CSS), h("div", {class: "xe-top"}, this.tools.element, this.legend.element), this.error, this.body,  this.live, this.help.element);
    this.sheet = sheetOf({layout: this.settings.layout, leads: LEADS});
    this.ppm = 4;
    this.resizes = new ResizeObserver(() => this.fitAgain());
    this.resizes.observe(this.stage);
    this.resizes.observe(this.root);
    this.refit = () => this.fitAgain();
    window.addEventListener("resize", this.refit);
    this.themes = watchTheme(this.root, model);
    this.detachKeys = attachPaperKeys(this);
    attachHand(this);
    this.listen();
  }

  listen() {
    const {model, scrubber} = this;
    model.on("frame", () => this.take());
    model.on("settings", () => this.takeSettings());
    model.on("order", () => { scrubber.order = model.order ?? []; scrubber.refresh(); this.tools.update(); this.announce(); });
    model.on("context", () => { scrubber.context = model.context; scrubber.refresh(); });
    model.on("jump", () => { const {position, by = ""} = model.jump; if (by === this.id) return; this.reported = position; if (position !== scrubber.position) this.go(position, false, false); });
    model.on("dark", () => this.themes.update());
    model.on("chip", () => this.placeChip());
    model.on("export", () => this.save(model.export));
    model.on("edits", () => this.ledger.update());
    model.on("remove", () => this.close());
    this.disobey = obey(() => model.channel, ({step, help}) => { if (step) this.go(scrubber.position + step, true); if (help) this.help.toggle(true); });
    Object.assign(scrubber, {prefetch: this.settings.prefetch !== false, order: model.order ?? [], context: model.context ?? "", position: model.jump?.position ?? 0});
    this.take();
    scrubber.go(scrubber.position);
    this.announce();
    this.tools.update();
  }

  take() { if (this.model.frame?.byteLength) this.scrubber.take(this.model.frame); }

  show(frame) {
    const fresh = this.record?.key !== frame.key;
    this.record = frame.record ??= new EcgRecord(frame);
    this.frame = frame;
    this.announce();
    if (fresh) { this.calipers.rr = null; this.clearBrush(); }
    this.redraw();
    Object.assign(this.root.dataset, {key: frame.key, seq: frame.seq, full: String(this.record.full)});
    if (!fresh) return;
    const wait = performance.now() - (this.spoken ?? -1e9) > SAID_MS ? 0 : SAID_MS;
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.spoken = performance.now(); setText(this.live, this.words); }, wait);
  }

  // The record in words: without what a model says while that is hidden.
  get words() {
    const {record, frame, settings} = this;
    if (!record) return "";
    if (!settings.hidden) return frame.header.text ?? "";
    return `${record.name}: ${record.leads.length} leads, ${record.seconds.toFixed(1)} s. ${record.flag}`.trim();
  }

  // What the answer line of this paper says; the position may run ahead of the record.
  announce() {
    const {position, order} = this.scrubber, answer = this.frame?.header.answer ?? null;
    announce(this.model.channel, {position, count: order.length, sample: this.frame ? this.frame.key.split("|", 1)[0] : order[position] ?? "", answer});
  }

  setState(state, error = "") {
    this.root.dataset.state = state;
    clearTimeout(this.dimming);
    if (state === "waiting") this.dimming = setTimeout(() => this.root.classList.add("xv-dim"), DIMMED_MS);
    else this.root.classList.toggle("xv-dim", Boolean(error));
    this.error.hidden = !error;
    if (error) this.error.replaceChildren(h("span", {}, error), h("button", {type: "button", onclick: () => this.scrubber.go(this.scrubber.position, {force: true})}, "Try again"));
  }

  // --- where things lie -------------------------------------------------------------------------------------

  // Seconds in view: those of the page, or of the scrolled sheet.
  get visible() { const {segments} = this.sheet; return segments.length ? segments.reduce((most, s) => Math.max(most, s.stop), 0) - segments[0].start : PAPER.page; }

  // The sheet and its scale for the room that there is; the view stays on the paper.
  layOut() {
    const {record, settings} = this, {layout, speed, gain, rhythm} = settings, scrolled = layout === "12x1";
    const explained = explains(settings, record), bands = explained && Boolean(record.clusters) && bandsOf(settings) !== "off";
    const strip = record?.strip && explained && settings.strip ? (record.strip.map.rows === 1 ? "last" : "each") : "none";
    const totals = strip !== "none" && Boolean(record.contribution.totals), seconds = record?.seconds ?? PAPER.page;
    const about = {layout, leads: record?.leads ?? LEADS, speed, gain, strip, totals, rhythm, bands};
    this.offered = this.width = this.roomBeside();
    const page = sheetOf({...about, seconds: Math.min(PAPER.page, seconds)}), fixed = settings.px_per_mm === "true" ? this.tools.trueSize() : settings.px_per_mm;
    this.room = this.roomBelow();
    const base = fixed || this.fitted(page, this.room);
    if (this.sideBySide && !fixed && this.room !== null) this.width = Math.min(this.width, Math.ceil(page.width * base)); // the ledger takes the rest
    const least = scrolled ? Math.min(1, this.width / (marginsOf(totals) + seconds * speed) / base) : 1;
    this.zoom = clamp(this.zoom, Math.max(ZOOMS[0], least), ZOOMS[1]);
    this.ppm = base * this.zoom;
    const seen = scrolled ? Math.min(seconds, Math.max(0.2, (this.width / this.ppm - marginsOf(totals)) / speed)) : PAPER.page;
    this.start = clamp(this.start, 0, Math.max(0, seconds - seen));
    this.sheet = scrolled || this.start > 0 ? sheetOf({...about, seconds: seen, start: this.start}) : page;
    this.height = Math.ceil(Math.min(page.height * base, this.sheet.height * this.ppm));
    this.ox = clamp(this.ox, 0, Math.max(0, this.sheet.width - this.width / this.ppm));
    this.oy = clamp(this.oy, 0, Math.max(0, this.sheet.height - this.height / this.ppm));
  }

  // CSS pixels of 1 mm with which a page fits the width and, where that is wanted and leaves it legible, the height.
  fitted(page, room) {
    const wide = this.width / page.width;
    return room === null ? Math.max(LEGIBLE, wide) : Math.max(LEAST_FIT, Math.min(Math.max(LEGIBLE, wide), room / page.height));
  }

  get sideBySide() { return this.root.classList.contains("xe-wide") && Boolean(this.record?.ledger) && !this.settings.hidden; }

  // Width for the sheet: the ledger needs some of the body when it stands beside.
  roomBeside() {
    const wide = this.body.clientWidth || this.main.clientWidth; // on a narrow page the body has no box of its own
    return !wide ? 800 : this.sideBySide ? wide - LEDGER - GAP : wide;
  }

  // Height that the first screen leaves for the sheet; null where that does not matter.
  roomBelow() {
    const {stage, settings, root} = this;
    if (settings.below === null || !stage.isConnected || inNotebook() || !root.classList.contains("xe-wide")) return null;
    let top = stage.getBoundingClientRect().top;
    for (let node = stage; node; node = node.assignedSlot ?? node.parentNode ?? node.host) if (node.scrollTop && node !== stage) top += node.scrollTop;
    const room = window.innerHeight - top - settings.below - (this.minimap.canvas.hidden ? 0 : MAP_HEIGHT + 8);
    return room < LEAST_ROOM ? null : Math.floor(room);
  }

  fitAgain() {
    this.root.classList.toggle("xe-wide", this.root.clientWidth >= WIDE);
    this.root.classList.toggle("xe-narrow", this.root.clientWidth < NARROW_PAPER);
    this.watchAbove();
    if (this.roomBeside() !== this.offered || this.roomBelow() !== this.room) this.redraw();
    else this.ledger.edge();
  }

  // What lies above moves the paper: watch whatever holds it.
  watchAbove() {
    if (this.above || !this.root.isConnected) return;
    this.above = true;
    for (let node = this.root.parentNode ?? this.root.getRootNode(); node; node = node.parentNode ?? node.host) if (node instanceof Element) this.resizes.observe(node);
  }

  redraw() {
    this.layOut();
    const {canvas, width, height, settings, sideBySide} = this, ratio = window.devicePixelRatio || 1, wide = Math.round(width * ratio), tall = Math.round(height * ratio);
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, {width: wide, height: tall});
    canvas.style.height = `${height}px`;
    this.main.style.flexBasis = sideBySide ? `${width}px` : "";
    this.root.classList.toggle("xe-beside", sideBySide);
    drawSheet(canvas.getContext("2d"), new View({ppm: this.ppm * ratio, ox: this.ox, oy: this.oy, width: wide, height: tall, ratio}), this.sheet, this.record, this.settings);
    this.minimap.draw();
    this.calipers.draw();
    this.tools.update();
    this.legend.update();
    this.ledger.update();
    this.ledger.element.style.maxHeight = sideBySide ? `${Math.max(LEAST_ROOM, height) + 20}px` : "";
    this.placeChip();
    this.say();
    this.twin.update(this.record, this.words, settings);
    setAttribute(canvas, "aria-label", this.words || "Electrocardiogram on paper");
    setAttribute(this.root, "data-hidden", String(Boolean(settings.hidden)));
    if (settings.hidden) { clearTimeout(this.speaking); setText(this.live, this.words); setText(this.chip, ""); }
  }

  // One line of text that says how the paper is set.
  say() {
    const {settings, zoom} = this, size = settings.px_per_mm === "true" ? "true to size on this screen as calibrated" : settings.px_per_mm ? "fixed size" : this.sheet.width * this.ppm / zoom > this.width + 1 ? "smallest legible size, drag the sheet to see the rest" : this.room ? "fitted to the window, not true to size" : "fitted to the width, not true to size";
    setText(this.line, `${settingLine(this.sheet)}, ${settings.layout}, ${this.ppm.toFixed(2)} px per mm (${size}${Math.abs(zoom - 1) > 1e-6 ? `, zoom ${zoom.toFixed(2)}` : ""})`);
    Object.assign(this.root.dataset, {ppm: this.ppm.toFixed(4), start: this.start.toFixed(3), seconds: this.visible.toFixed(3)});
  }

  cssX(mm) { return (mm - this.ox) * this.ppm; }
  cssY(mm) { return (mm - this.oy) * this.ppm; }
  paperX(event) { return (event.clientX - this.canvas.getBoundingClientRect().left) / this.ppm + this.ox; }
  paperY(event) { return (event.clientY - this.canvas.getBoundingClientRect().top) / this.ppm + this.oy; }
  timeIn(segment, event) { return clamp(segment.start + (this.paperX(event) - segment.x) / this.sheet.speed, segment.start, Math.min(segment.stop, this.record.seconds)); }

  // {segment, time} under the pointer, null beside the leads.
  placeOf(event) {
    const x = this.paperX(event), y = this.paperY(event);
    const segment = this.sheet.segments.find((s) => x >= s.x && x < s.x + s.width && y >= (s.band ?? s.y) && y < (s.strip === null ? s.y + s.height : s.y + s.height + PAPER.lane));
    if (!segment || !this.record) return null;
    const time = segment.start + (x - segment.x) / this.sheet.speed;
    return time < this.record.seconds ? {segment, time} : null;
  }

  // --- what the hand does ---------------------------------------------------------------------------------------

  known({segment: {lead}, time}) {
    const {record, settings} = this, shown = explains(settings, record);
    return {time, lead, mv: record.mv(lead, time), cluster: shown ? record.clusters?.at(lead, time) ?? null : null, entropy: shown ? record.entropy?.at(lead, time) ?? null : null};
  }

  hover(place) {
    this.at = place;
    this.cursor.hidden = !place;
    this.readout.hidden = !place;
    if (!place) return;
    const {segment, time} = place, about = this.known(place);
    Object.assign(this.cursor.style, {transform: `translate(${this.cssX(segment.x + (time - segment.start) * this.sheet.speed)}px, ${this.cssY(segment.y)}px)`, height: `${segment.height * this.ppm}px`});
    setText(this.readout, hoverWords(this.record, about));
    if (this.hovering) return;
    this.hovering = setTimeout(() => { this.hovering = null; if (this.at) this.tell("hover", this.known(this.at)); }, HOVER_MS);
  }

  // What the hand set comes before what it did: a late word would undo what Python answers.
  tell(type, about) { this.tellSettings(); this.model.send_msg({type, sample: this.scrubber.order[this.scrubber.position] ?? "", ...about, ...(about.lead != null ? {name: this.record.leads[about.lead]} : {})}); }

  click({segment, time}) {
    const id = this.record.clusters?.at(segment.lead, time) ?? null;
    if (id !== null && id >= 0 && explains(this.settings, this.record) && bandsOf(this.settings) !== "off") this.chooseCluster(id);
  }

  chooseCluster(id) {
    const {highlight} = this.settings, chosen = highlight?.cluster === id ? null : id;
    this.set({highlight: {...highlight, cluster: chosen}});
    this.tell("cluster", {id: chosen});
  }

  select(lead, a, b) {
    const interval = {lead, start: Math.min(a, b), stop: Math.max(a, b)};
    if (interval.stop <= interval.start) return;
    this.brushed.hidden = true;
    this.set({highlight: {...this.settings.highlight, interval}});
    this.tell("select", interval);
    this.readout.hidden = false;
    setText(this.readout, `Selected: lead ${this.record.leads[lead]}, ${interval.start.toFixed(3)} to ${interval.stop.toFixed(3)} s`);
  }

  showBrush(segment, a, b) {
    const x = (time) => this.cssX(segment.x + (time - segment.start) * this.sheet.speed), left = Math.min(x(a), x(b));
    this.brushed.hidden = false;
    Object.assign(this.brushed.style, {transform: `translate(${left}px, ${this.cssY(segment.y)}px)`, width: `${Math.abs(x(b) - x(a))}px`, height: `${segment.height * this.ppm}px`});
  }

  clearBrush() { this.brushed.hidden = true; }

  // The result of a brushed interval stands at it, inside of the sheet that is in view.
  placeChip() {
    const {settings, record, chip} = this, interval = settings.highlight?.interval, {text = "", sample = ""} = this.model.chip ?? {};
    chip.hidden = !interval || !text || sample !== this.frame?.key.split("|", 1)[0] || !record || settings.hidden;
    if (chip.hidden) return;
    setText(chip, text);
    const shown = this.sheet.segments.filter((s) => (interval.lead < 0 || s.lead === interval.lead) && s.start < interval.stop && s.stop > interval.start);
    const segment = shown[shown.length - 1];
    chip.hidden = !segment;
    if (segment) this.beside(chip, this.cssX(segment.x + (Math.max(interval.start, segment.start) - segment.start) * this.sheet.speed), this.cssY(segment.y + segment.height), this.cssY(segment.band ?? segment.y));
  }

  // Put a chip under ``low`` where there is room, else above ``high``, always whole inside of the stage.
  beside(chip, x, low, high) {
    const {offsetWidth: wide, offsetHeight: tall} = chip;
    const y = low + tall + 4 <= this.height ? low + 4 : high - tall - 4;
    chip.style.transform = `translate(${clamp(x, 4, Math.max(4, this.width - wide - 4))}px, ${clamp(y, 4, Math.max(4, this.height - tall - 4))}px)`;
  }

  // Forget interval, cluster and calipers, one kind at a time; returns whether there was one.
  clear() {
    const {interval = null, cluster = null} = this.settings.highlight ?? {};
    if (this.calipers.on) { this.setTool("pan"); this.calipers.clear(); }
    else if (interval) { this.set({highlight: {cluster, interval: null}}); this.tell("select", {lead: null, start: null, stop: null}); }
    else if (cluster !== null) this.chooseCluster(cluster);
    else return false;
    return true;
  }

  moveTo({start}) { this.start = start; this.redraw(); this.scrubber.rest(); }

  // Move by mm of paper: in time where the sheet is scrolled, over the sheet where it is larger than its window.
  panBy(x, y) {
    const before = this.ox;
    this.ox += x;
    this.oy += y;
    this.layOut();
    const rest = this.settings.layout === "12x1" ? x : 0;
    if (this.settings.layout === "12x1") this.ox = before;
    this.moveTo({start: this.start + rest / this.sheet.speed});
  }

  // Zoom around the pointer, or around the middle.
  zoomBy(factor, event = null) {
    const x = event ? this.paperX(event) : this.ox + this.width / 2 / this.ppm, y = event ? this.paperY(event) : this.oy + this.height / 2 / this.ppm, {ppm, speed} = {ppm: this.ppm, speed: this.sheet.speed};
    const time = this.start + (x - PAPER.left) / speed, [sx, sy] = [(x - this.ox) * ppm, (y - this.oy) * ppm];
    this.zoom *= factor;
    this.layOut();
    Object.assign(this, {ox: x - sx / this.ppm, oy: y - sy / this.ppm});
    if (this.settings.layout === "12x1") this.start = time - (sx / this.ppm - PAPER.left) / speed;
    this.moveTo({start: this.start});
  }

  reset() { Object.assign(this, {zoom: 1, ox: 0, oy: 0}); this.moveTo({start: this.settings.layout === "12x1" ? this.start : 0}); }

  setTool(tool) {
    this.tool = tool;
    this.root.dataset.tool = tool;
    if (this.record) this.calipers.toggle(tool === "calipers");
    this.tools.update();
  }

  keyDown(event) {
    if (!paperKey(this, event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // --- records and settings -------------------------------------------------------------------------------------

  go(position, now = false, report = true) {
    this.scrubber.go(position);
    this.announce();
    this.tools.update();
    if (!report) return;
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => {
      const {position: at, order} = this.scrubber;
      if (this.reported === at) return;
      this.reported = at;
      this.model.send_msg({type: "position", position: at, sample: order[at] ?? "", view: this.id});
    }, now ? 0 : TOLD_MS);
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
    if ("layout" in changes) Object.assign(this, {zoom: 1, ox: 0, oy: 0});
    this.redraw();
    this.scrubber.rest();
    if (!report || !this.model.report_settings) return;
    clearTimeout(this.settingsTimer);
    this.settingsTimer = setTimeout(() => this.tellSettings(), TOLD_MS);
  }

  tellSettings() {
    if (this.settingsTimer == null) return;
    clearTimeout(this.settingsTimer);
    Object.assign(this, {settingsTimer: null, told: {...this.settings}});
    this.model.send_msg({type: "settings", settings: {...this.settings}});
  }

  // Download what is in view as one picture, with the legend.
  save({kind, name}) {
    if (!this.record) return;
    const {width, height, settings, record} = this, canvas = Object.assign(document.createElement("canvas"), {width: width * SAVED_SCALE, height: height * SAVED_SCALE});
    drawSheet(canvas.getContext("2d"), new View({ppm: this.ppm * SAVED_SCALE, ox: this.ox, oy: this.oy, width: canvas.width, height: canvas.height, ratio: SAVED_SCALE}), this.sheet, record, settings);
    savePicture({tiles: [{canvas, width, height}], legend: this.legend.entries(), caption: this.model.caption ?? ""}, kind, name);
  }

  close() {
    this.disobey();
    this.detachKeys();
    this.themes.disconnect();
    this.resizes.disconnect();
    window.removeEventListener("resize", this.refit);
    this.scrubber.close();
    for (const timer of [this.reporting, this.settingsTimer, this.speaking, this.dimming, this.hovering]) clearTimeout(timer);
  }
}

export function render({model}) {
  return new PaperApp(model).root;
}
