// Keys: the component's own while it has the focus; page-wide when it is served as a page of its own; never while
// somebody types or works a control; inside a notebook only with the focus, and then the notebook does not see them.
const KEYS = [
  ["← →", "previous, next sample"], ["Shift ← →", "ten samples back, on"], ["↑ ↓", "row above, below"],
  ["o", "overlay on or off"], ["+ −", "zoom in, out"], ["0 Home", "whole picture"], ["1…9", "choose by number"],
  ["Esc", "clear the region, close this"], ["?", "these keys"],
];
const BUSY = "input:not([type=checkbox]), textarea, select, summary, [contenteditable=''], [contenteditable='true'], [role=slider], [role=listbox], [role=combobox], [role=menu], [role=menuitem], [role=tab], [role=radio], [role=spinbutton], [role=grid], [role=tree], [role=textbox]";

const inNotebook = () => Boolean(document.body.dataset.jpThemeName || document.body.dataset.vscodeThemeKind || window.jupyterapp || window.Jupyter || window.google?.colab || document.querySelector(".jp-Notebook"));

class Help {
  constructor(host) {
    this.host = host;
    this.list = h("dl");
    this.element = h("div", {class: "xv-help", role: "dialog", "aria-label": "Keys", "aria-modal": "true", tabindex: "-1", hidden: true, onclick: () => this.toggle(false)},
      h("div", {class: "xv-help-box", onclick: (event) => event.stopPropagation()}, h("h2", {}, "Keys"), this.list,
        h("p", {}, "Mouse: wheel zooms, drag moves, double-click shows the whole picture, shift-drag draws a rectangle, alt-drag a lasso."),
        h("button", {type: "button", onclick: () => this.toggle(false)}, "Close")));
  }

  toggle(open = this.element.hidden) {
    const own = Object.entries(this.host.model.keys ?? {}).filter(([, words]) => words);
    this.list.replaceChildren(...[...KEYS, ...own].flatMap(([key, words]) => [h("dt", {}, key.split(" ").map((part) => h("kbd", {}, part))), h("dd", {}, words)]));
    if (open === !this.element.hidden) return;
    this.element.hidden = !open;
    if (open) this.element.querySelector("button").focus();
    else this.host.root.focus({preventScroll: true});
  }
}

// Handle one key; returns whether it was ours.
function handleKey(host, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const {key} = event, far = event.shiftKey ? 10 : 1;
  if (!host.help.element.hidden) {
    if (key !== "Escape" && key !== "?") return false;
    host.help.toggle(false);
  } else if (key === "ArrowRight" || key === "ArrowLeft") {
    if (host.scrubber.order.length < 2) return false;
    host.step(key === "ArrowRight" ? far : -far);
  } else if (key === "ArrowUp" || key === "ArrowDown") {
    const row = host.ledger.neighbour(key === "ArrowDown" ? 1 : -1);
    if (row !== null) host.select({row, tile: null});
    else if (host.model.keys?.[key] !== undefined) host.forward(key);
    else return false;
  } else if (host.model.keys?.[key] !== undefined) host.forward(key);
  else if (key === "o") host.set({overlay: !host.settings.overlay});
  else if (key === "?") host.help.toggle();
  else if (key === "+" || key === "=") host.zoom(1.25);
  else if (key === "-") host.zoom(0.8);
  else if (key === "0" || key === "Home") host.resetZoom();
  else if (key === "Escape") return host.clearRegion(true);
  else if (/^[1-9]$/.test(key)) host.forward(key);
  else return false;
  return true;
}

function attachKeys(host) {
  const {root} = host;
  const busy = (event) => event.composedPath().some((node) => node !== root && node instanceof Element && node.matches(BUSY));
  const handle = (event) => {
    if (event.defaultPrevented || busy(event) || !handleKey(host, event)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  root.addEventListener("keydown", handle);
  const page = (event) => {
    if (!root.isConnected) { document.removeEventListener("keydown", page); return; }
    if (host.model.page_keys === false || event.composedPath().includes(root) || inNotebook() || !root.getClientRects().length) return;
    handle(event);
  };
  document.addEventListener("keydown", page);
  return () => document.removeEventListener("keydown", page);
}
