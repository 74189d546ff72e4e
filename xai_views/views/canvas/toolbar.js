// The toolbar: everything that is composed in the browser, as labelled native controls.
class Toolbar {
  constructor(host) {
    this.host = host;
    this.inputs = {};
    const button = (name, label, action, extra = {}) =>
      h("button", {type: "button", class: "xv-icon", "aria-label": label, title: label, onclick: action, ...extra}, icon(name));
    this.place = h("output", {class: "xv-place", "aria-label": "Sample"});
    this.previous = button("previous", "Previous sample (left arrow)", () => host.step(-1, true));
    this.next = button("next", "Next sample (right arrow)", () => host.step(1, true));
    this.slider = h("input", {type: "range", class: "xv-scrubber", "aria-label": "Sample", min: 0, step: 1, value: 0,
      oninput: () => host.go(+this.slider.value), onpointerup: () => host.root.focus({preventScroll: true})});
    this.tools = ["rectangle", "lasso"].map((tool) =>
      button(tool, tool === "lasso" ? "Draw a lasso (or alt-drag)" : "Draw a rectangle (or shift-drag)",
        () => { host.setTool(host.tool === tool ? "pan" : tool); }, {"aria-pressed": "false", "data-tool": tool}));
    this.stepper = h("div", {class: "xv-cluster"}, this.previous, this.place, this.next, this.slider);
    this.often = [
      this.choice("sign", "Show", [["both", "for and against"], ["for", "for only"], ["against", "against only"]]),
      this.range("threshold", "Hide below", 0, 1, 0.01)];
    this.basic = h("div", {class: "xv-cluster xv-grow"}, this.check("overlay", "Overlay"),
      this.range("opacity", "Opacity", 0, 1, 0.01), this.often);
    this.panel = h("div", {class: "xv-panel"},
      this.choice("map", "Signed colours", Object.entries(COLOURS.signed)),
      this.choice("sequential", "Unsigned colours", COLOURS.sequential.map((name) => [name, name])),
      this.choice("limits", "Colour limits", [["shared", "shared by all panels"], ["per panel", "each panel its own"]]),
      this.choice("percentile", "Limits at", [[100, "largest value"], [99.5, "99.5th percentile"], [99, "99th percentile"], [95, "95th percentile"]]),
      this.check("outline", "Outline"), this.check("smooth", "Smooth"), this.check("grey", "Grey photo"));
    this.more = h("details", {class: "xv-more"}, h("summary", {}, "Display"), this.panel);
    this.zoom = h("div", {class: "xv-cluster xv-zoomers"}, ...this.tools, button("minus", "Zoom out (−)", () => host.zoom(1 / 1.5)),
      button("plus", "Zoom in (+)", () => host.zoom(1.5)), button("reset", "Whole picture (0 or Home)", () => host.resetZoom()),
      h("button", {type: "button", class: "xv-icon", "aria-label": "Keys (?)", title: "Keys (?)", onclick: () => host.help.toggle()}, "?"));
    this.element = h("div", {class: "xv-toolbar", role: "toolbar", "aria-label": "Display"}, this.stepper, this.basic, this.more, this.zoom);
    this.more.addEventListener("focusout", (event) => { if (event.relatedTarget && !this.more.contains(event.relatedTarget)) this.more.open = false; });
  }

  // Where there is little room, all but the overlay and its opacity move into the panel.
  fit(narrow) {
    if (narrow) this.panel.prepend(...this.often);
    else this.basic.append(...this.often);
  }

  check(name, label) {
    const input = h("input", {type: "checkbox", name, onchange: () => this.host.set({[name]: input.checked})});
    this.inputs[name] = (value) => { input.checked = !!value; };
    return h("label", {class: "xv-field xv-check"}, input, h("span", {}, label));
  }

  range(name, label, min, max, step) {
    const input = h("input", {type: "range", name, "aria-label": label, min, max, step, onpointerup: () => this.host.root.focus({preventScroll: true}), oninput: () => this.host.set({[name]: +input.value})});
    const output = h("output", {class: "xv-percent", "aria-hidden": true});
    this.inputs[name] = (value) => { input.value = value; setText(output, `${Math.round(100 * value)}%`); };
    return h("label", {class: "xv-field"}, h("span", {}, label), input, output);
  }

  choice(name, label, options) {
    const select = h("select", {name, "aria-label": label, onchange: () => this.host.set({[name]: name === "percentile" ? +select.value : select.value})},
      options.map(([value, text]) => h("option", {value}, text)));
    this.inputs[name] = (value) => { select.value = String(value); };
    return h("label", {class: "xv-field"}, h("span", {}, label), select);
  }

  update() {
    const {settings, scrubber, tool, frame} = this.host;
    this.element.hidden = !settings.toolbar;
    for (const [name, show] of Object.entries(this.inputs)) show(settings[name]);
    const count = scrubber.order.length;
    this.stepper.hidden = count < 2;
    setText(this.place, `${count ? scrubber.position + 1 : 0} / ${count}`);
    setAttribute(this.slider, "max", String(Math.max(0, count - 1)));
    if (+this.slider.value !== scrubber.position) this.slider.value = scrubber.position;
    setAttribute(this.slider, "aria-valuetext", `${count ? scrubber.position + 1 : 0} of ${count}`);
    this.previous.disabled = scrubber.position <= 0;
    this.next.disabled = scrubber.position >= count - 1;
    for (const button of this.tools) setAttribute(button, "aria-pressed", String(button.dataset.tool === tool));
    const maps = frame ? frame.maps.size > 0 : true;
    this.basic.hidden = this.more.hidden = !maps;
  }
}
