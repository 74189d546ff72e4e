// The filmstrip: one canvas over a scrolled strip or grid; thumbnails arrive in chunks when they come into view.
const CHUNK = 256, KEPT = 24, FILM_GAP = 6, AGAIN_MS = 2000, NARROW = 300;
const YOURS = "yours"; // the mark of an upload: a frame of dashes, no error

class Film {
  constructor(model) {
    Object.assign(this, {model, chunks: new Map(), asked: new Map(), hover: -1, current: model.jump?.current ?? -1});
    this.canvas = h("canvas", {"aria-hidden": true});
    this.spacer = h("div", {class: "xf-spacer"}, this.canvas);
    this.option = h("div", {role: "option", id: `xf-${Math.random().toString(36).slice(2)}`, class: "xf-hidden", "aria-selected": "true"});
    this.scroll = h("div", {class: "xf-scroll", role: "listbox", tabindex: "0", "aria-label": model.label, "aria-activedescendant": this.option.id}, this.spacer, this.option);
    this.tip = h("div", {class: "xf-tip", hidden: true});
    this.text = h("p", {class: "xf-text"});
    this.empty = h("p", {class: "xf-empty", hidden: true});
    this.frame = h("div", {class: "xf-frame"}, this.scroll, this.empty);
    this.root = h("div", {class: "xf", "data-state": "waiting"}, h("style", {}, CSS), this.frame, this.text, this.tip);
    this.edges = watchEdges(this.scroll);
    this.themes = watchTheme(this.root, model);
    this.listen();
  }

  listen() {
    const {model, scroll} = this, layout = () => { this.sync(); this.layout(); this.reveal(); };
    model.on("sprite", () => this.take());
    // A canvas that walks through the same samples tells which one it shows, without a message of the server.
    this.unfollow = follow(() => model.channel, (about) => { this.about = about; if (this.sync()) { this.reveal(); this.draw(); } });
    model.on(["items", "mode", "size", "aspect", "named", "rows", "captions", "hidden", "empty"], layout);
    model.on("marks", () => this.draw());
    model.on("jump", () => { this.current = model.jump.current; this.reveal(); this.draw(); });
    model.on("generation", () => { this.forget(); layout(); });
    model.on("dark", () => { this.themes.update(); this.draw(); });
    model.on("remove", () => { this.unfollow(); this.themes.disconnect(); this.resizes.disconnect(); clearTimeout(this.again); this.forget(); });
    scroll.addEventListener("scroll", () => this.draw());
    scroll.addEventListener("pointermove", (event) => this.setHover(this.hit(event), event));
    scroll.addEventListener("pointerleave", () => this.setHover(-1));
    scroll.addEventListener("click", (event) => { const at = this.hit(event); if (at >= 0) this.choose(at); });
    scroll.addEventListener("keydown", (event) => this.key(event));
    this.resizes = new ResizeObserver(() => { this.layout(); if (!this.revealed) { this.revealed = true; this.reveal(); } });
    this.resizes.observe(scroll);
    if (model.sprite?.byteLength) this.take();
  }

  // Take over what the canvas shows; false where it walks through other samples or shows this one already.
  sync() {
    const {position, count} = this.about ?? {}, {items} = this.model;
    if (count !== items.length || items[position] === this.current) return false;
    this.current = items[position];
    return true;
  }

  forget() {
    for (const chunk of this.chunks.values()) chunk.close();
    this.chunks.clear();
    this.asked.clear();
  }

  async take() {
    const frame = await decodeFrame(this.model.sprite);
    if (!frame || frame.header.generation !== this.model.generation) return;
    this.chunks.delete(frame.header.chunk);
    this.chunks.set(frame.header.chunk, frame);
    this.asked.delete(frame.header.chunk);
    for (const [index, chunk] of this.chunks) {
      if (this.chunks.size <= KEPT) break;
      this.chunks.delete(index);
      chunk.close();
    }
    this.root.dataset.state = "idle";
    this.draw();
  }

  // Height and width of a thumbnail, and from one to the next.
  get size() { return this.model.size; }
  get wide() { return Math.round(this.model.size * this.model.aspect); }
  get pitch() { return this.size + FILM_GAP; }
  get step() { return this.named ? Math.max(this.wide, this.scroll.clientWidth - FILM_GAP) : this.wide + FILM_GAP; }
  get named() { return this.grid && this.model.named; }

