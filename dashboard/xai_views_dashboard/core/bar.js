// The header: links and two comboboxes that filter as one types. It only ever leads to another address.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

function drawn(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

let count = 0;

// The sample in view, and a theme that the address asks for, go along; where the samples change, the sample stays behind.
function along(href) {
  const target = new URL(href, location.href), here = new URLSearchParams(location.search);
  const same = (name) => (target.searchParams.get(name) ?? "") === (here.get(name) ?? "");
  if (here.has("sample") && same("samples") && (same("model") || here.has("samples"))) target.searchParams.set("sample", here.get("sample"));
  if (here.has("theme")) target.searchParams.set("theme", here.get("theme"));
  return target.href;
}

function helpButton() {
  const press = () => document.dispatchEvent(new CustomEvent("xv-help"));
  return h("div", {}, h("style", {}, CSS), h("button", {type: "button", class: "help", "aria-label": "Help", title: "Help: keys and gestures (?)", onclick: press}, "?"));
}

function guide(text) {
  const root = h("aside", {class: "xg", "aria-label": "Guide"}, h("style", {}, CSS), h("p", {}, text));
  root.append(h("button", {type: "button", "aria-label": "Close the guide", title: "Close", onclick: () => { root.hidden = true; }}, "×"));
  return root;
}

class Choice {
  constructor({label, value, options}) {
    const id = `xh-${++count}`;
    Object.assign(this, {options, value, at: -1, shown: []});
    this.present = options.find((option) => option.name === value);
    this.input = h("input", {
      id, type: "text", role: "combobox", "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list",
      autocomplete: "off", spellcheck: "false", title: this.present?.title ?? value,
    });
    this.input.value = this.present?.title ?? value;
    this.list = h("ul", {id: `${id}-list`, class: "list", role: "listbox", "aria-label": label, hidden: true});
    this.root = h("div", {class: "choice"}, h("label", {for: id}, label), this.input, drawn("M4 6l4 4 4-4"), this.list);
    this.input.setAttribute("aria-label", label);
    this.input.addEventListener("click", () => this.open());
    this.input.addEventListener("input", () => this.open(this.input.value));
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());  // the input keeps the focus
    this.list.addEventListener("click", (event) => { const row = event.target.closest("li[data-at]"); if (row) this.go(Number(row.dataset.at)); });
  }

  open(text = "") {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.options.filter(({title, name}) => words.every((word) => `${title} ${name}`.toLowerCase().includes(word)));
    this.shown = [...found.filter(({reason}) => !reason), ...found.filter(({reason}) => reason)];
    if (!text) this.input.select();
    this.list.replaceChildren(...this.shown.map((option, i) => this.row(option, i)));
    if (!this.shown.length) this.list.append(h("li", {class: "none"}, `Nothing contains “${text}”.`));
    this.list.hidden = false;
    this.place();
    this.input.setAttribute("aria-expanded", "true");
    const start = text ? 0 : this.shown.findIndex((option) => option.name === this.value);
    this.mark(Math.max(start, 0));
  }

  row({title, name, reason}, i) {
    const more = reason || (name === title ? "" : name);
    return h("li", {id: `${this.list.id}-${i}`, role: "option", "data-at": String(i), "aria-selected": String(name === this.value), "aria-disabled": reason ? "true" : false},
      h("span", {class: "what"}, title), more && h("small", {}, more));
  }

  place() {
    const box = this.root.getBoundingClientRect(), width = Math.min(Math.max(box.width, 320), innerWidth - 16);
    Object.assign(this.list.style, {
      top: `${box.bottom + 4}px`, left: `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`, width: `${width}px`,
      maxHeight: `${Math.max(innerHeight - box.bottom - 16, 120)}px`,
    });
  }

  mark(at) {
    this.at = Math.max(0, Math.min(at, this.shown.length - 1));
    [...this.list.children].forEach((row, i) => row.classList.toggle("on", i === this.at));
    const row = this.list.children[this.at];
    if (!row) return;
    this.input.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({block: "nearest"});
  }

  key(event) {
    const steps = {ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8};
    event.stopPropagation();  // keys of the page mean something else
    if (event.key in steps) {
      event.preventDefault();
      if (this.list.hidden) this.open();
      else this.mark(this.at + steps[event.key]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.list.hidden) this.open();
      else this.go(this.at);
    } else if (event.key === "Escape") {
      this.close();
      this.input.blur();
    }
  }

  go(at) {
    const option = this.shown[at];
    if (!option || option.reason) return;
    this.close();
    if (option.name !== this.value) location.assign(along(option.href));
  }

  close() {
    this.list.hidden = true;
    this.input.value = this.present?.title ?? this.value;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}

class Bar {
  constructor(model) {
    const {heading, home, apps, choices} = model;
    this.tip = h("div", {class: "tip", hidden: true});
    this.nav = h("nav", {"aria-label": "Apps"}, h("ul", {}, apps.map((app) => h("li", {}, this.app(app)))));
    const chosen = h("div", {class: "choices"}, choices.map((choice) => new Choice(choice).root));
    this.fold = h("div", {class: "fold"}, this.nav, choices.length > 0 && chosen);
    this.root = h("div", {class: "bar"}, h("style", {}, CSS), h("a", {class: "home", href: home, title: "Start page"}, "XAI Views"),
      heading && h("h1", {}, heading), ...(apps.length ? [this.menu(apps), this.fold] : []), this.tip);
  }

  app({title, href, current, reason}) {
    if (!reason) {
      const link = h("a", {href, "aria-current": current ? "page" : false}, title);
      link.addEventListener("click", () => { link.href = along(href); });
      return link;
    }
    // Reached by the keyboard too, so that the reason can be read; without an address it leads nowhere.
    const id = `xh-${++count}`, link = h("a", {tabindex: "0", role: "link", "aria-disabled": "true", "aria-describedby": id}, title);
    const show = () => this.show(link, reason), hide = () => { this.tip.hidden = true; };
    for (const name of ["pointerenter", "focus"]) link.addEventListener(name, show);
    for (const name of ["pointerleave", "blur"]) link.addEventListener(name, hide);
    link.addEventListener("click", show);
    return [link, h("span", {id, class: "unseen"}, reason)];
  }

  show(link, reason) {
    const box = link.getBoundingClientRect();
    this.tip.textContent = reason;
    this.tip.hidden = false;
    const left = Math.min(box.left, innerWidth - this.tip.offsetWidth - 8);
    Object.assign(this.tip.style, {top: `${box.bottom + 6}px`, left: `${Math.max(8, left)}px`});
  }

  menu(apps) {
    const name = apps.find((app) => app.current)?.title ?? "Apps";
    const button = h("button", {type: "button", class: "menu", "aria-expanded": "false", "aria-label": `${name}: apps, model and samples`}, drawn("M2 4h12M2 8h12M2 12h12"), h("span", {}, name));
    const set = (open) => {
      this.fold.toggleAttribute("data-open", open);
      button.setAttribute("aria-expanded", String(open));
    };
    button.addEventListener("click", () => set(!this.fold.hasAttribute("data-open")));
    this.fold.addEventListener("keydown", (event) => { if (event.key === "Escape") { set(false); button.focus(); } });
    return button;
  }
}
