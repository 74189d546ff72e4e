// The long strip: a record of hours as a strip of its extremes, and under it a window that is read when it is looked at.
const LANE_TALL = 110, LEFT = 44, WAIT_MS = 90, PATIENCE_MS = 3000, SHORTEST = 1;

// Bytes of a window: start and length in s (float64), leads, columns and a running number (uint32), least and largest values in mV (float32).
function decodeWindow(raw) {
  if (!(raw?.byteLength >= 28)) return null;
  const bytes = raw instanceof Uint8Array ? raw.slice() : new Uint8Array(raw.slice(0)), view = new DataView(bytes.buffer);
  const [start, seconds, leads, columns] = [view.getFloat64(0, true), view.getFloat64(8, true), view.getUint32(16, true), view.getUint32(20, true)];
  const values = new Float32Array(bytes.buffer, 28, 2 * leads * columns), part = leads * columns;
  return {start, seconds, leads, columns, low: values.subarray(0, part), high: values.subarray(part)};
}

// px of a lead of the overview: less where there are many.
function overviewLane(leads) { return leads === 1 ? 56 : leads < 4 ? 38 : 20; }

function clock(seconds, digits = 0) {
  const whole = Math.floor(seconds + 0.5 * 10 ** -digits), two = (n) => String(n).padStart(2, "0");
  const rest = digits ? (seconds - Math.floor(seconds)).toFixed(digits).slice(1) : "";
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${rest}`;
}

class LongStripView {
  constructor(model) {
    Object.assign(this, {model, start: 0, seconds: model.duration, seq: 0});
    const button = (text, label, action) => h("button", {type: "button", "aria-label": label, title: label, onclick: action}, text);
    this.tools = h("div", {class: "ll-tools", role: "toolbar", "aria-label": "Window"},
      button("‹", "Back (left arrow)", () => this.pan(-0.5)), button("›", "Forward (right arrow)", () => this.pan(0.5)), button("−", "Wider (−)", () => this.zoom(2)), button("+", "Narrower (+)", () => this.zoom(0.5)),
      button("All", "Whole record (Home)", () => this.go(0, model.duration)), this.said = h("output", {class: "ll-said", "aria-live": "polite"}));
    this.wide = h("canvas", {class: "ll-wide", role: "img"});
    this.near = h("canvas", {class: "ll-near", role: "img"});
    this.root = h("div", {class: "ll", tabindex: "0", role: "region", "aria-label": "Long record: arrows move, + and − zoom, Enter explains the marked window"}, h("style", {}, CSS), this.tools, this.wide, this.near);
    this.themes = watchTheme(this.root, model);
    new MutationObserver(() => this.draw()).observe(this.root, {attributes: true, attributeFilter: ["data-theme"]});
    this.resizes = new ResizeObserver(() => { if (this.near.clientWidth && this.near.clientWidth !== this.width) this.draw(true); });
    this.resizes.observe(this.near);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.drags(this.wide, (event) => this.centre(this.timeOver(event)));
    this.drags(this.near, (event, from) => this.go(from.start - ((event.clientX - from.x) / this.plot) * from.seconds, from.seconds));
    this.near.addEventListener("wheel", (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return; event.preventDefault(); if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8); else this.pan(event.deltaY > 0 ? 0.1 : -0.1); }, {passive: false});
    model.on("overview", () => { this.whole = decodeWindow(model.overview); this.draw(); });
    model.on("frame", () => { this.got = decodeWindow(model.frame); this.root.dataset.state = "idle"; this.draw(); });
    model.on("jump", () => this.go(model.jump.start, model.jump.seconds, false));
    model.on("dark", () => this.themes.update());
    model.on("remove", () => { this.themes.disconnect(); this.resizes.disconnect(); clearTimeout(this.timer); });
    this.whole = decodeWindow(model.overview);
    this.got = decodeWindow(model.frame);
    if (model.jump?.seconds) Object.assign(this, {start: model.jump.start, seconds: model.jump.seconds});
    this.ask();
  }

  drags(canvas, act) {
    canvas.addEventListener("pointerdown", (event) => {
      const from = {x: event.clientX, start: this.start, seconds: this.seconds}, move = (moved) => act(moved, from);
      canvas.setPointerCapture(event.pointerId);
      this.root.focus({preventScroll: true});
      if (canvas === this.wide) move(event);
      canvas.addEventListener("pointermove", move);
      canvas.addEventListener("pointerup", () => canvas.removeEventListener("pointermove", move), {once: true});
      canvas.addEventListener("pointercancel", () => canvas.removeEventListener("pointermove", move), {once: true});
    });
  }

  get plot() { return Math.max(50, (this.near.clientWidth || 800) - LEFT); }
  timeOver(event) { return ((event.clientX - this.wide.getBoundingClientRect().left - LEFT) / this.plot) * this.model.duration; }
  centre(time) { this.go(time - this.seconds / 2, this.seconds); }
  pan(share) { this.go(this.start + share * this.seconds, this.seconds); }
  zoom(factor) { const middle = this.start + this.seconds / 2, seconds = clamp(this.seconds * factor, SHORTEST, this.model.duration); this.go(middle - seconds / 2, seconds); }

  go(start, seconds, tell = true) {
    this.seconds = clamp(seconds, Math.min(SHORTEST, this.model.duration), this.model.duration);
    this.start = clamp(start, 0, this.model.duration - this.seconds);
    this.draw();
    clearTimeout(this.timer);
    if (tell) this.timer = setTimeout(() => this.ask(), WAIT_MS);
  }

  ask() {
    this.root.dataset.state = "waiting";
    this.model.send_msg({type: "window", seq: ++this.seq, start: this.start, seconds: this.seconds, columns: Math.round(this.plot)});
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (this.root.dataset.state === "waiting") this.ask(); }, PATIENCE_MS); // what is sent before the page is ready may be lost
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key === "Enter" && event.target.closest("button"))) return;
    const far = event.shiftKey ? 1 : 0.25, {duration} = this.model;
    const act = {ArrowLeft: () => this.pan(-far), ArrowRight: () => this.pan(far), "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), PageUp: () => this.pan(-1), PageDown: () => this.pan(1),
      Home: () => this.go(0, duration), End: () => this.go(duration, this.seconds), Enter: () => this.model.send_msg({type: "explain"})}[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // Where the network would look: its length around the middle of the window.
  get taken() {
    const {takes, duration} = this.model, start = clamp(this.start + (this.seconds - takes) / 2, 0, Math.max(0, duration - takes));
    return {start, stop: Math.min(duration, start + takes)};
  }

  surface(canvas, tall) {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth || 800, context = canvas.getContext("2d");
    Object.assign(canvas, {width: Math.round(wide * ratio), height: Math.round(tall * ratio)});
    canvas.style.height = `${tall}px`;
    context.scale(ratio, ratio);
    return context;
  }

  // Upright strokes from the least to the largest value; `place` takes a column's time to pixels.
  strokes(context, window, lead, place, level) {
    const {columns, seconds, start} = window, width = seconds / columns;
    context.beginPath();
    for (let i = 0; i < columns; i++) {
      const low = window.low[lead * columns + i], high = window.high[lead * columns + i];
      if (Number.isNaN(low)) continue;
      const x = Math.floor(place(start + (i + 0.5) * width)) + 0.5, [top, bottom] = [level(high), level(low)];
      context.moveTo(x, top - 0.5);
      context.lineTo(x, bottom + 0.5);
      const next = i + 1 < columns ? [window.low[lead * columns + i + 1], window.high[lead * columns + i + 1]] : null;
      if (next && next[0] > high) { context.moveTo(x, top); context.lineTo(place(start + (i + 1.5) * width), level(next[0])); }
      else if (next && next[1] < low) { context.moveTo(x, bottom); context.lineTo(place(start + (i + 1.5) * width), level(next[1])); }
    }
    context.stroke();
  }

  span(window, lead) {
    let least = Infinity, most = -Infinity;
    for (let i = lead * window.columns; i < (lead + 1) * window.columns; i++) if (!Number.isNaN(window.low[i])) { least = Math.min(least, window.low[i]); most = Math.max(most, window.high[i]); }
    return least > most ? [-1, 1] : [least, Math.max(most, least + 0.2)];
  }

  draw(asks = false) {
    const {model, plot, taken} = this, style = getComputedStyle(this.root), ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), accent = style.getPropertyValue("--accent");
    this.width = this.near.clientWidth;
    const {leads} = model, lane = overviewLane(leads.length), high = leads.length * lane, wide = this.surface(this.wide, high), over = (time) => LEFT + (time / model.duration) * plot;
    wide.strokeStyle = soft;
    wide.lineWidth = this.whole ? Math.max(1, Math.ceil(plot / this.whole.columns)) : 1; // no gaps between columns
    if (this.whole) for (let k = 0; k < leads.length; k++) {
      const [least, most] = this.span(this.whole, k);
      this.strokes(wide, this.whole, k, over, (mv) => k * lane + 3 + (1 - (mv - least) / (most - least)) * (lane - 6));
    }
    wide.fillStyle = soft;
    wide.font = "12px sans-serif";
    if (!this.whole) wide.fillText("Reading the whole record …", LEFT + 8, high / 2 + 4);
    leads.forEach((lead, k) => wide.fillText(lead, 4, (k + 0.5) * lane + 4, LEFT - 8));
    wide.strokeStyle = accent;
    wide.lineWidth = 2;
    wide.strokeRect(over(this.start), 1, Math.max(3, over(this.start + this.seconds) - over(this.start)), high - 2);
    const tall = leads.length * LANE_TALL + 20, near = this.surface(this.near, tall), place = (time) => LEFT + ((time - this.start) / this.seconds) * plot;
    near.save();
    near.beginPath();
    near.rect(LEFT, 0, plot, tall);
    near.clip();
    near.globalAlpha = 0.14;
    near.fillStyle = accent;
    near.fillRect(place(taken.start), 0, Math.max(2, place(taken.stop) - place(taken.start)), tall - 18);
    near.globalAlpha = 1;
    near.strokeStyle = ink;
    if (this.got) for (let k = 0; k < leads.length; k++) {
      const [least, most] = this.span(this.got, k);
      this.strokes(near, this.got, k, place, (mv) => k * LANE_TALL + 8 + (1 - (mv - least) / (most - least)) * (LANE_TALL - 16));
    }
    near.restore();
    near.fillStyle = ink;
    near.font = "600 12px sans-serif";
    leads.forEach((lead, k) => near.fillText(lead, 4, k * LANE_TALL + 20, LEFT - 8));
    near.fillStyle = soft;
    near.font = "11px sans-serif";
    const digits = this.seconds < 60 ? 1 : 0, marks = plot < 480 ? 2 : 4;
    for (let i = 0; i <= marks; i++) {
      near.textAlign = i === 0 ? "left" : i === marks ? "right" : "center";
      near.fillText(clock(this.start + (i / marks) * this.seconds, digits), LEFT + (i / marks) * plot, tall - 4);
    }
    const words = `${clock(this.start, digits)} to ${clock(this.start + this.seconds, digits)} of ${clock(model.duration)}`;
    setText(this.said, words);
    setAttribute(this.wide, "aria-label", `Overview of ${leads.length === 1 ? "lead" : "leads"} ${leads.join(", ")}; in view: ${words}`);
    setAttribute(this.near, "aria-label", `Leads ${leads.join(", ")} from ${words}`);
    Object.assign(this.root.dataset, {start: this.start.toFixed(3), seconds: this.seconds.toFixed(3), taken: taken.start.toFixed(3), overview: String(Boolean(this.whole))});
    if (asks) this.ask();
  }
}

export function render({model}) {
  return new LongStripView(model).root;
}
