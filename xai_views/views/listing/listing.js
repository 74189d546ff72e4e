// The listing: a real table, sorted in the browser, one row chosen by click or key.
class TableView {
  constructor(model) {
    Object.assign(this, {model, sort: null, descending: false, shown: model.page, selected: model.jump?.selected ?? ""});
    this.caption = h("caption");
    this.head = h("thead");
    this.body = h("tbody");
    this.more = h("button", {type: "button", class: "xl-more", onclick: () => { this.shown += model.page; this.update(); }});
    this.table = h("table", {}, this.caption, this.head, this.body);
    this.scroll = h("div", {class: "xl-scroll", tabindex: "0", role: "region", "aria-label": model.label}, this.table);
    this.root = h("div", {class: "xl"}, h("style", {}, CSS), h("div", {class: "xl-frame"}, this.scroll), this.more);
    this.edges = watchEdges(this.scroll, {inset: () => [this.head.offsetHeight, 0]});
    this.themes = watchTheme(this.root, model);
    this.body.addEventListener("click", (event) => { const row = event.target.closest("tr"); if (row) this.choose(row.dataset.id); });
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    model.on(["columns", "rows", "label", "height_limit"], () => this.update());
    model.on("jump", () => { this.selected = model.jump.selected; this.mark(true); });
    model.on("dark", () => this.themes.update());
    model.on("remove", () => this.themes.disconnect());
    this.update();
  }

  update() {
    const {columns, label, height_limit} = this.model;
    setText(this.caption, label);
    setAttribute(this.scroll, "aria-label", label);
    this.scroll.style.maxHeight = `${height_limit}px`;
    this.head.replaceChildren(h("tr", {}, columns.map((column) => this.header(column))));
    const rows = this.sorted();
    this.ids = rows.slice(0, this.shown).map((row) => String(row.id));
    this.body.replaceChildren(...rows.slice(0, this.shown).map((row) => h("tr", {"data-id": String(row.id)}, columns.map((column) => this.cell(column, row[column.key])))));
    this.more.hidden = rows.length <= this.shown;
    setText(this.more, `Show more (${rows.length - this.shown} of ${rows.length} hidden)`);
    this.mark(false);
  }

  header(column) {
    const active = this.sort === column.key, plain = column.kind === "image" || !column.title;
    const order = active ? (this.descending ? "descending" : "ascending") : "none";
    const sign = active ? (this.descending ? " ▾" : " ▴") : "";
    const inside = plain ? column.title : h("button", {type: "button", onclick: () => this.sortBy(column)}, column.title + sign);
    return h("th", {scope: "col", "aria-sort": plain ? null : order, class: `xl-${column.kind ?? "text"}`}, inside);
  }

  sortBy(column) {
    if (this.sort === column.key) this.descending = !this.descending;
    else Object.assign(this, {sort: column.key, descending: ["number", "signed", "bar"].includes(column.kind)});
    this.update();
  }

  sorted() {
    const rows = [...this.model.rows], {sort} = this;
    if (!sort) return rows;
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? ""), undefined, {numeric: true}));
    return rows.sort((a, b) => (this.descending ? -1 : 1) * compare(a[sort], b[sort]));
  }

  cell(column, value) {
    const kind = column.kind ?? "text";
    if (kind === "image") return h("td", {class: "xl-image"}, value ? h("img", {src: value, alt: "", loading: "lazy"}) : null);
    if (kind === "text") return h("td", {}, String(value ?? ""));
    const digits = column.digits ?? 3, number = Number(value);
    const text = value == null || !Number.isFinite(number) ? "–" : `${number < 0 ? "−" : kind !== "number" && number > 0 ? "+" : ""}${Math.abs(number).toFixed(digits)}`;
    if (kind !== "bar") return h("td", {class: "xl-number"}, text);
    const limit = column.limit ?? Math.max(1e-30, ...this.model.rows.map((row) => Math.abs(Number(row[column.key]) || 0)));
    const share = clamp((number || 0) / limit, -1, 1), bar = h("span", {class: share < 0 ? "xl-against" : "xl-for"});
    bar.style.width = `${50 * Math.abs(share)}%`;
    bar.style.left = share < 0 ? `${50 + 50 * share}%` : "50%";
    return h("td", {class: "xl-bar"}, h("span", {class: "xl-track"}, bar), h("span", {class: "xl-figure"}, text));
  }

  choose(id) {
    if (!id) return;
    this.selected = id;
    this.mark(true);
    this.model.send_msg({type: "select", id});
  }

  mark(reveal) {
    for (const row of this.body.rows) {
      const selected = row.dataset.id === this.selected;
      row.classList.toggle("xl-selected", selected);
      setAttribute(row, "aria-selected", String(selected));
      if (selected && reveal) {
        const top = row.offsetTop - this.head.offsetHeight, bottom = row.offsetTop + row.offsetHeight;
        if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
        else if (bottom > this.scroll.scrollTop + this.scroll.clientHeight) this.scroll.scrollTop = bottom - this.scroll.clientHeight;
      }
    }
  }

  key(event) {
    const step = {ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity}[event.key];
    if (step === undefined || event.target.closest("button") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.ids.indexOf(this.selected);
    this.choose(this.ids[clamp(at < 0 ? 0 : at + step, 0, this.ids.length - 1)]);
  }
}

export function render({model}) {
  return new TableView(model).root;
}
