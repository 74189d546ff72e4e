// The keys of the paper. Page-wide only on a page of its own; in a notebook only with the focus (see shared_js/keys.js).
const PAPER_KEYS = [
  ["← →", "previous, next record; with calipers: move the mark by a step (Shift: ten)"], [", .", "back, on in time (< > by a page)"],
  ["+ −", "zoom in, out"], ["Home", "whole page"], ["l", "next layout"], ["v", "next speed (mm/s)"], ["g", "next gain (mm/mV)"], ["o", "explanation on or off"],
  ["t", "known truth on or off"], ["0…9", "show one cluster"], ["c", "calipers on or off"], ["x", "other mark"], ["↑ ↓", "calipers to the lead above, below"],
  ["q", "take the interval as RR, then measure QT"], ["Enter", "select the interval between the calipers"], ["Esc", "clear interval, cluster, calipers"], ["?", "these keys"],
];

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
  if (!host.help.hidden) {
    if (key !== "Escape" && key !== "?") return false;
    host.showHelp(false);
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
  else if (key === "t") host.set({truth: !settings.truth});
  else if (key === "c") host.setTool(host.tool === "calipers" ? "pan" : "calipers");
  else if (key === "?") host.showHelp(true);
  else if (key === "Escape") return host.clear();
  else if (/^[0-9]$/.test(key) && host.record?.ids.includes(Number(key))) host.chooseCluster(Number(key));
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

function helpBox(host) {
  const box = h("div", {class: "xv-help-box", onclick: (event) => event.stopPropagation()}, h("h2", {}, "Keys"), h("dl"),
    h("p", {}, "Mouse: drag moves, Shift-drag selects an interval, Ctrl-wheel zooms, Shift-wheel moves in time, double-click shows the whole page, a click on a band chooses its cluster."),
    h("button", {type: "button", onclick: () => host.showHelp(false)}, "Close"));
  return h("div", {class: "xv-help", role: "dialog", "aria-label": "Keys", "aria-modal": "true", tabindex: "-1", hidden: true, onclick: () => host.showHelp(false)}, box);
}
