// The keys of the paper. Page-wide only on a page of its own; in a notebook only with the focus (see shared_js/keys.js).
const PAPER_KEYS = [
  ["← →", "previous / next record; with calipers: move the caliper by a step (Shift: ten)"], ["Shift ← →", "10 records back / forward"], [", .", "back / forward in time (< > by a page)"],
  ["+ −", "zoom in / out"], ["Home", "whole page"], ["l", "next layout"], ["v", "next speed (mm/s)"], ["g", "next gain (mm/mV)"], ["o", "explanation on / off"], ["b", "clusters: thin / full / off"],
  ["t", "ground truth on / off"], ["0…9", "select cluster n"], ["c", "calipers on / off"], ["x", "switch to the other caliper"], ["↑ ↓", "calipers to the previous / next lead"],
  ["q", "use the interval as RR, then measure QT"], ["Enter", "select the interval between the calipers"], ["Esc", "clear interval, cluster, calipers"], ["?", "this help"],
];
const PAPER_MOUSE = "Mouse: Ctrl + wheel zooms, drag moves, Shift + drag selects an interval, Shift + wheel moves in time, double-click shows the whole page, a click on a cluster selects it.";

const nextOf = (values, value) => values[(values.indexOf(value) + 1) % values.length];

// Keys of the calipers; returns whether it was one.
function caliperKey(host, {key, shiftKey}) {
  const {calipers} = host, far = shiftKey ? 10 : 1;
  if (!calipers.on || !host.record) return false;
  if (key === "ArrowLeft" || key === "ArrowRight") calipers.nudge(key === "ArrowRight" ? far : -far);
  else if (key === "ArrowUp" || key === "ArrowDown") calipers.nextLead(key === "ArrowDown" ? 1 : -1);
  else if (key === "x") { calipers.active = 1 - calipers.active; calipers.marks[calipers.active].focus({preventScroll: true}); }
  else if (key === "q") calipers.takeRr();
  else if (key === "Enter") host.select(calipers.lead, ...calipers.times);
  else return false;
  return true;
}

function paperKey(host, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const {key} = event, {settings} = host, far = event.shiftKey ? 10 : 1;
  if (host.help.open) {
    if (key !== "Escape" && key !== "?") return false;
    host.help.toggle(false);
    return true;
  }
  if (caliperKey(host, event)) return true;
  if (host.model.keys?.[key] !== undefined) host.model.send_msg({type: "key", key});
  else if (key === "ArrowRight" || key === "ArrowLeft") {
    if (host.scrubber.order.length < 2) return false;
    host.go(host.scrubber.position + (key === "ArrowRight" ? far : -far));
  } else if (key === "," || key === ".") host.moveTo({start: host.start + (key === "." ? 0.5 : -0.5)});
  else if (key === "<" || key === ">") host.moveTo({start: host.start + (key === ">" ? 1 : -1) * host.visible});
  else if (key === "+" || key === "=") host.zoomBy(1.25);
  else if (key === "-") host.zoomBy(0.8);
  else if (key === "Home") host.reset();
  else if (key === "l") host.set({layout: nextOf(Object.keys(LAYOUTS), settings.layout)});
  else if (key === "v") host.set({speed: nextOf(SPEEDS, settings.speed)});
  else if (key === "g") host.set({gain: nextOf(GAINS, settings.gain)});
  else if (key === "o") host.set({explain: !settings.explain});
  else if (key === "b") host.set({bands: nextOf(BANDS, bandsOf(settings))});
  else if (key === "t") host.set({truth: !settings.truth});
  else if (key === "c") host.setTool(host.tool === "calipers" ? "pan" : "calipers");
  else if (key === "?") host.help.toggle(true);
  else if (key === "Escape") return host.clear();
  else if (/^[0-9]$/.test(key) && explains(settings, host.record) && host.record.ids.includes(Number(key))) host.chooseCluster(Number(key));
  else return false;
  return true;
}

function attachPaperKeys(host) {
  const {root} = host;
  const busy = (event) => event.composedPath().some((node) => node !== root && node instanceof Element && node.matches(BUSY));
  const own = (event) => { if (!event.defaultPrevented && !busy(event)) host.keyDown(event); };
  root.addEventListener("keydown", own);
  const page = (event) => {
    if (!root.isConnected) { document.removeEventListener("keydown", page); return; }
    if (host.model.page_keys === false || event.composedPath().includes(root) || inNotebook() || !root.getClientRects().length) return;
    own(event);
  };
  document.addEventListener("keydown", page);
  return () => document.removeEventListener("keydown", page);
}

// The dialog of the keys, over everything; the browser keeps the focus in it.
class PaperHelp {
  constructor(host) {
    this.host = host;
    this.list = h("dl");
    this.element = h("dialog", {class: "xe-help", "aria-label": "Keys", onclick: (event) => { if (event.target === this.element) this.toggle(false); }, onclose: () => host.root.focus({preventScroll: true})},
      h("div", {}, h("h2", {}, "Keys"), this.list, h("p", {}, PAPER_MOUSE), h("button", {type: "button", onclick: () => this.toggle(false)}, "Close")));
  }

  get open() { return this.element.open; }

  toggle(open = !this.open) {
    if (open === this.open || (open && !this.element.isConnected)) return;
    if (!open) { this.element.close(); return; }
    const own = Object.entries(this.host.model.keys ?? {}).filter(([, words]) => words);
    this.list.replaceChildren(...[...PAPER_KEYS, ...own].flatMap(([key, words]) => [h("dt", {}, key.split(" ").map((part) => h("kbd", {}, part))), h("dd", {}, words)]));
    this.element.showModal();
    this.element.querySelector("button").focus();
  }
}
