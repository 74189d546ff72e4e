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
  if (!host.help.open && (event.ctrlKey || event.metaKey || event.altKey)) return false;
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
  let drawn = false;
  const own = (event) => { if (!event.defaultPrevented && !scrolledBy(event) && (host.help.open || !holdsKeys(event, root))) host.keyDown(event); };
  const seen = () => {
    if (drawn && !root.isConnected) detach();
    drawn = root.isConnected;
    return drawn && host.model.page_keys !== false && root.getClientRects().length > 0;
  };
  const elsewhere = (event) => seen() && !event.composedPath().includes(root) && !inNotebook();
  const page = (event) => { if (elsewhere(event)) own(event); };
  const first = (event) => { if (/^Arrow(Left|Right)$/.test(event.key) && event.composedPath()[0]?.matches?.(SLID) && elsewhere(event)) own(event); };
  const help = () => { if (seen()) host.help.toggle(true); };
  const listeners = [["keydown", first, true], ["keydown", page, false], ["xv-help", help, false]];
  const detach = () => { for (const [type, listener, capture] of listeners) document.removeEventListener(type, listener, capture); };
  root.addEventListener("keydown", own);
  for (const [type, listener, capture] of listeners) document.addEventListener(type, listener, capture);
  return detach;
}
