// Calipers: two marks in one lead, dragged or moved by key; what lies between them in ms, mV and bpm, or QT and QTc.
class Calipers {
  constructor(host) {
    Object.assign(this, {host, on: false, lead: 0, row: 0, times: [0, 0], active: 1, rr: null});
    this.marks = [0, 1].map((i) => h("div", {class: "xe-mark", role: "slider", tabindex: "0", hidden: true, "aria-label": `Caliper ${i + 1}`, "aria-valuemin": "0",
      onfocus: () => { this.active = i; }, onpointerdown: (event) => this.grab(event, i), onkeydown: (event) => host.keyDown(event)}));
    this.span = h("div", {class: "xe-span", hidden: true, "aria-hidden": true});
    this.text = h("p", {class: "xe-chip xe-caliper", "aria-live": "polite", hidden: true});
  }

  toggle(on = !this.on) {
    this.on = on;
    if (on && !this.placed) {
      const {host} = this, {segments} = host.sheet, seen = segments.filter((s) => host.cssY(s.y) >= 0 && host.cssY(s.y + s.height) <= host.height);
      const segment = host.at?.segment ?? seen.find((s) => host.record.leads[s.lead] === host.settings.rhythm) ?? seen[0] ?? segments[0], middle = (segment.start + segment.stop) / 2;
      Object.assign(this, {lead: segment.lead, row: segment.row, placed: true, times: [middle - 0.4, middle + 0.4].map((t) => this.clip(t))});
    }
    this.draw();
    if (on) this.marks[this.active].focus({preventScroll: true});
  }

  clip(time) { return clamp(time, 0, this.host.record?.seconds ?? 0); }

  // The segment of the lead that shows a time: that of the row where the calipers were set, if it does.
  segment(time) {
    const found = this.host.sheet.segments.filter((s) => s.lead === this.lead && time >= s.start - 1e-9 && time <= s.stop + 1e-9);
    return found.find((s) => s.row === this.row) ?? found[0] ?? null;
  }

  set(i, time) {
    this.times[i] = this.clip(time);
    this.active = i;
    this.draw();
  }

  // A new measurement begins where the hand presses.
  begin({segment, time}) {
    Object.assign(this, {lead: segment.lead, row: segment.row, placed: true, times: [this.clip(time), this.clip(time)], active: 1});
    this.draw();
  }

  grab(event, i) {
    event.preventDefault();
    event.stopPropagation();
    this.marks[i].focus({preventScroll: true});
    const own = this.segment(this.times[i]);
    dragged(this.marks[i], event, (moved) => this.set(i, this.host.timeIn(own, moved)));
  }

  // Up and down go to the lead before or after on the paper.
  nextLead(by) {
    const order = orderedLeads(this.host.record.leads);
    this.lead = order[clamp(order.indexOf(this.lead) + by, 0, order.length - 1)];
    this.row = this.segment(this.times[this.active])?.row ?? this.row;
    this.draw();
  }

  nudge(by) { this.set(this.active, this.times[this.active] + by / this.host.record.rate); }

  // Take what lies between the marks as RR, so that the next interval is read as QT; once more forgets it.
  takeRr() {
    this.rr = this.rr === null && this.times[0] !== this.times[1] ? intervalOf(...this.times).ms : null;
    this.draw();
  }

  clear() { const was = this.on; this.rr = null; this.placed = false; this.toggle(false); return was; }

  words() {
    const {record} = this.host, [a, b] = this.times;
    return `Lead ${record.leads[this.lead]}: ${caliperWords({a, b, mvA: record.mv(this.lead, a), mvB: record.mv(this.lead, b), rr: this.rr})}`;
  }

  draw() {
    const {host} = this, shown = this.on && host.record !== null;
    const places = this.times.map((time) => { const s = shown ? this.segment(time) : null; return s && {x: host.cssX(s.x + (time - s.start) * host.sheet.speed), y: host.cssY(s.y), tall: s.height * host.ppm, row: s.row}; });
    this.marks.forEach((mark, i) => {
      const place = places[i];
      mark.hidden = !place || place.x < 0 || place.x > host.width;
      if (mark.hidden) return;
      mark.style.transform = `translate(${place.x}px, ${place.y}px)`;
      mark.style.height = `${place.tall}px`;
      setAttribute(mark, "aria-valuemax", host.record.seconds.toFixed(3));
      setAttribute(mark, "aria-valuenow", this.times[i].toFixed(3));
      setAttribute(mark, "aria-valuetext", `${this.times[i].toFixed(3)} s, lead ${host.record.leads[this.lead]}`);
    });
    const [p, q] = places;
    this.span.hidden = !p || !q || p.row !== q.row;
    if (!this.span.hidden) {
      const left = clamp(Math.min(p.x, q.x), 0, host.width), right = clamp(Math.max(p.x, q.x), 0, host.width);
      Object.assign(this.span.style, {transform: `translate(${left}px, ${p.y}px)`, width: `${right - left}px`});
    }
    const place = p ?? q;
    this.text.hidden = !shown || !place;
    if (this.text.hidden) return;
    setText(this.text, this.words());
    host.beside(this.text, Math.min(p?.x ?? Infinity, q?.x ?? Infinity) + 8, place.y + place.tall, place.y);
  }
}
