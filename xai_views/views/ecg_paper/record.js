// A record out of a frame: traces, clusters and contributions under a time; and the scrubber that keeps 64 of them.
const KEEP_RECORDS = 64, DETAIL_MS = 150;

// Values on a regular grid of time, one row for all leads or one for each.
class Steps {
  constructor(map, {step, offset}) {
    Object.assign(this, {map, step: step * (map.stride ?? 1), offset, count: map.columns});
  }

  row(lead) { return this.map.rows === 1 ? 0 : lead; }

  at(lead, time) {
    const i = Math.floor((time - this.offset) / this.step + 1e-9);
    return i < 0 || i >= this.count ? null : valueAt(this.map, this.row(lead), i);
  }

  // [[value, start, stop], …] of equal neighbours between two times; ``group`` maps values to what must be equal.
  runs(lead, start, stop, group = (value) => value) {
    const first = Math.max(0, Math.floor((start - this.offset) / this.step)), out = [];
    for (let i = first; i < this.count && this.offset + i * this.step < stop; i++) {
      const value = group(valueAt(this.map, this.row(lead), i)), end = this.offset + (i + 1) * this.step;
      if (out.length && out[out.length - 1][0] === value) out[out.length - 1][2] = end;
      else out.push([value, this.offset + i * this.step, end]);
    }
    for (const run of out) { run[1] = Math.max(run[1], start); run[2] = Math.min(run[2], stop); }
    return out.filter(([, a, b]) => b > a);
  }

  // Mean between two times, null where there is nothing.
  mean(lead, start, stop) {
    const first = Math.max(0, Math.floor((start - this.offset) / this.step + 1e-9));
    const last = Math.min(this.count - 1, Math.max(Math.floor((start - this.offset) / this.step + 1e-9), Math.ceil((stop - this.offset) / this.step - 1e-9) - 1));
    let sum = 0, n = 0;
    for (let i = first; i <= last; i++) { const value = valueAt(this.map, this.row(lead), i); if (value !== null) { sum += value; n++; } }
    return n ? sum / n : null;
  }
}

class EcgRecord {
  constructor(frame) {
    const {record, full, start, bins, overview, room} = frame.header;
    Object.assign(this, record, {key: frame.key, full, from: start, bins, overview, room, seconds: record.steps / record.rate});
    const maps = Object.fromEntries((frame.maps.get("ecg") ?? []).map((map) => [map.layer, map]));
    this.trace = maps.signal;
    this.clusters = maps.cluster ? new Steps(maps.cluster, record.cluster) : null;
    this.entropy = maps.entropy ? new Steps(maps.entropy, record.cluster) : null;
    this.strip = maps.contribution ? new Steps(maps.contribution, record.contribution) : null;
    this.explained = Boolean(this.clusters || this.strip);
  }

  // Seconds of the column ``i`` of the trace.
  time(i) {
    if (!this.bins) return (this.from + i) / this.rate;
    const begin = Math.floor(((i >> 1) * this.steps) / this.bins), end = Math.floor((((i >> 1) + 1) * this.steps) / this.bins);
    return (begin + (end - begin) * (i & 1 ? 0.75 : 0.25)) / this.rate;
  }

  // The column at or before a time, not clipped.
  column(time) {
    const step = time * this.rate;
    return this.bins ? 2 * Math.floor((step * this.bins) / this.steps) : Math.floor(step - this.from + 1e-6);
  }

  // Volts of one column in mV, null outside.
  value(lead, i) { return i < 0 || i >= this.trace.columns ? null : this.trace.codes[lead * this.trace.columns + i] * this.trace.scale; }

  // mV at the nearest step; null in a coarse record, whose columns are extremes and no values at a time.
  mv(lead, time) { return this.bins || !this.present[lead] ? null : this.value(lead, Math.round(time * this.rate) - this.from); }

  // Whether a better frame for what is in view cannot be had.
  covers(start, stop) {
    if (this.bins) return this.full && stop - start > this.room;
    return this.full && this.from / this.rate <= Math.max(0, start) + 1e-9 && (this.from + this.trace.columns) / this.rate >= Math.min(this.seconds, stop) - 1e-9;
  }

  // Ids of the clusters, ascending.
  get ids() { return (this.idList ??= this.clusters ? [...new Set(this.clusters.map.codes)].filter((id) => id >= 0).sort((a, b) => a - b) : []); }

  clusterName(id) { const name = this.cluster.names[id]; return name ? `${id} ${name}` : `${id}`; }

  // [{id, share, runs}] for the text twin, counted by the server.
  stretches() { return this.cluster.shares.map(([id, share, runs]) => ({id, share, runs})); }
}

// Coarse frames while the hand moves, the full one when it rests; the last 64 records stay.
class RecordScrubber extends Scrubber {
  constructor(parts) { super(parts); this.view = parts.view; }

  display(frame) {
    if (this.shown?.key === frame.key && this.shown.header.full && !frame.header.full) return;
    super.display(frame);
    this.rest();
  }

  // Ask for every step of what is in view, once the hand rests. It is in flight like a wish, so that no wish for
  // neighbours takes its place; any answer with its number ends it, an error too.
  rest() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      const frame = this.shown, {start, stop} = this.view();
      if (!frame || frame.key !== this.target || this.failed.has(`${frame.key}|full`) || frame.record?.covers(start, stop)) return;
      if (this.flight) { this.rest(); return; }
      this.asked.clear();
      const flight = this.flight = {seq: this.seq, key: "", time: performance.now()};
      this.send({type: "want", seq: ++this.seq, key: frame.key, detail: [start, stop], prefetch: []});
      clearTimeout(this.losing);
      this.losing = setTimeout(() => { if (this.flight === flight) { this.flight = null; this.rest(); } }, GIVE_UP_MS);
    }, DETAIL_MS);
  }

  // A wish for another record does not wait for details of this one.
  request() {
    if (this.flight?.key === "") this.flight = null;
    super.request();
  }

  keep(frame) {
    const old = this.frames.get(frame.key);
    if (old?.header.full && !frame.header.full) return;
    super.keep(frame);
    for (const [key, other] of this.frames) {
      if (this.frames.size <= KEEP_RECORDS) break;
      if (key === this.target || other === this.shown) continue;
      this.frames.delete(key);
      this.used -= other.bytes;
    }
    this.kept(this.frames.size);
  }

  close() { clearTimeout(this.resting); clearTimeout(this.losing); super.close(); }
}
