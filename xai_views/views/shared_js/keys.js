// Keys: the component's own while it has the focus; page-wide when it is served as a page of its own; never while
// somebody types or works a control by keys; inside a notebook only with the focus, and then the notebook does not see them.
const KEYS = [
  ["← →", "previous / next sample"], ["Shift ← →", "10 samples back / forward"], ["↑ ↓", "previous / next row"],
  ["o", "overlay on / off"], ["+ −", "zoom in / out"], ["0 Home", "whole picture"], ["1…9", "select by number"],
  ["r", "draw a rectangle: arrows move it, Shift + arrows resize it, Enter sets it, Esc drops it"],
  ["Esc", "clear the region, close a menu"], ["?", "this help"],
];
const MOUSE = "Mouse: Ctrl + wheel zooms, drag moves, double-click shows the whole picture, Shift + drag draws a rectangle, Alt + drag a lasso.";
const TYPED = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, [contenteditable=''], [contenteditable='true'], [role=textbox]";
// What has keys of its own while it is open or edited, and what takes them only where keys brought the focus there.
const OPENED = `${TYPED}, [role=listbox], [role=menu], [role=menuitem], [role=spinbutton], [role=grid], [role=tree], [role=combobox][aria-expanded=true]`;
const SLID = "select, input[type=range], input[type=radio], [role=slider], [role=tab], [role=radio], [role=combobox]";
const BUSY = `${OPENED}, ${SLID}`;

let focusByKeys = true; // how the focus came to where it is; :focus-visible does not tell where a script moved it
document.addEventListener("pointerdown", () => { focusByKeys = false; }, true);
document.addEventListener("keydown", ({key}) => { if (key === "Tab") focusByKeys = true; }, true);

const inNotebook = () => Boolean(document.body.dataset.jpThemeName || document.body.dataset.vscodeThemeKind || window.jupyterapp || window.Jupyter || window.google?.colab || document.querySelector(".jp-Notebook"));

// Whether the keys belong to what has the focus. A slider, tab or choice that was used by the pointer has had its turn.
function holdsKeys(event, root) {
  return event.composedPath().some((node) => node !== root && node instanceof Element && (node.matches(OPENED) || (node.matches(SLID) && (focusByKeys || root.contains(node)))));
}

// The dialog of the keys. `host` has `root` and `model`; `keys` are [keys, words], those of the app come after them.
class Help {
  constructor(host, keys = KEYS, mouse = MOUSE) {
    Object.assign(this, {host, keys});
    this.list = h("dl");
    this.element = h("dialog", {class: "xv-dialog", "aria-label": "Keys", onclick: (event) => { if (event.target === this.element) this.toggle(false); },
      onclose: () => host.root.focus({preventScroll: true})},
      h("div", {class: "xv-help-box"}, h("h2", {}, "Keys"), this.list, h("p", {}, mouse), h("button", {type: "button", onclick: () => this.toggle(false)}, "Close")));
  }

  get open() { return this.element.open; }

  toggle(open = !this.element.open) {
    if (open === this.element.open || (open && !this.element.isConnected)) return;
    if (!open) { this.element.close(); return; }
    const own = {...this.host.model.keys}, shown = this.keys.map(([key, words]) => [key, own[key] ?? words]);
    for (const [key] of this.keys) delete own[key];
    this.list.replaceChildren(...[...shown, ...Object.entries(own)].filter(([, words]) => words).flatMap(([key, words]) => [h("dt", {}, key.split(" ").map((part) => h("kbd", {}, part))), h("dd", {}, words)]));
    this.element.showModal();
    this.element.querySelector("button").focus();
  }
}

// Handle one key; returns whether it was ours.
function handleKey(host, event) {
  const {key} = event;
  if (host.help.open) {
    if (key !== "Escape" && key !== "?") return false;
    host.help.toggle(false);
    return true;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (host.draft && draftKey(host, event)) return true;
  const far = event.shiftKey ? 10 : 1;
  if (key === "ArrowRight" || key === "ArrowLeft") {
    if (host.scrubber.order.length < 2) return false;
    host.step(key === "ArrowRight" ? far : -far);
  } else if (key === "ArrowUp" || key === "ArrowDown") {
    const row = host.ledger.neighbour(key === "ArrowDown" ? 1 : -1);
    if (row !== null) host.select({row, tile: null});
    else if (host.model.keys?.[key] !== undefined) host.forward(key);
    else return false;
  } else if (host.model.keys?.[key] !== undefined) host.forward(key);
  else if (key === "o") host.set({overlay: !host.settings.overlay});
  else if (key === "r") return host.startDraft();
  else if (key === "?") host.help.toggle();
  else if (key === "+" || key === "=") host.zoom(1.25);
  else if (key === "-") host.zoom(0.8);
  else if (key === "0" || key === "Home") host.resetZoom();
  else if (key === "Escape") return host.toolbar.close() || host.clearRegion(true);
  else if (/^[1-9]$/.test(key)) host.forward(key);
  else return false;
  return true;
}

// Keys while a rectangle is drawn by hand; returns whether it was one of them.
function draftKey(host, {key, shiftKey}) {
  const [x, y] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[key] ?? [0, 0];
  if (x || y) host.moveDraft(x, y, shiftKey);
  else if (key === "Enter") host.endDraft(true);
  else if (key === "Escape") host.endDraft(false);
  else return false;
  return true;
}

// A box that scrolls by itself and has the focus keeps the keys that scroll it.
const scrolledBy = (event) => event.composedPath()[0]?.matches?.(".xv-scroll") && /^(Arrow(Up|Down)|Page(Up|Down)|Home|End)$/.test(event.key);

function attachKeys(host) {
  const {root} = host;
  let drawn = false;
  const handle = (event) => {
    if (event.defaultPrevented || scrolledBy(event) || (!host.help.open && holdsKeys(event, root)) || !handleKey(host, event)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const seen = () => {
    if (drawn && !root.isConnected) detach();
    drawn = root.isConnected;
    return drawn && host.model.page_keys !== false && root.getClientRects().length > 0;
  };
  const elsewhere = (event) => seen() && !event.composedPath().includes(root) && !inNotebook();
  const page = (event) => { if (elsewhere(event)) handle(event); };
  const first = (event) => { if (/^Arrow(Left|Right)$/.test(event.key) && event.composedPath()[0]?.matches?.(SLID) && elsewhere(event)) handle(event); };
  const help = () => { if (seen()) host.help.toggle(true); };
  const listeners = [["keydown", first, true], ["keydown", page, false], ["xv-help", help, false]];
  const detach = () => { for (const [type, listener, capture] of listeners) document.removeEventListener(type, listener, capture); };
  root.addEventListener("keydown", handle);
  for (const [type, listener, capture] of listeners) document.addEventListener(type, listener, capture);
  return detach;
}
