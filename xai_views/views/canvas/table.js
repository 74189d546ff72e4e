// The ledger: a real table with pictures in its rows, signed bars around a neutral zero, and footer lines.
class Ledger {
  constructor(host) {
    this.host = host;
    this.rows = [];
    this.tiles = new Map();
    this.selected = "";
    this.caption = h("caption");
    this.head = h("thead");
    this.body = h("tbody");
    this.foot = h("tfoot");
    this.table = h("table", {}, this.caption, this.head, this.body, this.foot);
    this.scroll = h("div", {class: "xv-scroll"}, this.table);
    const button = (action) => h("button", {type: "button", class: "xv-act", onclick: () => { host.model.send_msg({type: "edit", action}); host.root.focus({preventScroll: true}); }});
    this.acts = {remove: button("remove"), undo: button("undo"), reset: button("reset")};
    this.words = h("span", {class: "xv-edits"});
    this.edits = h("div", {class: "xv-acts", role: "group", "aria-label": "Edits", hidden: true}, ...Object.values(this.acts), this.words);
    this.element = h("section", {class: "xv-ledger", hidden: true}, this.scroll, this.edits);
    this.edges = watchEdges(this.scroll, {name: "Ledger", inset: () => [this.head.offsetHeight, this.foot.offsetHeight]});
  }

  // Null where there is none, or where the model's output is hidden.
  get data() { return this.host.settings.hidden ? null : this.host.frame?.header.table ?? null; }

  update() {
    const {data} = this;
    this.element.hidden = !data;
    if (!data) { this.clear(); return; }
    const pictures = Math.max(0, ...data.rows.map((row) => row.tiles?.length ?? 0)), bars = data.rows.some((row) => row.value != null);
    setText(this.caption, data.caption ?? "");
    this.fillHead(data, pictures, bars);
    this.fit(data.rows.length, pictures, data.columns.length, bars);
    const limit = data.limit ?? Math.max(1e-30, ...data.rows.map((row) => Math.abs(row.value ?? 0)));
    if (data.selected != null) this.selected = String(data.selected);
    data.rows.forEach((row, i) => this.fillRow(this.rows[i], row, pictures, limit, bars));
    this.markSelected();
    this.fillFoot(data, pictures, bars);
    this.fillEdits();
  }

  // The buttons under the ledger, where the app edits.
  fillEdits() {
    const edits = this.host.model.edits ?? {}, {remove, undo, reset} = this.acts;
    this.edits.hidden = !edits.remove;
    if (!edits.remove) return;
    for (const [element, text, off, title] of [[remove, edits.remove, edits.reason, edits.reason || "Replace its activations and compare (a)"], [undo, "Undo", !edits.undo, "Undo the last edit (u)"], [reset, "Reset", !edits.reset, "Undo all edits of this sample"]]) {
      setText(element, text);
      setAttribute(element, "title", title);
      element.disabled = Boolean(off);
    }
    setText(this.words, edits.words ?? "");
  }

  // Leave no word of it on the page.
  clear() {
    this.fit(0, 0, 0);
    setText(this.caption, "");
    this.head.replaceChildren();
    this.foot.replaceChildren();
    this.headText = this.footText = null;
  }

  fillHead(data, pictures, bars) {
    const text = JSON.stringify([data.columns, data.tile_columns, data.value_column, pictures, bars]);
    if (this.headText === text) return;
    this.headText = text;
    const heads = [];
    for (let i = 0; i < pictures; i++) heads.push(h("th", {scope: "col", class: "xv-picture"}, data.tile_columns?.[i] ?? ""));
    for (const name of data.columns) heads.push(h("th", {scope: "col"}, name));
    if (bars) heads.push(h("th", {scope: "col", class: "xv-value"}, data.value_column ?? ""));
    this.head.replaceChildren(h("tr", {}, heads));
  }

  // Keep as many rows and cells as needed; elements are reused from sample to sample.
  fit(count, pictures, columns, bars) {
    const shape = `${pictures} ${columns} ${bars}`;
    if (this.shape !== shape) { this.rows.forEach((row) => this.drop(row)); this.rows = []; this.shape = shape; }
    while (this.rows.length > count) this.drop(this.rows.pop());
    while (this.rows.length < count) {
      const row = {tiles: Array(pictures).fill(null), pictures: [], cells: []};
      for (let i = 0; i < pictures; i++) row.pictures.push(h("td", {class: "xv-picture"}));
      for (let i = 0; i < columns; i++) row.cells.push(h("td"));
      row.element = h("tr", {tabindex: "-1", onclick: (event) => { if (!event.target.closest?.(".xv-stage")) this.host.select({row: row.id, tile: null}); }}, row.pictures, row.cells);
      if (bars) {
        row.bar = h("span", {class: "xv-signed"});
        row.number = h("span", {class: "xv-number"});
        row.element.append(h("td", {class: "xv-value"}, h("div", {class: "xv-value-box"}, h("span", {class: "xv-track"}, row.bar), row.number)));
      }
      this.rows.push(row);
      this.body.append(row.element);
    }
  }

