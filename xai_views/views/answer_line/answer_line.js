// The answer line: it follows the frames of a canvas in the browser.
// Colours and controls are those of the canvas; the class is another, so that nobody takes the line for a canvas.
const SHARED_CSS = CSS.replace(/\.xv(?=[\s[:{])/g, ".xa");
const MARKS = {true: ["✓", "correct"], false: ["✗", "wrong"]};

class AnswerLine {
  constructor(model) {
    this.model = model;
    this.about = {};
    this.predicted = h("strong", {class: "xa-predicted"});
    this.mark = h("span", {class: "xa-mark"});
    this.probability = h("span", {class: "xa-part"});
    this.next = h("span", {class: "xa-part"});
    this.label = h("span", {class: "xa-part"});
    this.note = h("span", {class: "xa-note"});
    this.dot = h("span", {class: "xa-dot", "aria-hidden": "true"});
    this.level = h("span");
    this.sentence = h("p", {class: "xa-sentence"});
    this.typical = h("details", {class: "xa-typical"}, h("summary", {}, this.dot, this.level), this.sentence);
    this.answer = h("div", {class: "xa-answer"}, this.predicted, this.mark, this.probability, this.next, this.label, this.note, this.typical);
    this.blank = h("div", {class: "xa-answer xa-blank"}, "The model's output is hidden.");
    this.sample = h("span", {class: "xa-sample"});
    const button = (name, label, by) => h("button", {type: "button", class: "xv-icon", "aria-label": label, title: label, onclick: () => command(this.model.channel, {step: by})}, icon(name));
    const noun = model.noun.toLowerCase();
    this.previous = button("previous", `Previous ${noun} (left arrow)`, -1);
    this.onward = button("next", `Next ${noun} (right arrow)`, 1);
    this.place = h("output", {class: "xv-place", "aria-label": model.noun});
    this.pin = h("button", {type: "button", class: "xa-button", onclick: () => model.send_msg({type: "pin"})});
    this.hide = h("button", {type: "button", class: "xa-button", "aria-pressed": "false", onclick: () => model.send_msg({type: "hide"})});
    this.root = h("section", {class: "xa", "aria-label": "Answer", "data-sample": ""}, h("style", {}, SHARED_CSS), h("style", {}, ANSWER_CSS),
      this.answer, this.blank, h("div", {class: "xa-side"}, this.sample, h("div", {class: "xa-stepper"}, this.previous, this.place, this.onward), this.pin, this.hide));
    this.themes = watchTheme(this.root, model);
    this.unfollow = follow(() => model.channel, (about) => { this.about = about; this.update(); });
    for (const name of ["hidden", "typical", "pinned"]) model.on(name, () => this.update());
    model.on("dark", () => this.themes.update());
    model.on("remove", () => { this.unfollow(); this.themes.disconnect(); });
    this.typical.addEventListener("focusout", (event) => { if (event.relatedTarget && !this.typical.contains(event.relatedTarget)) this.typical.open = false; });
    this.update();
  }

  update() {
    const {answer = null, sample = "", position = 0, count = 0} = this.about, {hidden, pinned, typical} = this.model;
    this.root.dataset.sample = sample;
    this.answer.hidden = hidden || !answer;
    this.blank.hidden = !hidden;
    if (answer && !hidden) this.fill(answer, typical?.sample === sample ? typical : null);
    setText(this.sample, sample);
    setAttribute(this.place, "title", sample);
    setText(this.place, `${count ? position + 1 : 0} / ${count}`);
    this.previous.disabled = position <= 0;
    this.onward.disabled = position >= count - 1;
    setText(this.pin, pinned && pinned === sample ? "Unpin" : "Pin");
    setAttribute(this.pin, "title", pinned ? `Pinned: ${pinned}` : "Keep this one beside those that follow");
    setText(this.hide, hidden ? "Show output" : "Hide output");
    setAttribute(this.hide, "aria-pressed", String(Boolean(hidden)));
    setAttribute(this.hide, "title", hidden ? "Show the model's output (h)" : "Hide the model's output (h)");
  }

  fill(answer, typical) {
    const [sign, words] = MARKS[answer.correct] ?? ["", ""];
    setText(this.predicted, answer.predicted);
    setText(this.mark, sign ? `${sign} ${words}` : "");
    setAttribute(this.mark, "data-correct", String(answer.correct));
    setText(this.probability, `p ${answer.probability.toFixed(2)} (${answer.calibration})`);
    setText(this.next, answer.runner_up ? `next: ${answer.runner_up} ${answer.runner_up_probability.toFixed(2)}` : "");
    setText(this.label, `label ${answer.label || "unknown"}`);
    setText(this.note, answer.note ?? "");
    this.note.hidden = !answer.note;
    const level = typical ? String(typical.typical) : "waiting";
    setAttribute(this.typical, "data-typical", level);
    setText(this.level, {true: "typical of training", false: "unlike training", null: "typicality unknown", waiting: "typical of training?"}[level]);
    setText(this.sentence, typical?.sentence ?? "");
  }
}

export function render({model}) {
  return new AnswerLine(model).root;
}
