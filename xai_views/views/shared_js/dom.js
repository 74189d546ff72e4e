// Small helpers: elements, numbers, geometry.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value !== true ? value : name.startsWith("aria-") ? "true" : "");
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Set text only when it differs: the DOM is left alone on most steps.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// Three significant digits with a true minus; "+" for signed quantities.
function formatNumber(value, signed = false) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (size === 0) text = "0";
  else if (size >= 1e5 || size < 1e-4) text = size.toExponential(2);
  else text = size.toFixed(clamp(2 - Math.floor(Math.log10(size)), 0, 6));
  return (value < 0 ? "−" : signed && value > 0 ? "+" : "") + text;
}

const SVG = {
  previous: "M10 3 5 8l5 5", next: "M6 3l5 5-5 5", plus: "M8 3v10M3 8h10", minus: "M3 8h10",
  reset: "M3 6V3h3M13 6V3h-3M3 10v3h3M13 10v3h-3", rectangle: "M3 4h10v8H3z",
  lasso: "M8 3C4.5 3 2.5 4.8 2.5 6.8S4.5 10.500 8 10.500s5.500-1.700 5.500-3.700S11.500 3 8 3zM5 10.200c-.6 1.500.4 2.300 1.500 2.800",
};

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SVG[name]);
  svg.append(path);
  return svg;
}

function bytesOfBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// Keep data-theme of an element in step with model.dark or, where that is null, with the page.
function watchTheme(element, model) {
  const update = () => {
    const page = [document.documentElement, document.body], {dataset} = document.body;
    const marks = page.map((node) => `${node.className} ${node.dataset.theme ?? ""} ${node.dataset.colorScheme ?? ""}`).join(" ");
    const dark = dataset.jpThemeLight === "false" || dataset.vscodeThemeKind?.includes("dark") || /(^|[\s-])dark(\s|$)/.test(marks);
    element.dataset.theme = (model.dark ?? dark) ? "dark" : "light";
  };
  const observer = new MutationObserver(update);
  for (const node of [document.documentElement, document.body]) observer.observe(node, {attributes: true});
  update();
  return {update, disconnect: () => observer.disconnect()};
}

// Show at the edges of a scrolled box that there is more, and let keys scroll it (only then does it take the focus, under
// `name`). `inset` gives the px of a head and a foot that stay in view. Returns what updates it when the content changes.
function watchEdges(box, {name = "", inset = () => [0, 0]} = {}) {
  const veil = h("div", {class: "edges", "aria-hidden": "true"}), shade = "color-mix(in srgb, currentColor 26%, transparent)";
  box.after(veil); // the parent must be a positioned element
  const fade = (side, to) => `linear-gradient(to ${to}, ${shade}, transparent) ${side} / `;
  const update = () => {
    const {scrollTop, scrollLeft, clientHeight, clientWidth, scrollHeight, scrollWidth} = box, [head, foot] = inset();
    const more = [
      ["up", scrollTop > 1, fade("top", "bottom"), "100% 14px"], ["down", scrollTop + clientHeight < scrollHeight - 1, fade("bottom", "top"), "100% 14px"],
      ["left", scrollLeft > 1, fade("left", "right"), "14px 100%"], ["right", scrollLeft + clientWidth < scrollWidth - 1, fade("right", "left"), "14px 100%"],
    ].filter(([, open]) => open);
    setAttribute(box, "data-more", more.map(([side]) => side).join(" "));
    setAttribute(veil, "style", `position: absolute; z-index: 3; pointer-events: none; left: ${box.offsetLeft + box.clientLeft}px; top: ${box.offsetTop + box.clientTop + head}px; `
      + `width: ${clientWidth}px; height: ${Math.max(0, clientHeight - head - foot)}px; background: ${more.map(([, , picture, size]) => `${picture}${size} no-repeat`).join(", ") || "none"}`);
    if (!name) return;
    const scrolls = scrollHeight > clientHeight + 1 || scrollWidth > clientWidth + 1;
    for (const [attribute, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", name]]) {
      if (scrolls) setAttribute(box, attribute, value);
      else box.removeAttribute(attribute);
    }
  };
  const watch = new ResizeObserver(update);
  watch.observe(box);
  if (box.firstElementChild) watch.observe(box.firstElementChild);
  box.addEventListener("scroll", update, {passive: true});
  return update;
}

// A menu (a details element and what it holds) that lies over everything and stays inside the window at any width.
function attachMenu(details, panel) {
  const summary = details.querySelector("summary"), popover = typeof panel.showPopover === "function";
  const place = () => {
    const box = summary.getBoundingClientRect(), wide = document.documentElement.clientWidth, tall = window.innerHeight;
    panel.style.maxHeight = `${tall - 16}px`;
    const {width, height} = panel.getBoundingClientRect();
    panel.style.left = `${clamp(box.left, 8, Math.max(8, wide - width - 8))}px`;
    panel.style.top = `${clamp(box.bottom + 4, 8, Math.max(8, tall - height - 8))}px`;
  };
  const outside = (event) => { if (!event.composedPath().includes(details)) details.open = false; };
  if (popover) panel.setAttribute("popover", "manual");
  details.addEventListener("toggle", () => {
    const act = details.open ? "addEventListener" : "removeEventListener";
    document[act]("pointerdown", outside, true);
    if (!popover) return;
    window[act]("resize", place);
    window[act]("scroll", place, true);
    if (!details.open) panel.hidePopover();
    else if (details.isConnected) { panel.showPopover(); place(); }
  });
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    event.preventDefault();
    event.stopPropagation();
    details.open = false;
    summary.focus({preventScroll: true});
  });
}

// After a control was used the arrow keys belong to `host.root` again: on each change by the pointer, and on Enter or Escape.
function giveBackFocus(control, host) {
  const back = () => host.root.focus({preventScroll: true});
  let stepping = false; // by keys, value after value: the control keeps the focus meanwhile
  control.addEventListener("pointerdown", () => { stepping = false; });
  control.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") { stepping = event.key !== " "; return; }
    stepping = false;
    event.preventDefault();
    if (event.key === "Enter") event.stopPropagation();
    back();
  });
  control.addEventListener("change", () => { if (!stepping) back(); });
}
