// The form over a list of samples. Native controls: they are small, known to every keyboard and screen reader, and quick.
const SEARCH_MS = 150, ANSWER_MS = 2000, SEARCHABLE = 12, ANY_CLASS = "any";

class SampleFilter {
  constructor(model) {
    this.model = model;
    this.pending = new Map();
    this.id = Math.random().toString(36).slice(2);
    const noun = model.noun.toLowerCase();
    this.search = h("input", {type: "search", class: "xp-search", "aria-label": "Search", placeholder: `Search ${noun}s by name`, title: "Type a part of a name; Enter shows the first match", spellcheck: "false", autocomplete: "off"});
    this.more = h("button", {type: "button", class: "xp-button xp-more", "aria-expanded": "false", onclick: () => this.unfold()}, "Filters");
    this.errors = h("input", {type: "checkbox"});
    this.descending = h("input", {type: "checkbox"});
    this.sort = h("select", {});
    this.classes = {true_class: this.choice("true_class"), predicted_class: this.choice("predicted_class")};
    this.matrix = new Confusion(model, (t, p) => this.set({true_class: t, predicted_class: p, outcome: "all"}, true));
    this.reset = h("button", {type: "button", class: "xp-button xp-reset", onclick: () => { this.pending.clear(); model.send_msg({type: "reset"}); this.release(); }}, "Reset filters");
    this.words = h("span");
    this.bar = h("progress", {max: "1", "aria-label": "Progress"});
    for (const [control, label] of [[this.classes.true_class, "True class"], [this.classes.predicted_class, "Predicted class"], [this.sort, "Sort by"]]) control.setAttribute("aria-label", label);
    const field = (label, control) => h("label", {class: "xp-field"}, h("span", {}, label), control);
    const tick = (box, label) => h("label", {class: "xp-tick"}, box, label);
    this.errorsLabel = tick(this.errors, "Errors only");
    this.fields = h("div", {class: "xp-fields"},
      h("div", {class: "xp-row"}, this.errorsLabel, this.matrix.button),
      h("div", {class: "xp-row"}, field("True class", this.classes.true_class), field("Predicted class", this.classes.predicted_class)),
      h("div", {class: "xp-row"}, field("Sort by", this.sort), tick(this.descending, "Descending")));
    this.root = h("section", {class: "xp", "aria-label": "Population"}, h("style", {}, FILTER_CSS),
      h("div", {class: "xp-row"}, this.search, this.more), this.fields, h("div", {class: "xp-words", role: "status"}, this.words, this.bar), this.reset, this.matrix.box);
    this.themes = watchTheme(this.root, model);
    this.listen();
    this.fill();
    this.update();
  }

  // A choice of a class: a select for few, a field with suggestions for many.
  choice(name) {
    if (this.model.classes.length <= SEARCHABLE) return h("select", {});
    const list = h("datalist", {id: `xp-${name}-${this.id}`}), input = h("input", {type: "text", placeholder: ANY_CLASS, autocomplete: "off", spellcheck: "false"});
    input.list_ = list;
    return input;
  }

