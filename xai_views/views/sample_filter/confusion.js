// The confusion matrix in a popover: a table of buttons for few classes, the most frequent confusions and a heat map for many.
const FEW_CLASSES = 12, MOST_LISTED = 20, HEAT_SIDE = 300;

class Confusion {
  // `choose(true, predicted)` filters; `model` gives classes, confusion and remark.
  constructor(model, choose) {
    Object.assign(this, {model, choose});
    this.button = h("button", {type: "button", class: "xp-button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.toggle()}, "Confusion matrix");
    this.content = h("div", {class: "xp-matrix"});
    this.box = h("div", {class: "xp-popover", popover: "auto", role: "dialog", "aria-label": "Confusion matrix"},
      h("div", {class: "xp-head"}, h("h2", {}, "Confusion matrix"), h("button", {type: "button", class: "xp-button", onclick: () => this.box.hidePopover()}, "Close")), this.content);
    this.box.addEventListener("toggle", (event) => this.toggled(event.newState === "open"));
  }

  get open() { return this.box.matches(":popover-open"); }

  toggle() { this.open ? this.box.hidePopover() : this.box.showPopover(); }

  toggled(open) {
    setAttribute(this.button, "aria-expanded", String(open));
    if (!open) return;
    this.update();
    this.place();
    (this.box.querySelector("[aria-pressed=true]") ?? this.box.querySelector(".xp-cell, .xp-pair") ?? this.box.querySelector("button")).focus();
  }

  // Beside the button where there is room, never off the screen.
  place() {
    const at = this.button.getBoundingClientRect(), {offsetWidth: wide, offsetHeight: tall} = this.box;
    this.box.style.left = `${clamp(at.left, 8, Math.max(8, innerWidth - wide - 8))}px`;
    this.box.style.top = `${clamp(at.bottom + 4, 8, Math.max(8, innerHeight - tall - 8))}px`;
  }

  update() {
    if (!this.open) return;
    const {classes, confusion, remark} = this.model;
    const many = classes.length > FEW_CLASSES;
    this.content.replaceChildren(
      h("p", {}, many ? "Number of samples by true class (row) and predicted class (column). Choose a pair to show its samples." : "Number of samples by true class (row) and predicted class (column). Choose a cell to show its samples."),
      ...(many ? [this.pairs(), this.heat()] : [this.table()]), remark ? h("p", {}, remark) : "");
  }

  pressed(t, p) { const {true_class, predicted_class} = this.model.values; return t === true_class && p === predicted_class; }

  pick(t, p) {
    this.box.hidePopover();
    this.choose(t, p);
  }

  cell(t, p, n, most) {
    const {classes} = this.model, right = t === p;
    if (!n) return h("td", {class: right ? "xp-right" : null}, "0");
    const strength = Math.round(15 + 75 * n / most);
    return h("td", {class: right ? "xp-right" : null}, h("button", {type: "button", class: "xp-cell", "data-right": String(right), "aria-pressed": String(this.pressed(t, p)), style: `--heat: ${strength}%`,
      "aria-label": `true class ${classes[t]}, predicted class ${classes[p]}: ${n}`, title: `${classes[t]} predicted as ${classes[p]}: ${n}`, onclick: () => this.pick(t, p)}, String(n)));
  }

  table() {
    const {classes, confusion} = this.model, of = new Map(confusion.map(([t, p, n]) => [t * classes.length + p, n]));
    const most = [Math.max(1, ...confusion.filter(([t, p]) => t !== p).map(([, , n]) => n)), Math.max(1, ...confusion.filter(([t, p]) => t === p).map(([, , n]) => n))];
    const head = h("tr", {}, h("th", {scope: "col"}, h("span", {class: "xp-hidden"}, "true class")), ...classes.map((c) => h("th", {scope: "col", title: c}, h("span", {}, c))));
    const rows = classes.map((c, t) => h("tr", {}, h("th", {scope: "row", title: c}, c), ...classes.map((_, p) => this.cell(t, p, of.get(t * classes.length + p) ?? 0, most[t === p ? 1 : 0]))));
    return h("table", {"data-upright": String(classes.every((c) => c.length < 5))}, h("thead", {}, head), h("tbody", {}, ...rows));
  }

  pairs() {
    const {classes, confusion} = this.model, wrong = confusion.filter(([t, p]) => t !== p).sort((a, b) => b[2] - a[2]);
    if (!wrong.length) return h("p", {}, "No sample is misclassified.");
    const item = ([t, p, n]) => h("li", {}, h("button", {type: "button", class: "xp-pair", "aria-pressed": String(this.pressed(t, p)), onclick: () => this.pick(t, p)},
      h("span", {}, `${classes[t]} → ${classes[p]}`), h("b", {}, String(n))));
    const more = wrong.length > MOST_LISTED ? h("p", {}, `The ${MOST_LISTED} most frequent of ${wrong.length} confusions.`) : null;
    return h("div", {class: "xp-pairs"}, h("h3", {}, "True class → predicted class"), h("ul", {}, ...wrong.slice(0, MOST_LISTED).map(item)), more);
  }

  // Every cell as a square; the list beside it says the same to whoever cannot see it.
  heat() {
    const {classes, confusion} = this.model, n = classes.length, side = Math.max(n, Math.floor(HEAT_SIDE / n) * n), step = side / n;
    const canvas = h("canvas", {width: 2 * side, height: 2 * side, style: `width: ${side}px; height: ${side}px`, role: "img", "aria-label": `Confusion matrix of ${n} classes, true class down, predicted class across`});
    const context = canvas.getContext("2d"), colour = (name) => getComputedStyle(this.box).getPropertyValue(name).trim();
    const most = {true: Math.max(1, ...confusion.filter(([t, p]) => t === p).map((c) => c[2])), false: Math.max(1, ...confusion.filter(([t, p]) => t !== p).map((c) => c[2]))};
    context.scale(2, 2);
    context.fillStyle = colour("--well");
    context.fillRect(0, 0, side, side);
    for (const [t, p, count] of confusion) {
      context.globalAlpha = 0.25 + 0.75 * count / most[t === p];
      context.fillStyle = colour(t === p ? "--accent" : "--mark");
      context.fillRect(p * step, t * step, step, step);
    }
    const of = new Map(confusion.map(([t, p, count]) => [t * n + p, count]));
    const at = (event) => [event.offsetY, event.offsetX].map((v) => clamp(Math.floor(v / step), 0, n - 1));
    canvas.addEventListener("pointermove", (event) => { const [t, p] = at(event); canvas.title = `${classes[t]} predicted as ${classes[p]}: ${of.get(t * n + p) ?? 0}`; });
    canvas.addEventListener("click", (event) => { const [t, p] = at(event); if (of.has(t * n + p)) this.pick(t, p); });
    return h("figure", {}, canvas, h("figcaption", {}, "Rows: true class. Columns: predicted class."));
  }
}
