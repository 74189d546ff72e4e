// How the clusters of a record add up to a logit, beside the paper; removing one, and the logit before and after.
const LEDGER_DIGITS = 3;
const signedText = (value) => (value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(LEDGER_DIGITS)}`);

class PaperLedger {
  constructor(host) {
    this.host = host;
    this.title = h("h3");
    this.body = h("tbody");
    this.foot = h("tfoot");
    this.box = h("div", {class: "xe-scroll", role: "region", "aria-label": "Ledger", tabindex: "0", onscroll: () => this.edge()},
      h("table", {}, h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "Cluster"), h("th", {scope: "col", class: "xe-figure"}, "Contribution"))), this.body, this.foot));
    const button = (action, words, title) => h("button", {type: "button", class: "xe-act", title, onclick: () => { host.tell("ledger", {action}); host.root.focus({preventScroll: true}); }}, words);
    this.remove = button("remove", "Remove cluster");
    this.undo = button("undo", "Undo", "Undo the last edit (u)");
    this.reset = button("reset", "Reset", "Undo all edits of this record");
    this.after = h("p", {class: "xe-after", "aria-live": "polite"});
    this.words = h("p", {class: "xe-edits"});
    this.element = h("section", {class: "xe-ledger", "aria-label": "How the logit adds up"}, this.title, this.box, h("div", {class: "xe-acts"}, this.remove, this.undo, this.reset), this.after, this.words);
  }

  update() {
    const {record, settings, model} = this.host, ledger = record?.ledger;
    this.element.hidden = !ledger || settings.hidden;
    if (this.element.hidden) { this.about = null; this.body.replaceChildren(); this.foot.replaceChildren(); setText(this.title, ""); setText(this.after, ""); return; }
    const chosen = settings.highlight?.cluster ?? null, edits = model.edits ?? {};
    if (this.about !== record.key) {
      this.about = record.key;
      this.fill(record, ledger);
    }
    for (const row of this.body.rows) {
      const own = Number(row.dataset.id) === chosen;
      row.classList.toggle("xe-chosen", own);
      setAttribute(row.querySelector("button"), "aria-pressed", String(own));
    }
    const gone = ledger.rows.find(({id}) => id === chosen)?.removed;
    this.remove.disabled = chosen === null || Boolean(gone);
    setText(this.remove, chosen === null ? "Remove cluster" : `Remove cluster ${chosen}`);
    setAttribute(this.remove, "title", chosen === null ? "Select a cluster in this table or on the paper first" : gone ? `Cluster ${chosen} is already removed` : `Replace cluster ${chosen} by the mean of the rest, and compare`);
    this.undo.disabled = !edits.undo;
    this.reset.disabled = !edits.reset;
    setText(this.words, edits.words ?? "");
    this.words.hidden = !edits.words;
    this.edge();
  }

  fill(record, {title, rows, sums, logit, after}) {
    const most = Math.max(1e-12, ...rows.map(({part}) => Math.abs(part)));
    setText(this.title, title);
    this.body.replaceChildren(...rows.map(({id, part, removed}) => {
      const bar = h("span", {class: part < 0 ? "xe-bar xe-lowers" : "xe-bar", style: `width: ${(50 * Math.abs(part)) / most}%; ${part < 0 ? "right" : "left"}: 50%`});
      return h("tr", {"data-id": String(id), class: removed ? "xe-removed" : ""},
        h("th", {scope: "row"}, h("button", {type: "button", class: "xe-pick", "data-cluster": String(id), title: `${record.clusterName(id)}${removed ? " (removed)" : ""}`, onclick: () => { this.host.chooseCluster(id); this.host.root.focus({preventScroll: true}); }}, paintSwatch(h("canvas", {width: 28, height: 28, "aria-hidden": true}), id), h("span", {}, record.clusterName(id)))),
        h("td", {}, h("span", {class: "xe-track", "aria-hidden": true}, bar), h("span", {class: "xe-part"}, signedText(part))));
    }));
    const line = ([words, value], last = false) => h("tr", {class: last ? "xe-sum" : ""}, h("th", {scope: "row"}, words), h("td", {}, signedText(value)));
    this.foot.replaceChildren(...sums.map((sum) => line(sum)), line(logit, true));
    setText(this.after, after);
    this.after.hidden = !after;
  }

  // A shadow above the sum says that there are more rows than are in view.
  edge() {
    const {box} = this, more = box.scrollHeight - box.clientHeight - box.scrollTop > 2;
    box.classList.toggle("xe-more", more);
  }
}
