// The toolbar: everything that is composed in the browser, as labelled native controls in one row; what does not fit is in "Display".
class Toolbar {
  constructor(host) {
    this.host = host;
    this.inputs = {};
    const button = (name, label, action, extra = {}) =>
      h("button", {type: "button", class: "xv-icon", "aria-label": label, title: label, onclick: action, ...extra}, icon(name));
    this.place = h("output", {class: "xv-place"});
    this.previous = button("previous", "Previous sample (left arrow)", () => host.step(-1, true));
    this.next = button("next", "Next sample (right arrow)", () => host.step(1, true));
    this.slider = this.control(h("input", {type: "range", class: "xv-scrubber", "aria-label": "Sample", min: 0, step: 1, value: 0, oninput: () => host.go(+this.slider.value)}));
    this.tools = ["rectangle", "lasso"].map((tool) =>
      button(tool, tool === "lasso" ? "Draw a lasso (or Alt + drag)" : "Draw a rectangle (or Shift + drag, or key r)",
        () => { host.setTool(host.tool === tool ? "pan" : tool); }, {"aria-pressed": "false", "data-tool": tool}));
    this.stepper = h("div", {class: "xv-cluster"}, this.previous, this.place, this.next);
    this.often = [
      this.check("overlay", "Overlay"),
      this.range("opacity", "Opacity", 0, 1, 0.01),
      this.choice("sign", "Sign", [["both", "both"], ["for", "positive"], ["against", "negative"]]),
      this.range("threshold", "Hide values below", 0, 1, 0.01)];
    this.panel = h("div", {class: "xv-panel"},
      this.check("lock", "Lock colour range", (on) => ({locked: on ? host.legend.limits() : {}})),
      this.choice("limits", "Colour range", [["shared", "shared by all panels"], ["per panel", "separate per panel"]]),
      this.choice("percentile", "Colour range up to", [[100, "largest value"], [99.5, "99.5th percentile"], [99, "99th percentile"], [95, "95th percentile"]]),
      this.choice("map", "Signed colours", Object.entries(COLOURS.signed)),
      this.choice("sequential", "Unsigned colours", COLOURS.sequential.map((name) => [name, name])),
      this.check("outline", "Outline"), this.check("smooth", "Smooth"), this.check("grey", "Grey photo"));
    this.more = h("details", {class: "xv-more"}, h("summary", {}, "Display"), this.panel);
    attachMenu(this.more, this.panel);
    this.zoom = h("div", {class: "xv-cluster xv-zoomers"}, button("minus", "Zoom out (−)", () => host.zoom(1 / 1.5)),
      button("plus", "Zoom in (+)", () => host.zoom(1.5)), button("reset", "Whole picture (0 or Home)", () => host.resetZoom()));
    this.drawing = h("div", {class: "xv-cluster"}, this.tools);
    this.help = h("button", {type: "button", class: "xv-icon", "aria-label": "Keys (?)", title: "Keys (?)", onclick: () => host.help.toggle()}, "?");
    this.bar = [this.stepper, this.slider, ...this.often, this.more, this.drawing, this.zoom, this.help];
    this.element = h("div", {class: "xv-toolbar xv-one-row", role: "group", "aria-label": "Picture controls"}, this.bar);
    this.more.addEventListener("focusout", ({relatedTarget: to}) => { if (to && to !== host.root && !this.more.contains(to)) this.close(); });
  }

  // Close the menu; returns whether it was open.
  close() {
    const {open} = this.more;
    this.more.open = false;
    return open;
  }

  // Everything in one row: from the right on, what does not fit moves into the menu.
  fit() {
    const {element, often, panel, drawing, zoom} = this;
    if (!element.clientWidth) return;
    element.append(...this.bar);
    const [overlay, opacity, sign, threshold] = often;
    for (const part of [threshold, sign, drawing, zoom, opacity, overlay]) {
      if (element.scrollWidth <= element.clientWidth) break;
      panel.append(part);
    }
    panel.prepend(...[overlay, opacity, sign, threshold, drawing, zoom].filter((part) => part.parentElement === panel));
  }

  control(element) {
    giveBackFocus(element, this.host);
    return element;
  }

  check(name, label, changes = (on) => ({[name]: on})) {
    const input = h("input", {type: "checkbox", name, onchange: () => this.host.set(changes(input.checked))});
    this.inputs[name] = (value) => { input.checked = !!value; };
    return h("label", {class: "xv-field xv-check"}, this.control(input), h("span", {}, label));
  }

  range(name, label, min, max, step) {
    const input = h("input", {type: "range", name, "aria-label": label, min, max, step, oninput: () => this.host.set({[name]: +input.value})});
    const output = h("output", {class: "xv-percent", "aria-hidden": true});
    this.inputs[name] = (value) => { input.value = value; setText(output, `${Math.round(100 * value)}%`); };
    return h("label", {class: "xv-field"}, h("span", {}, label), this.control(input), output);
  }

  choice(name, label, options) {
    const select = h("select", {name, "aria-label": label, onchange: () => this.host.set({[name]: name === "percentile" ? +select.value : select.value})},
      options.map(([value, text]) => h("option", {value}, text)));
    this.inputs[name] = (value) => { select.value = String(value); };
    return h("label", {class: "xv-field"}, h("span", {}, label), this.control(select));
  }

  update() {
    const {settings, scrubber, tool, frame, smooth} = this.host, count = scrubber.order.length, place = count ? scrubber.position + 1 : 0;
    this.element.hidden = !settings.toolbar;
    const shown = {...settings, smooth, lock: Object.keys(settings.locked ?? {}).length > 0};
    for (const [name, show] of Object.entries(this.inputs)) show(shown[name]);
    this.stepper.hidden = count < 2 || settings.stepper === false;
    this.slider.hidden = count < 2;
    setText(this.place, `${place} / ${count}`);
    setAttribute(this.slider, "max", String(Math.max(0, count - 1)));
    if (+this.slider.value !== scrubber.position) this.slider.value = scrubber.position;
    setAttribute(this.slider, "aria-valuetext", `${place} of ${count}`);
    this.previous.disabled = scrubber.position <= 0;
    this.next.disabled = scrubber.position >= count - 1;
    for (const button of this.tools) setAttribute(button, "aria-pressed", String(button.dataset.tool === tool));
    const maps = !settings.hidden && (frame ? frame.maps.size > 0 : true);
    for (const part of [...this.often, this.more, this.drawing]) part.hidden = !maps;
    const shape = `${this.stepper.hidden} ${this.slider.hidden} ${maps}`;
    if (this.shape !== shape) { this.shape = shape; this.fit(); }
  }
}