  layout() {
    const {model, scroll} = this, count = model.items.length;
    const grid = this.grid = model.mode === "grid" || (model.mode === "auto" && this.root.clientWidth < NARROW), {pitch, step} = this, fills = grid && model.rows === 0;
    this.columns = grid ? Math.max(1, Math.floor((scroll.clientWidth - FILM_GAP) / step)) : Math.max(1, count);
    const lines = Math.ceil(count / this.columns);
    Object.assign(this.root.dataset, {mode: grid ? "grid" : "strip", fills: String(fills), hidden: String(model.hidden)});
    this.spacer.style.width = grid ? "100%" : `${count * step + FILM_GAP}px`;
    this.spacer.style.height = `${Math.max(1, lines) * pitch + FILM_GAP}px`;
    scroll.style.maxHeight = grid && !fills ? `${model.rows * pitch + FILM_GAP}px` : "";
    this.empty.hidden = count > 0;
    setText(this.empty, model.empty);
    scroll.hidden = this.text.hidden = count === 0;
    this.draw();
    this.edges();
  }

  // Position in items under the pointer, -1 when between or outside.
  hit(event) {
    const box = this.spacer.getBoundingClientRect(), {pitch, step, columns} = this;
    const x = event.clientX - box.left - FILM_GAP / 2, y = event.clientY - box.top - FILM_GAP / 2;
    const column = Math.floor(x / step), at = Math.floor(y / pitch) * columns + column;
    return x >= 0 && y >= 0 && column < columns && at < this.model.items.length ? at : -1;
  }

  place(at) { return {x: FILM_GAP + (at % this.columns) * this.step, y: FILM_GAP + Math.floor(at / this.columns) * this.pitch}; }

  // The mark of a sample; none while the model's output is hidden.
  markOf(index) { return this.model.hidden ? "" : this.model.marks[index] ?? ""; }