  listen() {
    const {model} = this;
    for (const name of ["values", "confusion", "words", "busy", "hidden", "unlabelled"]) model.on(name, () => this.update());
    model.on(["sorts", "classes"], () => { this.fill(); this.update(); });
    model.on("dark", () => this.themes.update());
    model.on("remove", () => { clearTimeout(this.typing); this.themes.disconnect(); });
    this.root.addEventListener("pointerdown", () => { this.byHand = true; });
    this.root.addEventListener("keydown", (event) => { this.byHand = false; if (event.key === "Escape") this.release(); });
    this.search.addEventListener("input", () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.type(), SEARCH_MS); });
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(this.typing);
      this.type();
      model.send_msg({type: "jump"});
      this.release();
    });
    this.errors.addEventListener("change", () => this.set({outcome: this.errors.checked ? "errors" : "all"}));
    this.descending.addEventListener("change", () => this.set({descending: this.descending.checked}));
    this.sort.addEventListener("change", () => this.set({sort: this.sort.value}));
    for (const name of Object.keys(this.classes)) this.listenClass(name, this.classes[name]);
  }

  listenClass(name, control) {
    if (control.tagName === "SELECT") {
      control.addEventListener("change", () => this.set({[name]: Number(control.value)}));
      return;
    }
    const {model} = this;
    const take = () => {
      const text = control.value.trim().toLowerCase(), names = model.classes.map((c) => c.toLowerCase());
      const at = names.indexOf(text), only = names.filter((c) => c.includes(text));
      const found = !text || text === ANY_CLASS ? -1 : at >= 0 ? at : only.length === 1 ? names.indexOf(only[0]) : null;
      if (found === null) this.update();
      else if (found !== model.values[name]) this.set({[name]: found});
    };
    // All suggestions are offered: an input that holds a name would offer that name alone.
    control.addEventListener("focus", () => { control.dataset.was = control.value; control.placeholder = control.value || ANY_CLASS; control.value = ""; });
    control.addEventListener("input", () => { if (control.value === ANY_CLASS || model.classes.includes(control.value)) take(); });
    control.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { take(); this.release(); }
      if (event.key === "Escape") control.blur();
    });
    control.addEventListener("blur", () => { if (control.value) take(); control.placeholder = ANY_CLASS; this.update(); });
  }

  type() { if (this.search.value !== this.model.values.search) this.set({search: this.search.value}, false, true); }

  // Tell what was changed. What was chosen with the pointer gives the keys back to the pictures; who works with the keyboard stays.
  set(values, release = this.byHand, typing = false) {
    for (const [name, value] of Object.entries(values)) this.pending.set(name, {value, until: performance.now() + ANSWER_MS});
    setTimeout(() => this.update(), ANSWER_MS + 50); // what was refused goes back
    this.model.send_msg({type: "set", values});
    if (release && !typing) this.release();
  }

  release() {
    this.root.getRootNode().activeElement?.blur();
    command(this.model.channel, {focus: true});
  }

  // What is chosen: an answer to an earlier choice does not take back a later one that is still on its way.
  get values() {
    const values = {...this.model.values};
    for (const [name, {value, until}] of this.pending)
      if (values[name] === value || performance.now() > until) this.pending.delete(name);
      else values[name] = value;
    return values;
  }

  unfold(open = this.root.dataset.open !== "true") {
    this.root.dataset.open = String(open);
    setAttribute(this.more, "aria-expanded", String(open));
  }

  // Options of the choices.
  fill() {
    const {classes, sorts} = this.model;
    this.sort.replaceChildren(...sorts.map(({key, label, reason}) => h("option", {value: key, disabled: Boolean(reason), title: reason || null}, reason ? `${label} (${reason})` : label)));
    for (const control of Object.values(this.classes)) {
      if (control.tagName === "SELECT") control.replaceChildren(h("option", {value: "-1"}, ANY_CLASS), ...classes.map((c, i) => h("option", {value: String(i)}, c)));
      else {
        control.list_.replaceChildren(...[ANY_CLASS, ...classes].map((c) => h("option", {value: c})));
        if (!control.list_.isConnected) { control.after(control.list_); control.setAttribute("list", control.list_.id); }
      }
    }
  }

  update() {
    const {classes, hidden, words, busy, unlabelled, confusion} = this.model, {values} = this, root = this.root.getRootNode();
    const typing = root.activeElement;
    if (typing !== this.search) this.search.value = values.search ?? "";
    this.errors.checked = values.outcome === "errors";
    this.errors.disabled = Boolean(unlabelled);
    this.descending.checked = Boolean(values.descending);
    this.sort.value = values.sort;
    for (const [name, control] of Object.entries(this.classes)) {
      const known = name === "predicted_class" || !unlabelled;
      control.disabled = !known;
      setAttribute(control, "title", known ? (control.tagName === "SELECT" ? "" : "Type a part of a name and press Enter") : unlabelled);
      if (control.tagName === "SELECT") control.value = String(values[name] ?? -1);
      else if (typing !== control) control.value = classes[values[name]] ?? "";
    }
    setAttribute(this.errorsLabel, "title", unlabelled);
    this.fields.hidden = hidden;
    this.more.hidden = hidden;
    this.matrix.button.disabled = !confusion.length;
    setAttribute(this.matrix.button, "title", confusion.length ? "" : unlabelled || "Available once the model has been run on all samples");
    if (hidden && this.matrix.open) this.matrix.box.hidePopover();
    this.matrix.update();
    const chosen = values.search || (!hidden && (values.outcome !== "all" || values.true_class >= 0 || values.predicted_class >= 0));
    this.reset.hidden = !chosen;
    setText(this.words, words);
    this.bar.hidden = busy < 0;
    if (busy >= 0) this.bar.value = busy;
  }
}

export function render({model}) {
  return new SampleFilter(model).root;
}
