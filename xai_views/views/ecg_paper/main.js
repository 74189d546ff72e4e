// The component: one canvas for the sheet, one for the minimap, the hand, the keys, and the wire to Python.
const TOLD_MS = 150, SAID_MS = 500, DIMMED_MS = 200, ZOOMS = [0.02, 24];
const LEGIBLE = 2.4; // CSS pixels of 1 mm below which a sheet is not fitted but moved in its window

class PaperApp {
  constructor(model) {
    Object.assign(this, {model, settings: {...model.settings}, told: {...model.settings}, record: null, tool: "pan", start: 0, zoom: 1, ox: 0, oy: 0, width: 0, height: 0, at: null});
    this.scrubber = new RecordScrubber({
      send: (message) => model.send_msg(message), show: (frame) => this.show(frame), state: (state, error = "") => this.setState(state, error),
      kept: (count) => { this.root.dataset.cached = count; }, view: () => ({start: this.start, stop: this.start + this.visible}),
    });
    this.canvas = h("canvas", {class: "xe-sheet", role: "img", "aria-label": "Electrocardiogram on paper"});
    this.cursor = h("div", {class: "xe-cursor", hidden: true, "aria-hidden": true});
    this.brushed = h("div", {class: "xe-brush", hidden: true, "aria-hidden": true});
    this.calipers = new Calipers(this);
    this.stage = h("div", {class: "xe-stage"}, this.canvas, this.cursor, this.brushed, this.calipers.span, this.calipers.marks);
    this.minimap = new MiniMap(this);
    this.tools = new PaperTools(this);
    this.legend = new PaperLegend(this);
    this.twin = new PaperTwin();
    this.readout = h("p", {class: "xe-readout", "aria-live": "polite"}, "\u00a0");
    this.line = h("p", {class: "xe-line"});
    this.live = h("p", {class: "xv-hidden xv-live", "aria-live": "polite"});
    this.error = h("div", {class: "xv-error", role: "alert", hidden: true});
    this.help = helpBox(this);
    this.root = h("div", {class: "xv xe", tabindex: "0", role: "region", "aria-label": "ECG paper", "data-state": "waiting", "data-key": "", "data-seq": "0", "data-full": "false"},
      h("style", {}, CSS), h("style", {}, ECG_CSS), h("div", {class: "xv-top"}, this.tools.element, this.legend.element), this.error, this.stage, this.minimap.canvas,
      this.readout, this.calipers.text, this.line, this.twin.element, this.live, this.help);
    this.sheet = sheetOf({layout: this.settings.layout, leads: LEADS});
    this.ppm = 4;
    this.resizes = new ResizeObserver(() => { if (this.stage.clientWidth !== this.width) this.redraw(); });
    this.resizes.observe(this.stage);
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
    model.on("jump", () => { const {position} = model.jump; this.reported = position; if (position !== scrubber.position) this.go(position, false, false); });
    model.on("dark", () => this.themes.update());
    model.on("remove", () => this.close());
    this.disobey = obey(() => model.channel, ({step, help}) => { if (step) this.go(scrubber.position + step, true); if (help) this.showHelp(true); });
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
    this.twin.update(this.record, frame.header.text ?? "");
    Object.assign(this.root.dataset, {key: frame.key, seq: frame.seq, full: String(this.record.full)});
    setAttribute(this.canvas, "aria-label", frame.header.text ?? "");
    if (!fresh) return;
    const wait = performance.now() - (this.spoken ?? -1e9) > SAID_MS ? 0 : SAID_MS;
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.spoken = performance.now(); setText(this.live, frame.header.text ?? ""); }, wait);
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
    const strip = record?.strip && settings.explain && settings.strip ? (record.strip.map.rows === 1 ? "last" : "each") : "none";
    const totals = strip !== "none" && Boolean(record.contribution.totals), seconds = record?.seconds ?? PAPER.page;
    const about = {layout, leads: record?.leads ?? LEADS, speed, gain, strip, totals, rhythm};
    this.width = this.stage.clientWidth || 800;
    const page = sheetOf({...about, seconds: Math.min(PAPER.page, seconds)});
    const base = (settings.px_per_mm === "true" ? this.tools.trueSize() : settings.px_per_mm) || Math.max(LEGIBLE, this.width / page.width);
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

  redraw() {
    this.layOut();
    const {canvas, width, height} = this, ratio = window.devicePixelRatio || 1, wide = Math.round(width * ratio), tall = Math.round(height * ratio);
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, {width: wide, height: tall});
    canvas.style.height = `${height}px`;
    drawSheet(canvas.getContext("2d"), new View({ppm: this.ppm * ratio, ox: this.ox, oy: this.oy, width: wide, height: tall}), this.sheet, this.record, this.settings);
    this.minimap.draw();
    this.calipers.draw();
    this.tools.update();
    this.legend.update();
    this.say();
  }

  // One line of text that says how the paper is set.
  say() {
    const {settings, zoom} = this, size = settings.px_per_mm === "true" ? "true to size on this screen as calibrated" : settings.px_per_mm ? "fixed size" : this.sheet.width * this.ppm / zoom > this.width + 1 ? "smallest legible size, drag the sheet to see the rest" : "fitted to the width, not true to size";
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
    const segment = this.sheet.segments.find((s) => x >= s.x && x < s.x + s.width && y >= s.y && y < (s.strip === null ? s.y + s.height : s.y + s.height + PAPER.lane));
    if (!segment || !this.record) return null;
    const time = segment.start + (x - segment.x) / this.sheet.speed;
    return time < this.record.seconds ? {segment, time} : null;
  }

  // --- what the hand does ---------------------------------------------------------------------------------------

  known({segment: {lead}, time}) {
    const {record} = this;
    return {time, lead, mv: record.mv(lead, time), cluster: record.clusters?.at(lead, time) ?? null, entropy: record.entropy?.at(lead, time) ?? null};
  }

  hover(place) {
    this.at = place;
    this.cursor.hidden = !place;
    if (!place) { setText(this.readout, "\u00a0"); return; }
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
    if (id !== null && id >= 0 && this.settings.explain && this.settings.bands) this.chooseCluster(id);
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
    setText(this.readout, `Selected lead ${this.record.leads[lead]}, ${interval.start.toFixed(3)} to ${interval.stop.toFixed(3)} s`);
  }

  showBrush(segment, a, b) {
    const x = (time) => this.cssX(segment.x + (time - segment.start) * this.sheet.speed), left = Math.min(x(a), x(b));
    this.brushed.hidden = false;
    Object.assign(this.brushed.style, {transform: `translate(${left}px, ${this.cssY(segment.y)}px)`, width: `${Math.abs(x(b) - x(a))}px`, height: `${segment.height * this.ppm}px`});
  }

  clearBrush() { this.brushed.hidden = true; }

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

  showHelp(open) {
    const own = Object.entries(this.model.keys ?? {}).filter(([, words]) => words);
    this.help.querySelector("dl").replaceChildren(...[...PAPER_KEYS, ...own].flatMap(([key, words]) => [h("dt", {}, key.split(" ").map((part) => h("kbd", {}, part))), h("dd", {}, words)]));
    this.help.hidden = !open;
    (open ? this.help.querySelector("button") : this.root).focus({preventScroll: true});
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
      this.model.send_msg({type: "position", position: at, sample: order[at] ?? ""});
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

  close() {
    this.disobey();
    this.detachKeys();
    this.themes.disconnect();
    this.resizes.disconnect();
    this.scrubber.close();
    for (const timer of [this.reporting, this.settingsTimer, this.speaking, this.dimming, this.hovering]) clearTimeout(timer);
  }
}

export function render({model}) {
  return new PaperApp(model).root;
}