  draw() {
    const {scroll, canvas, model, pitch, step, wide, size, columns, current} = this, {items} = model;
    const width = scroll.clientWidth, height = scroll.clientHeight, ratio = window.devicePixelRatio || 1;
    if (!width || !height || !columns) return;
    const left = scroll.scrollLeft, top = scroll.scrollTop;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      Object.assign(canvas.style, {width: `${width}px`, height: `${height}px`});
    }
    canvas.style.transform = `translate(${left}px, ${top}px)`;
    const context = canvas.getContext("2d"), style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.setTransform(ratio, 0, 0, ratio, -left * ratio, -top * ratio);
    context.clearRect(left, top, width, height);
    const firstRow = Math.max(0, Math.floor((top - FILM_GAP) / pitch)), lastRow = Math.floor((top + height) / pitch);
    const firstColumn = Math.max(0, Math.floor((left - FILM_GAP) / step)), lastColumn = Math.min(columns - 1, Math.floor((left + width) / step));
    const missing = new Set();
    let drawn = 0;
    for (let row = firstRow; row <= lastRow; row++)
      for (let column = firstColumn; column <= lastColumn; column++) {
        const at = row * columns + column, index = items[at];
        if (index === undefined) break;
        const {x, y} = this.place(at), chunk = Math.floor(index / CHUNK), got = this.chunks.get(chunk), photo = got?.photos.get(String(index));
        context.imageSmoothingEnabled = !photo || wide < photo.rect[2]; // enlarged pixel by pixel
        if (photo) context.drawImage(photo.bitmap, ...photo.rect, x, y, wide, size);
        else { context.fillStyle = colour("--well"); context.fillRect(x, y, wide, size); }
        if (got?.header.broken?.[index]) this.drawBroken(context, x, y, wide, size, colour("--faint"));
        if (!got) missing.add(chunk);
        if (this.named) this.drawName(context, x + wide + FILM_GAP, y + size / 2, index, colour(index === current ? "--accent" : "--ink"));
        if (this.markOf(index)) this.drawMark(context, x, y, wide, size, colour, this.markOf(index));
        if (index === current || at === this.hover) this.drawFrame(context, x, y, wide, size, colour(index === current ? "--accent" : "--faint"), colour("--ground"));
        drawn++;
      }
    this.root.dataset.drawn = drawn;
    this.ask(missing);
    this.say();
  }

  // Ask for chunks in view, and again when nothing came: what is sent before the page is ready may be lost.
  ask(missing) {
    const now = performance.now();
    clearTimeout(this.again);
    if (missing.size) this.again = setTimeout(() => this.draw(), AGAIN_MS + 50);
    for (const chunk of missing) {
      if (now - (this.asked.get(chunk) ?? -1e9) < AGAIN_MS) continue;
      this.asked.set(chunk, now);
      this.model.send_msg({type: "chunk", index: chunk});
    }
  }

  drawName(context, x, y, index, colour) {
    context.fillStyle = colour;
    context.font = `12px ${getComputedStyle(this.root).fontFamily}`;
    context.textBaseline = "middle";
    context.fillText(this.idOf(index), x, y);
  }

  // A picture that could not be read: a stroke through an empty place.
  drawBroken(context, x, y, wide, size, colour) {
    context.lineWidth = 1;
    context.strokeStyle = colour;
    context.strokeRect(x + 0.5, y + 0.5, wide - 1, size - 1);
    context.beginPath();
    context.moveTo(x, y + size);
    context.lineTo(x + wide, y);
    context.stroke();
  }

  // A frame AND a cross in the corner: never colour alone.
  drawMark(context, x, y, wide, size, colour, mark) {
    if (mark === YOURS) {
      context.lineWidth = 2;
      context.strokeStyle = colour("--accent");
      context.setLineDash([4, 3]);
      context.strokeRect(x + 1, y + 1, wide - 2, size - 2);
      context.setLineDash([]);
      return;
    }
    const side = clamp(size / 4, 10, 16);
    context.lineWidth = 2;
    context.strokeStyle = colour("--mark");
    context.strokeRect(x + 1, y + 1, wide - 2, size - 2);
    context.fillStyle = colour("--mark");
    context.fillRect(x + wide - side, y, side, side);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.75;
    const inset = side * 0.28;
    context.beginPath();
    context.moveTo(x + wide - side + inset, y + inset); context.lineTo(x + wide - inset, y + side - inset);
    context.moveTo(x + wide - inset, y + inset); context.lineTo(x + wide - side + inset, y + side - inset);
    context.stroke();
  }

  drawFrame(context, x, y, wide, size, colour, ground) {
    context.lineWidth = 1.5;
    context.strokeStyle = ground;
    context.strokeRect(x - 0.25, y - 0.25, wide + 0.5, size + 0.5);
    context.lineWidth = 2.5;
    context.strokeStyle = colour;
    context.strokeRect(x - 1.75, y - 1.75, wide + 3.5, size + 3.5);
  }

  idOf(index) { return (this.model.captions[index] ?? `sample ${index}`).split(/[:,] /, 1)[0]; }

  // Caption and mark, or why there is no picture; the id alone (up to the first colon or comma) while the model's output is hidden.
  describe(index) {
    const {captions, hidden} = this.model, caption = captions[index] ?? `sample ${index}`, id = this.idOf(index);
    const reason = this.chunks.get(Math.floor(index / CHUNK))?.header.broken?.[index];
    return reason ? `${id}: ${reason}` : hidden ? id : [caption, this.markOf(index)].filter(Boolean).join(", ");
  }

  say() {
    const {items} = this.model, {current} = this, at = items.indexOf(current), wrong = items.filter((index) => ![undefined, "", YOURS].includes(this.markOf(index))).length;
    const where = at >= 0 ? `${this.describe(current)} (${at + 1} of ${items.length})` : `${items.length} shown`;
    setText(this.text, `${where}${wrong ? ` · ${wrong} ${wrong === 1 ? "error" : "errors"}` : ""}`);
    setAttribute(this.text, "title", this.text.textContent);
    setText(this.option, where);
  }

  setHover(at, event) {
    if (event && at >= 0) {
      const box = this.root.getBoundingClientRect();
      this.tip.style.left = `${clamp(event.clientX - box.left, 0, box.width)}px`;
      const y = this.place(at).y - this.scroll.scrollTop, low = this.grid && y > this.scroll.clientHeight / 2; // above: never cut off below
      this.tip.style.top = `${this.scroll.offsetTop + y + (low ? -FILM_GAP : this.pitch)}px`;
      this.tip.style.marginTop = low ? "-24px" : "";
    }
    if (at === this.hover) return;
    this.hover = at;
    this.tip.hidden = at < 0;
    if (at >= 0) {
      setText(this.tip, this.describe(this.model.items[at]));
      const half = this.tip.offsetWidth / 2, left = parseFloat(this.tip.style.left) || 0;
      this.tip.style.left = `${clamp(left, half, Math.max(half, this.root.clientWidth - half))}px`;
    }
    this.draw();
  }

  choose(at) {
    const index = this.model.items[at];
    this.current = index;
    this.reveal();
    this.draw();
    this.model.send_msg({type: "select", index});
  }

  // Scroll the current sample into view, and no further.
  reveal() {
    const at = this.model.items.indexOf(this.current), {scroll, pitch, step} = this;
    if (at < 0 || !scroll.clientWidth) return;
    const {x, y} = this.place(at);
    if (x - FILM_GAP < scroll.scrollLeft || x + step > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = x - (scroll.clientWidth - step) / 2;
    if (y - FILM_GAP < scroll.scrollTop || y + pitch > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y - (scroll.clientHeight - pitch) / 2;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const {items} = this.model, {grid} = this, last = items.length - 1, at = items.indexOf(this.current);
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid ? this.columns : 1, ArrowUp: grid ? -this.columns : -1, PageDown: 10, PageUp: -10}[event.key];
    let next = event.key === "Home" ? 0 : event.key === "End" ? last : step === undefined ? null : at < 0 ? 0 : at + step;
    if (next === null || last < 0) return;
    event.preventDefault();
    event.stopPropagation();
    next = clamp(next, 0, last);
    if (next !== at) this.choose(next);
  }
}

export function render({model}) {
  return new Film(model).root;
}
