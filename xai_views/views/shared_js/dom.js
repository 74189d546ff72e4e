// Small helpers: elements, numbers, geometry.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
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
