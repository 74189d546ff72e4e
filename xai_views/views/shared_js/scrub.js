// The scrubber: draws at once what the browser has, keeps one request in flight, remembers only the newest wish,
// and asks for the neighbours in small portions, so that a slow network never queues pictures nobody waits for.
const AHEAD = 8, PORTION = 4, OVERTAKE_MS = 300, GIVE_UP_MS = 8000, EARLY_MS = 1000, BUDGET = 64e6, REST_MS = 150;

class Scrubber {
  constructor({send, show, state, kept}) {
    Object.assign(this, {send, show, state, kept, order: [], context: "", position: 0, seq: 0, used: 0, direction: 1});
    this.frames = new Map(); // key -> frame, least recently used first
    this.failed = new Set();
    this.asked = new Set(); // neighbours on their way
    this.flight = null;
    this.target = null;
    this.shown = null;
    this.prefetch = true;
  }

  keyOf(position) {
    const sample = this.order[position];
    return sample === undefined ? null : `${sample}|${this.context}`;
  }

  // Go to a sample; what is known is drawn before this returns.
  go(position, {force = false} = {}) {
    position = clamp(position, 0, Math.max(0, this.order.length - 1));
    if (position !== this.position) this.direction = position > this.position ? 1 : -1;
    this.position = position;
    const key = this.keyOf(position);
    if (key === null || (key === this.target && !force)) return;
    this.target = key;
    this.failed.delete(key);
    const frame = this.frames.get(key);
    if (frame) {
      this.frames.delete(key); // most recently used: to the end
      this.frames.set(key, frame);
      this.display(frame);
      this.fetchNeighbours();
    } else {
      this.state("waiting");
      this.request();
    }
  }

  refresh() { this.target = null; this.asked.clear(); this.go(this.position); }

  display(frame) {
    this.shown = frame;
    this.state("idle");
    this.show(frame);
  }

  request() {
    const now = performance.now();
    clearTimeout(this.timer);
    if (this.flight && this.flight.key !== this.target && now - this.flight.time < OVERTAKE_MS) {
      this.timer = setTimeout(() => this.request(), OVERTAKE_MS - (now - this.flight.time) + 1);
      return;
    }
    const patience = this.heard ? GIVE_UP_MS : EARLY_MS; // what is sent before the page is ready may be lost
    if (this.flight?.key === this.target && now - this.flight.time < patience) return;
    this.asked.clear(); // the kernel drops the neighbours when a wish comes
    this.flight = {seq: ++this.seq, key: this.target, time: now};
    this.send({type: "want", seq: this.seq, key: this.target, prefetch: []});
    this.timer = setTimeout(() => { if (this.flight && this.target !== this.shown?.key) this.request(); }, patience + 50);
  }

  async take(raw) {
    const frame = await decodeFrame(raw);
    if (!frame) return;
    this.heard = true;
    this.asked.delete(frame.key);
    const answersFlight = this.flight && (frame.key === this.flight.key || frame.seq > this.flight.seq);
    if (answersFlight && frame.final) this.flight = null;
    const stale = this.frames.has(frame.key) && this.frames.get(frame.key).seq > frame.seq;
    if (frame.error) {
      this.failed.add(frame.key);
      if (frame.key === this.target) this.state("idle", frame.error);
    } else if (!stale) {
      if (frame.final) this.keep(frame);
      if (frame.key === this.target && (this.shown?.key !== frame.key || frame.seq >= this.shown.seq)) this.display(frame);
    }
    if (this.target !== null && this.shown?.key !== this.target && !this.failed.has(this.target) && !this.flight) this.request();
    else if (!this.flight) this.fetchNeighbours();
  }

  keep(frame) {
    const old = this.frames.get(frame.key);
    if (old) this.used -= old.bytes;
    this.frames.delete(frame.key);
    this.frames.set(frame.key, frame);
    this.used += frame.bytes;
    for (const [key, other] of this.frames) {
      if (this.used <= BUDGET || this.frames.size <= 1) break;
      if (key === this.target || other === this.shown) continue;
      this.frames.delete(key);
      this.used -= other.bytes;
      other.close();
    }
    this.kept(this.frames.size);
  }

  fetchNeighbours() {
    if (!this.prefetch || this.asked.size || this.flight) return;
    const wanted = [], room = this.shown ? Math.max(1, Math.floor(BUDGET / this.shown.bytes) - 2) : 2 * AHEAD;
    for (let step = 1; step <= AHEAD; step++)
      for (const side of [this.direction, -this.direction]) {
        const key = this.keyOf(this.position + side * step);
        if (2 * step <= room + 1 && key !== null && !this.frames.has(key) && !this.failed.has(key)) wanted.push(key);
      }
    if (!wanted.length) return;
    const portion = wanted.slice(0, PORTION);
    portion.forEach((key) => this.asked.add(key));
    this.send({type: "want", seq: ++this.seq, key: "", prefetch: portion});
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.asked.clear(), GIVE_UP_MS);
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.patience);
    for (const frame of this.frames.values()) frame.close();
    this.frames.clear();
  }
}