  drop(row) {
    row.tiles.forEach((tile) => tile?.remove());
    row.element.remove();
  }

  fillRow(row, data, pictures, limit, bars) {
    row.id = String(data.id);
    setAttribute(row.element, "data-row", row.id);
    for (let i = 0; i < pictures; i++) this.fillPicture(row, i, data.tiles?.[i]);
    row.cells.forEach((cell, i) => this.fillCell(cell, String(data.cells?.[i] ?? ""), i ? null : data.swatch ?? null));
    if (!bars) return;
    const share = clamp((data.value ?? 0) / limit, -1, 1);
    setText(row.number, data.value_text ?? formatNumber(data.value, true));
    row.bar.style.width = `${50 * Math.abs(share)}%`;
    row.bar.style.left = share < 0 ? `${50 - 50 * Math.abs(share)}%` : "50%";
    row.bar.classList.toggle("xv-against", share < 0);
  }

  // Text, after a swatch in the colour of an id where the row has one.
  fillCell(cell, text, swatch) {
    if (swatch === null) { setText(cell, text); return; }
    const [canvas, words] = cell.firstElementChild ? cell.children : [h("canvas", {class: "xv-swatch", width: 28, height: 28, "aria-hidden": true}), h("span")];
    if (!cell.firstElementChild) cell.replaceChildren(canvas, words);
    if (canvas.dataset.id !== String(swatch)) { paintSwatch(canvas, swatch); canvas.dataset.id = swatch; }
    setText(words, text);
  }

  fillPicture(row, i, id) {
    let tile = row.tiles[i];
    if (tile && tile.id !== id) { tile.remove(); tile = row.tiles[i] = null; }
    if (!tile && id) {
      const layout = this.host.layout.table ?? {}, spec = this.host.layout.tiles?.[id];
      const about = this.host.frame.header.tiles?.[id] ?? {};
      tile = new Tile(id, {size: layout.size ?? 64, layers: layout.layers, photo: about.photo, link: about.link ?? about.photo ?? `row ${id}`, ...spec}, this.host, {small: true});
      row.tiles[i] = tile;
      row.pictures[i].replaceChildren(tile.element);
    }
    if (tile) { tile.row = row.id; tile.update(); }
  }

  fillFoot(data, pictures, bars) {
    const text = JSON.stringify([data.footer, pictures, bars, data.columns.length]);
    if (this.footText === text) return;
    this.footText = text;
    const columns = pictures + data.columns.length + (bars ? 1 : 0);
    this.foot.replaceChildren(...(data.footer ?? []).map((line) => {
      const cells = line.map((cell, i) => (i === 0 ? h("th", {scope: "row", colspan: Math.max(1, columns - line.length + 1)}, cell) : h("td", {class: "xv-value"}, cell)));
      return h("tr", {}, cells);
    }));
  }

  markSelected() {
    for (const row of this.rows) {
      const selected = row.id === this.selected;
      row.element.classList.toggle("xv-selected", selected);
      setAttribute(row.element, "aria-selected", String(selected));
    }
  }

  setSelected(id) {
    this.selected = id == null ? "" : String(id);
    this.markSelected();
    const row = this.rows.find((other) => other.id === this.selected);
    if (row && this.scroll.clientHeight) this.reveal(row.element);
  }

  // Scroll the ledger alone, so that a row stands between its head and its sum.
  reveal(element) {
    const {scroll, head, foot} = this, box = scroll.getBoundingClientRect(), row = element.getBoundingClientRect();
    const over = row.top - box.top - head.offsetHeight, under = row.bottom - box.top - scroll.clientHeight + foot.offsetHeight;
    if (over < 0) scroll.scrollTop += over;
    else if (under > 0) scroll.scrollTop += under;
  }

  // The id of the row above or below, null when there is none.
  neighbour(step) {
    if (!this.data?.rows.length) return null;
    const ids = this.data.rows.map((row) => String(row.id)), at = ids.indexOf(this.selected);
    const next = at < 0 ? (step > 0 ? 0 : ids.length - 1) : clamp(at + step, 0, ids.length - 1);
    return ids[next];
  }

  allTiles() { return this.rows.flatMap((row) => row.tiles.filter(Boolean)); }
}
