// "Copy link" and "Save": a menu for the keyboard, downloads, and a file that is chosen.
// Colours are those of the canvas; the class is another, so that nobody takes the menu for a canvas.
const SHARED_CSS = CSS.replace(/\.xv(?=[\s[:{])/g, ".xs");

class SaveMenu {
  constructor(model) {
    this.model = model;
    this.copy = h("button", {type: "button", class: "xs-button", onclick: () => this.copyLink()}, "Copy link");
    this.button = h("button", {type: "button", class: "xs-button", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => this.toggle(!this.open)}, "Save");
    this.menu = h("div", {class: "xs-menu", role: "menu", "aria-label": "Save", hidden: true});
    this.chooser = h("input", {type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Case file", onchange: () => this.read()});
    this.toast = h("div", {class: "xs-toast", hidden: true});
    this.status = h("div", {class: "xs-status", role: "status"}, this.toast);
    this.root = h("div", {class: "xs"}, h("style", {}, SHARED_CSS), h("style", {}, MENU_CSS), this.copy, this.button, this.menu, this.chooser, this.status);
    this.themes = watchTheme(this.root, model);
    this.outside = (event) => { if (this.open && !event.composedPath().includes(this.root)) this.toggle(false); };
    document.addEventListener("pointerdown", this.outside, true);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focusout", (event) => { if (this.open && event.relatedTarget && !this.root.contains(event.relatedTarget)) this.toggle(false); });
    this.place = () => this.open && this.fit();
    window.addEventListener("resize", this.place);
    model.on("entries", () => this.fill());
    model.on("file", () => this.download());
    model.on("said", () => this.say(model.said));
    model.on("revealed", () => reveal(model.revealed.css));
    model.on("dark", () => this.themes.update());
    model.on("remove", () => { document.removeEventListener("pointerdown", this.outside, true); window.removeEventListener("resize", this.place); this.themes.disconnect(); clearTimeout(this.timer); });
    this.fill();
  }

  get open() { return !this.menu.hidden; }
  get items() { return [...this.menu.children]; }

  fill() {
    const at = this.items.indexOf(this.root.getRootNode().activeElement);
    this.menu.replaceChildren(...this.model.entries.map(({id, label, disabled = ""}) =>
      h("button", {type: "button", class: "xs-item", role: "menuitem", tabindex: "-1", "data-id": id, "aria-disabled": disabled ? "true" : null, onclick: () => this.choose(id, disabled)},
        h("span", {}, label), disabled && h("small", {}, disabled))));
    if (at >= 0) this.items[at]?.focus();
  }

  toggle(open, focus = 0) {
    this.menu.hidden = !open;
    setAttribute(this.button, "aria-expanded", String(open));
    if (!open) return;
    this.toast.hidden = true;
    this.fit();
    this.items.at(focus)?.focus();
  }

  // Under the button, and never off the screen.
  fit() {
    const at = this.button.getBoundingClientRect(), {style} = this.menu, width = Math.min(300, innerWidth - 16);
    style.width = `${width}px`;
    style.left = `${clamp(at.right - width, 8, Math.max(8, innerWidth - width - 8))}px`;
    style.top = `${at.bottom + 4}px`;
    style.maxHeight = `${Math.max(120, innerHeight - at.bottom - 16)}px`;
  }

  key(event) {
    const {key} = event, {items} = this, at = items.indexOf(this.root.getRootNode().activeElement);
    const steps = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1};
    if (!this.open) {
      if (event.composedPath()[0] !== this.button || !["ArrowDown", "ArrowUp"].includes(key)) return;
      this.toggle(true, key === "ArrowUp" ? -1 : 0);
    } else if (key === "Escape") {
      this.toggle(false);
      this.button.focus();
    } else if (key in steps) items.at(((steps[key] % items.length) + items.length) % items.length)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(id, disabled) {
    if (disabled) return;
    this.toggle(false);
    this.button.focus();
    if (id === "open") this.chooser.click();
    else this.model.send_msg({type: "choose", id});
  }

  async read() {
    const [file] = this.chooser.files;
    if (!file) return;
    if (file.size > this.model.most) this.say({text: `The file has ${(file.size / 1e6).toFixed(1)} MB and a case file at most ${this.model.most / 1e6} MB; choose a file that "Save case" wrote.`, lasting: true});
    else this.model.send_msg({type: "open", text: await file.text()});
    this.chooser.value = "";  // the same file can be chosen again
  }

  async download() {
    const {name, kind, data, drawn} = this.model.file;
    if (!data) return;
    const blob = drawn ? await drawnSvg(data) : new Blob([bytesOfBase64(data)], {type: kind});
    const address = URL.createObjectURL(blob);
    h("a", {href: address, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  async copyLink() {
    const link = new URL(location.href);
    link.searchParams.delete("theme");
    for (const [name, value] of Object.entries(this.model.fixed)) if (!link.searchParams.has(name)) link.searchParams.set(name, value);
    const done = await copied(link.href, this.root);
    this.say({text: done ? ["Link copied.", this.model.remark].filter(Boolean).join(" ") : `Copy this link: ${link.href}`, lasting: !done || Boolean(this.model.remark)});
  }

  say({text = "", href = "", link = "", lasting = false}) {
    clearTimeout(this.timer);
    this.toast.hidden = !text;
    if (!text) return;
    const close = h("button", {type: "button", class: "xs-close", "aria-label": "Close this message", onclick: () => { this.toast.hidden = true; }}, "×");
    this.toast.replaceChildren(h("span", {}, text, href && " ", href && h("a", {href}, link || href)), close);
    const at = this.root.getBoundingClientRect(), width = Math.min(360, innerWidth - 16);
    Object.assign(this.toast.style, {top: `${at.bottom + 4}px`, left: `${clamp(at.right - width, 8, Math.max(8, innerWidth - width - 8))}px`, width: `${width}px`});
    if (!lasting) this.timer = setTimeout(() => { this.toast.hidden = true; }, 4000);
  }
}

// Elements of the page lie in shadow roots of others.
function within(root, css) {
  const found = root.querySelector(`.${css}`);
  if (found) return found;
  for (const element of root.querySelectorAll("*")) {
    const inner = element.shadowRoot && within(element.shadowRoot, css);
    if (inner) return inner;
  }
  return null;
}

// Scroll to an element, and again while what it holds arrives, until a hand takes over.
function reveal(css) {
  const element = within(document, css);
  if (!element) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches, hands = ["wheel", "pointerdown", "touchstart"];
  const watcher = new ResizeObserver(() => element.scrollIntoView({behavior: still ? "auto" : "smooth", block: "start"}));
  const stop = () => { watcher.disconnect(); for (const name of hands) removeEventListener(name, stop, true); };
  for (const name of hands) addEventListener(name, stop, true);
  watcher.observe(element);
  setTimeout(stop, 10000);
}

// SVG (base64) as a PNG of twice its size on the screen.
async function drawnSvg(data) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;base64,${data}`;
  await picture.decode();
  const canvas = h("canvas", {width: 2 * picture.naturalWidth, height: 2 * picture.naturalHeight}), draw = canvas.getContext("2d");
  draw.fillStyle = "#fff";
  draw.fillRect(0, 0, canvas.width, canvas.height);
  draw.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// The clipboard is there on https and localhost alone; elsewhere the old way.
async function copied(text, place) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", {class: "xs-area", "aria-hidden": "true", tabindex: "-1"}, text);
    place.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function render({model}) {
  return new SaveMenu(model).root;
}
