// The minimap: the whole record as a line over its clusters, and the window that is in view, to be dragged.
const MAP_HEIGHT = 44;

class MiniMap {
  constructor(host) {
    this.host = host;
    this.canvas = h("canvas", {class: "xe-map", role: "slider", tabindex: "0", "aria-label": "Part of the record in view", "aria-valuemin": "0"});
    this.canvas.addEventListener("pointerdown", (event) => this.grab(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  draw() {
    const {record, settings, visible} = this.host, {canvas} = this, width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    canvas.hidden = !record || !(settings.minimap === "auto" ? record.seconds > 1.05 * visible : settings.minimap);
    if (record) {
      setAttribute(canvas, "aria-valuemax", Math.max(0, record.seconds - visible).toFixed(2));
      setAttribute(canvas, "aria-valuenow", this.host.start.toFixed(2));
      setAttribute(canvas, "aria-valuetext", `${this.host.start.toFixed(2)} to ${Math.min(record.seconds, this.host.start + visible).toFixed(2)} of ${record.seconds.toFixed(2)} s`);
    }
    if (canvas.hidden || !width) return;
    const size = {width: Math.round(width * ratio), height: Math.round(MAP_HEIGHT * ratio)};
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
    const context = canvas.getContext("2d"), scale = canvas.width / record.seconds, {height} = canvas;
    context.fillStyle = INK.paper;
    context.fillRect(0, 0, canvas.width, height);
    if (explains(settings, record) && record.clusters && bandsOf(settings) !== "off") {
      for (const [id, from, to] of record.clusters.runs(0, 0, record.seconds)) {
        if (id === null || id < 0) continue;
        context.globalAlpha = 0.5 * weightOf(settings, id);
        context.fillStyle = colourOf(id);
        context.fillRect(from * scale, 0, Math.max(1, (to - from) * scale), height);
      }
      context.globalAlpha = 1;
    }
    const line = record.overview, most = Math.max(1, ...line.map(Math.abs));
    context.beginPath();
    line.forEach((code, i) => context[i ? "lineTo" : "moveTo"](((i + 0.5) / line.length) * canvas.width, height / 2 - (code / most) * (height / 2 - 3 * ratio)));
    context.strokeStyle = INK.trace;
    context.lineWidth = ratio;
    context.stroke();
    const left = this.host.start * scale, wide = Math.min(canvas.width - left, visible * scale);
    context.fillStyle = "rgba(20, 30, 45, .35)";
    context.fillRect(0, 0, left, height);
    context.fillRect(left + wide, 0, canvas.width - left - wide, height);
    context.strokeStyle = INK.text;
    context.lineWidth = 2 * ratio;
    context.strokeRect(left + ratio, ratio, wide - 2 * ratio, height - 2 * ratio);
  }

  grab(event) {
    const {host, canvas} = this;
    if (!host.record) return;
    const box = canvas.getBoundingClientRect(), seconds = host.record.seconds;
    const time = (moved) => ((moved.clientX - box.left) / box.width) * seconds;
    const at = time(event), inside = at >= host.start && at <= host.start + host.visible;
    const grip = inside ? at - host.start : host.visible / 2; // beside the window: it jumps under the hand
    const move = (moved) => host.moveTo({start: time(moved) - grip});
    dragged(canvas, event, move);
    move(event);
  }

  key(event) {
    const {host} = this, far = host.visible * 0.9;
    const step = {ArrowRight: 0.5, ArrowLeft: -0.5, ArrowUp: 0.5, ArrowDown: -0.5, PageDown: far, PageUp: -far, Home: -Infinity, End: Infinity}[event.key];
    if (step === undefined || !host.record || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    host.moveTo({start: clamp(host.start + step, 0, host.record.seconds)});
  }
}

// Follow a pointer from its press until it is let go.
function dragged(element, event, move, end = () => {}) {
  const finish = (last) => {
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", finish);
    element.removeEventListener("pointercancel", finish);
    end(last);
  };
  element.setPointerCapture(event.pointerId);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", finish);
  element.addEventListener("pointercancel", finish);
}
